"""JSON on stdout, as every command with --json prints it."""

from decimal import Decimal

import click
import orjson
from pydantic import BaseModel


def print_json(content: object) -> None:
    """Print one JSON object or list."""
    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=_as_json))


def _as_json(value: object) -> object:
    """Convert values that JSON lacks: decimals become numbers, models objects, all others text."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
