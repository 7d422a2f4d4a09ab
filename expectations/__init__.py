"""What must hold for numbers to be believed: the only place that imports Great Expectations."""

import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # users did not ask for telemetry
