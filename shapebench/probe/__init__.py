"""Is the endpoint healthy, what is it, and how does it want to be asked?"""
