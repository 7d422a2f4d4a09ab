"""What the later stages import takes seconds: it is imported before a flow run begins, never while it measures.

A pull step of the deployments that measure: the run's process does it, while it waits for its time where it is due
later. `shapebench run` does it while its Prefect server starts.
"""

import warnings
from importlib import import_module


def import_ahead() -> None:
    """Import what validates and draws, and make what all reports share."""
    with warnings.catch_warnings(action="ignore"):  # Prefect would print those of the libraries
        import_module("expectations.validate")
        import_module("shapebench.pages.run")
        import_module("shapebench.pages.kit").warm_up()
