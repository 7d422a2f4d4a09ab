"""Prefect server, worker and deployments on this machine."""
