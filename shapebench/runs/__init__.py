"""A run on disk: records, run file, resume."""
