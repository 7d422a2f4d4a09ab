"""Comparison of runs: pure functions of rows of the results file."""
