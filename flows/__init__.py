"""Prefect flows: each reads like the list of its stages."""
