"""Options of a command line for the fields of a dataclass, each Annotated with its help."""

from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


Fields = TypeVar("Fields", bound=_Dataclass)


@dataclass(frozen=True)
class _Option:
    """A field as an option."""

    name: str
    hint: object
    help: str
    default: object

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


def add_options(parser: ArgumentParser, kind: type[_Dataclass]) -> None:
    """Add an option for each field: `--no-done` for `no_done`."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, help_ = get_args(hints[field.name])
        _ADDERS.get(get_origin(hint) or hint, _add_value)(parser, _Option(field.name, hint, help_, field.default))


def from_options(kind: type[Fields], arguments: Namespace) -> Fields:
    """Make the dataclass from what was parsed."""
    return kind(**{field.name: getattr(arguments, field.name) for field in fields(kind)})


def as_words(instance: _Dataclass) -> list[str]:
    """Write the options that make such an instance, only those that differ from the defaults."""
    words = []
    for field in fields(instance):
        value = getattr(instance, field.name)
        if value != field.default:
            words += [_Option(field.name, None, "", None).flag, *_values(value)]
    return words


def _values(value: object) -> list[str]:
    if value is True:
        return []
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def _add_flag(parser: ArgumentParser, option: _Option) -> None:
    parser.add_argument(option.flag, action="store_true", help=option.help)


def _add_choice(parser: ArgumentParser, option: _Option) -> None:
    choices = get_args(option.hint)
    help_ = f"{option.help} (%(default)s)"
    parser.add_argument(option.flag, type=type(choices[0]), choices=choices, default=option.default, help=help_)


class _AsTuple(Action):
    """Keeps several choices as a tuple, since the dataclass is frozen."""

    def __call__(self, _parser: object, namespace: Namespace, values: object, _flag: object = None) -> None:
        assert isinstance(values, list)
        setattr(namespace, self.dest, tuple(values))


def _add_several(parser: ArgumentParser, option: _Option) -> None:
    choices = get_args(get_args(option.hint)[0])
    parser.add_argument(option.flag, nargs="*", action=_AsTuple, choices=choices, default=(), help=option.help)


def _add_value(parser: ArgumentParser, option: _Option) -> None:
    assert isinstance(option.hint, type)
    help_ = f"{option.help} (%(default)r)"
    parser.add_argument(option.flag, type=option.hint, default=option.default, help=help_)


_ADDERS: dict[object, Callable[[ArgumentParser, _Option], None]] = {
    bool: _add_flag,
    Literal: _add_choice,
    tuple: _add_several,
}
