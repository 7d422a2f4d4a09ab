"""Fields of a dataclass, set by words such as `max_num_seqs=8`."""

from collections.abc import Iterable, Sequence
from dataclasses import Field, replace
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_type_hints

from pydantic import Field as Limits
from pydantic import TypeAdapter, ValidationError

from shapebench.errors import ShapebenchError

Share = Annotated[float, Limits(ge=0, le=1)]
Amount = Annotated[float, Limits(ge=0, allow_inf_nan=False)]


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Fields = TypeVar("Fields", bound=_Dataclass)


def changed(base: Fields, words: Iterable[str], what: str) -> Fields:
    """Set fields of `base` by words, each NAME=VALUE, the last of a name; raises ShapebenchError with all that is
    wrong. `what` is what messages call a field."""
    pairs = [word.partition("=") for word in words]
    types = get_type_hints(type(base), include_extras=True)
    wrong = [problem for pair in pairs if (problem := _problem(pair, types, what))]
    if wrong:
        raise ShapebenchError("; ".join(wrong), f"Give {what}s as NAME=VALUE; the names are {', '.join(types)}.")
    return replace(base, **{name: _typed(types[name], value) for name, _, value in pairs})


def _problem(pair: Sequence[str], types: dict[str, Any], what: str) -> str:
    name, equals, value = pair
    if not equals:
        return f"{name!r} is not NAME=VALUE"
    if name not in types:
        return f"There is no {what} {name!r}"
    try:
        _typed(types[name], value)
    except ValidationError as error:
        return f"{name} cannot be {value!r}: {error.errors()[0]['msg']}"
    return ""


def _typed(kind: Any, value: str) -> Any:
    return TypeAdapter(kind).validate_python(value)
