"""The instrument: one connection (wire), one level (level), one process (__main__), started from outside (process)."""
