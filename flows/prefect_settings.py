"""Prefect's settings in a process that runs one flow; they must be set before Prefect is imported."""

import os

SETTINGS = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",  # where no server is set, and the command line has started none
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "7",  # as in prefect.yaml
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # people look at the bars and the verdict; errors come at the end
    "PREFECT_LOGGING_EXTRA_LOGGERS": "shapebench",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # a line before or after the run is for the terminal only
    "DO_NOT_TRACK": "1",
}


def set_defaults() -> None:
    """Set defaults for settings that the user has not set."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
