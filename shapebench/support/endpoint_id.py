"""Short, stable and readable id of an endpoint."""

import hashlib
import json
import re

MAX_NAME_LENGTH = 40


def endpoint_id(url: str, model: str, shape: str) -> str:
    """Return an id of a-z, 0-9 and dashes, stable over runs and unique to the endpoint."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{model.rpartition('/')[2]} {shape}".lower()).strip("-")
    mark = hashlib.sha256(json.dumps([url, model, shape]).encode()).hexdigest()[:8]
    return f"{words[:MAX_NAME_LENGTH].strip('-')}-{mark}".strip("-")
