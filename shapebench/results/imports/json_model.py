"""Base and field types for models of other tools' JSON: missing or malformed fields are None, and nothing raises.

Tools omit fields, change types between versions, and write NaN. A model only says where a number is; code that needs
it raises `ImportFileError`.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

T = TypeVar("T")
MAX_INTEGER = 2**31 - 1  # of an INTEGER column
MAX_EPOCH_S = 2**33  # the year 2242; TIMESTAMP columns hold no more
MAX_DURATION_S = 1e9  # no level took thirty years
MAX_NUMBER = 1e15  # no number of a benchmark is beyond it, and its square is still a number


class ImportFileError(Exception):
    """A file cannot be imported; the message says why."""


def _tolerate(value: object, parse: ValidatorFunctionWrapHandler) -> object:
    try:
        return parse(value)
    except (ValidationError, OverflowError):
        return None


def _to_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return number if abs(number := float(value)) < MAX_NUMBER else None  # NaN is not less than anything


def to_count(number: float | None) -> int | None:
    """Convert a whole number that a column can hold; None for any other."""
    is_count = number is not None and number == int(number) and 0 <= number <= MAX_INTEGER
    return int(number) if number is not None and is_count else None


def _to_text(value: object) -> str | None:
    # A lone surrogate, which JSON can escape, cannot be stored as text.
    return value.encode(errors="replace").decode() if isinstance(value, str) and value else None


def _to_epoch_ns(value: object) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_EPOCH_S * 10**9
    return value if known and isinstance(value, int) else None


_TOLERANT = WrapValidator(_tolerate)
Number = Annotated[float | None, BeforeValidator(_to_number), _TOLERANT]  # also from text: LLMPerf writes some so
Count = Annotated[int | None, BeforeValidator(lambda value: to_count(_to_number(value))), _TOLERANT]
Text = Annotated[str | None, BeforeValidator(_to_text), _TOLERANT]
EpochNs = Annotated[int | None, BeforeValidator(_to_epoch_ns), _TOLERANT]  # an integer: a float would be 256 ns coarse
Items = Annotated[list[T], BeforeValidator(lambda value: value if isinstance(value, list) else [])]
Fields = Annotated[dict[str, T], BeforeValidator(lambda value: value if isinstance(value, dict) else {})]
_NUMBERS: TypeAdapter[dict[str, float | None]] = TypeAdapter(Fields[Number])


class JsonModel(BaseModel):
    """A JSON object of another tool; anything else is read as an empty object."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _accept_anything(cls, value: object) -> object:
        return value if isinstance(value, (dict, cls)) else {}

    @classmethod
    def parse(cls, content: object) -> Self:
        """Read a document's content."""
        return cls.model_validate(content)


def read_numbers(content: object) -> dict[str, float | None]:
    """Read the numbers of an object by field; None for other values."""
    return _NUMBERS.validate_python(content)


def require(value: T | None, name: str) -> T:
    """Return the value; raises ImportFileError where it is None."""
    if value is None:
        raise ImportFileError(f"{name} is missing or invalid")
    return value


def epoch_to_datetime(epoch_s: float | None) -> datetime | None:
    """Convert seconds since 1970; None if out of range."""
    if epoch_s is None:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(epoch_s, UTC)
    return None


def parse_utc(text: str | None, form: str) -> datetime | None:
    """Parse a time without a zone, assumed to be UTC like most servers' clocks."""
    with suppress(ValueError, TypeError):
        return datetime.strptime(text or "", form).replace(tzinfo=UTC)
    return None


def subtract(ended_at: datetime | None, duration_s: float | None) -> datetime | None:
    """Return when something began that ended then and took so long."""
    with suppress(OverflowError):
        return ended_at and ended_at - timedelta(seconds=duration_s or 0)
    return None


def valid_duration(seconds: float | None) -> float | None:
    """Return a level's duration where it is possible."""
    return seconds if seconds is not None and 0 <= seconds < MAX_DURATION_S else None


def to_nanoseconds(epoch_s: float | None) -> int | None:
    """Convert seconds since 1970 to whole nanoseconds, if the results file can store them."""
    return round(epoch_s * 1e9) if epoch_s is not None and 0 <= epoch_s < MAX_EPOCH_S else None


def http_status(code: int | None) -> int | None:
    """Return an error code where it is an HTTP status."""
    return code if code and 100 <= code < 600 else None
