"""The greatest concurrency that keeps all SLOs: which level to measure next, and what the levels measured say."""
