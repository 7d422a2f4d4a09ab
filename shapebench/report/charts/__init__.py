"""The plots: pure functions from rows of the results file to Altair charts."""
