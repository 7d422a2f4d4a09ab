"""What must hold for numbers to be believed: the only place that imports Great Expectations."""

import os
import warnings

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # users did not ask for telemetry

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # about what it uses of Python: nothing that we could mend
    import great_expectations  # noqa: F401 - the first import is the one that warns
