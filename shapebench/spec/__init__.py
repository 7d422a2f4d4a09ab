"""What a person types: endpoint, workload, load, limits, SLOs, presets."""
