"""The search for the greatest concurrency that meets all SLOs: the next level to measure, and the result."""
