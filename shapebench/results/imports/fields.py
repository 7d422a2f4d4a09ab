"""Looking into other tools' JSON: what is not there, or not of its kind, is None; only `ImportFileError` is raised."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Found = TypeVar("Found")
MOST = 2**31 - 1  # what an INTEGER of the results file holds
TIME_END_S = 2**33  # of moments that it holds: in the year 2242
LONGEST_S = 1e9  # no level took thirty years
GREATEST = 1e15  # no number of a benchmark is beyond it, and squares of such are still numbers


class ImportFileError(Exception):
    """A file cannot be taken; the message says why."""


def get(content: Any, path: str) -> Any:
    """What lies at a path such as `metrics.request_latency.mean`."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def number(content: Any, path: str) -> float | None:
    """A finite number; LLMPerf writes some as text, and NaN where there is none."""
    value = get(content, path)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    with suppress(ValueError, OverflowError):
        return found if abs(found := float(value)) < GREATEST else None  # NaN is not less than anything
    return None


def count(content: Any, path: str) -> int | None:
    value = number(content, path)
    return int(value) if value is not None and value == int(value) and 0 <= value <= MOST else None


def text(content: Any, path: str) -> str | None:
    value = get(content, path)
    # Half a character, which JSON can escape, has no place in a text of the results file.
    return value.encode(errors="replace").decode() if isinstance(value, str) and value else None


def items(content: Any, path: str) -> list[Any]:
    value = get(content, path)
    return value if isinstance(value, list) else []


def numbers(content: Any, path: str) -> list[float | None]:
    return [number({"value": value}, "value") for value in items(content, path)]


def needed(value: Found | None, name: str) -> Found:
    if value is None:
        raise ImportFileError(f"{name} is missing, or not what it should be")
    return value


def moment(epoch_s: float | None) -> datetime | None:
    if epoch_s is None:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(epoch_s, UTC)
    return None


def moment_in(words: str | None, form: str) -> datetime | None:
    """The moment that a text in this form names; it has no zone, and is taken for UTC, as most servers' clocks are."""
    with suppress(ValueError, TypeError):
        return datetime.strptime(words or "", form).replace(tzinfo=UTC)
    return None


def before(ended_at: datetime | None, length_s: float | None) -> datetime | None:
    """When something began that ended then and took so long."""
    with suppress(OverflowError):
        return ended_at and ended_at - timedelta(seconds=length_s or 0)
    return None


def epoch_ns(content: Any, path: str) -> int | None:
    """A moment that is given in nanoseconds since 1970: a float would be 256 ns coarse."""
    value = get(content, path)
    known = isinstance(value, int) and not isinstance(value, bool) and 0 < value < TIME_END_S * 10**9
    return value if known else None


def length(seconds: float | None) -> float | None:
    """The time that a level took, where it can be."""
    return seconds if seconds is not None and 0 <= seconds < LONGEST_S else None


def nanoseconds(epoch_s: float | None) -> int | None:
    """A moment as whole nanoseconds since 1970, where the results file has a place for it."""
    return round(epoch_s * 1e9) if epoch_s is not None and 0 <= epoch_s < TIME_END_S else None
