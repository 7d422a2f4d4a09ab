"""The search for the highest concurrency that meets all SLOs: the next level to measure, and the result."""
