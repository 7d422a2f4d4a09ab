"""What there is beside the samples to believe a level by: the server's own account, and what statistics say."""
