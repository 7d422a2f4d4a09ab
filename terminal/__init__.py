"""The flows from a terminal: what the commands run and doctor show, and a Prefect server where none is set."""
