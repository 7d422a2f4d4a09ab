"""Rate limits: how long a server asks to wait."""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

STATUSES = (429, 503)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read how long the server asks to wait (s), from `retry-after-ms` or `Retry-After`; None where it does not say."""
    with suppress(KeyError, ValueError):
        return _seconds(headers["retry-after-ms"]) / 1e3
    given = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return _seconds(given)
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(given)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max((until - now).total_seconds(), 0.0)
    return None


def _seconds(text: str) -> float:
    """Parse a time that is not negative; raises ValueError for NaN, too."""
    if math.isnan(value := float(text)):
        raise ValueError("NaN is no time")
    return max(value, 0.0)
