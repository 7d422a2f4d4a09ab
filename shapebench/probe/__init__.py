"""Probing of an endpoint: its health, its server, the machine it runs on, and what prompts cost."""
