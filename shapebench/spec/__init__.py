"""The spec: endpoint, workload, load, limits, SLOs and presets."""
