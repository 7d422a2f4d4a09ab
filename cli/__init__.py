"""Command line: the top layer, which nothing imports."""
