"""Runs held against each other: pure functions from rows of the results file to answers."""
