"""Verification of AWS's Signature Version 4, written after its documentation and not after botocore."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>[^,]+), "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<it>\w+)"
)


def is_signed(method: str, target: str, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Check a request as the service does; `headers` have small letters, `target` is the path and query as sent."""
    found = FORM.fullmatch(headers["authorization"])
    assert found, headers["authorization"]
    parts, names = urlsplit(target), found["headers"].split(";")
    assert {"host", "x-amz-date"} <= set(names)
    canonical = "\n".join(
        [
            method,
            quote(parts.path, safe="/~"),  # encoded a second time, for all services but S3
            "&".join(sorted(parts.query.split("&"))),
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            found["headers"],
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], found["scope"], digest])
    key = f"AWS4{secret}".encode()
    for word in found["scope"].split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found["it"])
