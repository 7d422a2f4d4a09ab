"""Estimates of a model's memory and of its best possible speed on a machine, from its config.json."""
