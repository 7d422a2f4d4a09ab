"""Expectations on measured levels; the only package that imports Great Expectations."""

import os
import warnings

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # users did not ask for telemetry

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # about its own use of Python
    import great_expectations  # noqa: F401 - the first import is the one that warns
