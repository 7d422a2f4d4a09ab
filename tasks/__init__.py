"""One file a stage: its policy, and one call into the core."""

import logging

logging.getLogger("shapebench").setLevel(logging.INFO)  # the core's milestones, which Prefect shows with the run
