"""What a run is on disk: records, run file, resume."""
