"""Measures LLM serving: the core, free of Prefect and of Great Expectations."""

__version__ = "0.1.0"
