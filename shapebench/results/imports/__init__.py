"""Imports of other load generators' results into the results file."""
