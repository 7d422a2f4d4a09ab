"""What commands print, and the layers that they call."""

from decimal import Decimal
from importlib import import_module
from typing import Any

import click


def print_json(content: Any) -> None:
    import orjson

    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=_as_json))


def _as_json(value: Any) -> Any:
    """What JSON has no form for: SQL's exact numbers become JSON's, the rest text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def above(name: str) -> Any:
    """A module of the layers above the core, which the core knows only by name."""
    return import_module(name)
