"""The pages: each is made of rows of the results file, works offline and asks nobody for anything."""
