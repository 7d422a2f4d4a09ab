"""A short name for an endpoint, which machines take as a key and people recognise."""

import hashlib
import json
import re

LONGEST_WORDS = 40


def endpoint_id(url: str, model: str, shape: str) -> str:
    """Of a-z, 0-9 and dashes, the same at every run, and another for every other endpoint."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{model.rpartition('/')[2]} {shape}".lower()).strip("-")
    mark = hashlib.sha256(json.dumps([url, model, shape]).encode()).hexdigest()[:8]
    return f"{words[:LONGEST_WORDS].strip('-')}-{mark}".strip("-")
