"""The command line's options, made from the spec's fields: help, default, bounds and type are the field's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from click.types import OptionHelpExtra
from pydantic import BaseModel, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

from shapebench.spec.model import Limits, Normal, Spec, parse, read
from shapebench.spec.multi_endpoint import Choice

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


@dataclass(frozen=True)
class Flag:
    """The field that a flag sets; `help` replaces the field's description, which is written for the form.

    Text behind `Empty:` is shown as the default.
    """

    field: str
    metavar: str | None = None
    help: str | None = None
    repeatable: bool = False
    model: type[BaseModel] = Spec
    switches_off: bool = False  # the flag, which takes no value, sets its field to false


FLAGS = {
    "--url": Flag("endpoint.url"),
    "--model": Flag("endpoint.model"),
    "--ready-timeout": Flag("endpoint.ready_timeout_s", "S"),
    "--shape": Flag("endpoint.shape"),
    "--on-this-machine": Flag("endpoint.on_this_machine"),
    "--weights-bytes": Flag("endpoint.weights_bytes", "BYTES"),
    "--api": Flag("endpoint.api"),
    "--metrics-url": Flag("endpoint.metrics_url", "URL"),
    "--auth": Flag("endpoint.auth"),
    "--auth-option": Flag(
        "endpoint.auth_options",
        "NAME=VALUE",
        "What the API and its authentication need, such as compartment=OCID or region=eu-central-1. Repeatable.",
        repeatable=True,
    ),
    "--path": Flag("endpoint.path", "/PATH"),
    "--query": Flag("endpoint.query", "NAME=VALUE"),
    "--header": Flag(
        "endpoint.headers",
        "NAME=VARIABLE",
        "Further header, with the environment variable that holds its value, such as api-key=AZURE_KEY, or with "
        "block:NAME for a Prefect block. Repeatable.",
        repeatable=True,
    ),
    "--tokenizer": Flag("endpoint.tokenizer", "FILE"),
    "--ca-file": Flag("endpoint.ca_file", "FILE"),
    "--insecure": Flag("endpoint.verify_tls", help="Accept any certificate of the server.", switches_off=True),
    "--workload": Flag("workload.preset", "NAME", "A preset; `shapebench workloads` lists them."),
    "--input-tokens": Flag("workload.input_tokens", "MEAN,STDDEV"),
    "--output-tokens": Flag("workload.output_tokens", "MEAN,STDDEV"),
    "--temperature": Flag("workload.temperature", "T"),
    "--extra-body": Flag("workload.extra_body", "JSON"),
    "--enforce-output-tokens": Flag("workload.enforce_output_tokens"),
    "--seed": Flag("workload.seed", "N"),
    "--levels": Flag("load.levels", "N,N,…"),
    "--requests": Flag(
        "load.requests", "N", "Requests to measure at each level. Empty: 30 for each stream, at least 100."
    ),
    "--duration": Flag(
        "load.duration_s", "S", "Measure each level for this long; with --requests, until whichever comes first."
    ),
    "--until-precise": Flag("load.until_precise", "2%"),
    "--request-timeout": Flag("load.request_timeout_s", "S"),
    "--stall-timeout": Flag("load.stall_timeout_s", "S"),
    "--processes": Flag("load.processes", "N"),
    "--calibrate": Flag("load.calibrate"),
    "--slo": Flag(
        "limits.slo",
        "SLO",
        "SLO in addition to the limits, such as 'ttft_s p99 <= 1' or 'error_rate <= 1%'. Repeatable.",
        repeatable=True,
    ),
    "--min-level": Flag("search.min_level", "N"),
    "--max-level": Flag("search.max_level", "N"),
    "--data": Flag("data", "DIR"),
    "--on-invalid": Flag("on_invalid", help="How the run ends when a level is invalid."),
    "--when-busy": Flag("when_busy", help="What to do while another run measures the endpoint."),
    "--users": Flag("users", "N", model=Choice),
}
# Set by commands themselves, not by a flag of that name.
WITHOUT_FLAG = {"slo_only": "limits.slo_only"}
FIELDS = {flag[2:].replace("-", "_"): entry.field for flag, entry in FLAGS.items()} | WITHOUT_FLAG


class FieldOption(click.Option):
    """An option that shows the default and the bounds of its field, but is None unless it is given."""

    def __init__(self, names: Sequence[str], *, entry: Flag) -> None:
        [flag] = names
        field = _field(entry.model, entry.field)
        kind, constraints = _unwrapped(field)
        text, _, empty = (entry.help or field.description or "").partition(" Empty: ")
        empty = empty or (field.description or "").partition(" Empty: ")[2]
        self._shown_default = empty.rstrip(".") or default_text(field)
        self._range = range_text(constraints)
        if entry.switches_off:
            self._shown_default = ""
            super().__init__([flag], is_flag=True, flag_value=False, default=None, help=text)
            return
        if kind is bool:
            switch = flag if field.default is False else f"{flag}/--no-{flag[2:]}"
            super().__init__([switch], is_flag=True, default=None, help=text)
            return
        parsed = any(isinstance(one, BeforeValidator | PlainValidator) for one in constraints)
        super().__init__(
            [flag],
            type=click.STRING if parsed else option_type(kind, constraints),
            metavar=entry.metavar,
            multiple=entry.repeatable,
            callback=(lambda _context, _option, value: [*value] or None) if entry.repeatable else None,
            help=text,
        )

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Add the field's default and bounds to what click shows."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        shown: OptionHelpExtra = {**extra}
        if self._shown_default:
            shown["default"] = self._shown_default
        if self._range:
            shown["range"] = self._range
        return shown


def _field(model: type[BaseModel], path: str) -> FieldInfo:
    """Find a field such as `load.requests` in a model."""
    first, _, rest = path.partition(".")
    field = model.model_fields[first]
    return _field(_unwrapped(field)[0], rest) if rest else field


def _unwrapped(field: FieldInfo) -> tuple[Any, list[object]]:
    """Return the type within Optional and Annotated, and the constraints on it."""
    kind: Any = field.annotation
    constraints = [*field.metadata]
    while (origin := get_origin(kind)) in (Annotated, Union, UnionType):
        kind, *more = (one for one in get_args(kind) if one is not NoneType)
        if origin is Annotated:
            constraints += [each for one in more for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return kind, constraints


def option_type(kind: Any, constraints: Iterable[object]) -> click.ParamType[Any]:
    """Make click's type for a field: a choice, a number in bounds, a path, or text that the model parses."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    bounds: dict[str, Any] = {}
    for one in constraints:
        match one:
            case Ge(ge=bound):
                bounds |= {"min": bound}
            case Gt(gt=bound):
                bounds |= {"min": bound, "min_open": True}
            case Le(le=bound):
                bounds |= {"max": bound}
            case Lt(lt=bound):
                bounds |= {"max": bound, "max_open": True}
    if kind is int:
        return click.IntRange(**bounds)
    if kind is float:
        return click.FloatRange(**bounds)
    return click.Path(path_type=Path) if kind is Path else click.STRING


def range_text(constraints: Iterable[object]) -> str:
    """Word the bounds on a number: `0 < x ≤ 300`."""
    low = high = ""
    for one in constraints:
        match one:
            case Ge(ge=bound):
                low = f"{_number(bound)} ≤ "
            case Gt(gt=bound):
                low = f"{_number(bound)} < "
            case Le(le=bound):
                high = f" ≤ {_number(bound)}"
            case Lt(lt=bound):
                high = f" < {_number(bound)}"
    return f"{low}x{high}" if low or high else ""


def _number(bound: object) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def default_text(field: FieldInfo) -> str:
    """Write a field's default as its flag takes it; empty where there is none."""
    default = None if field.is_required() else field.default
    match default:
        case None | False | ():
            return ""
        case dict() if not default:
            return ""
        case True:
            return "yes"
        case Normal(mean=mean, stddev=stddev):
            return f"{mean:g},{stddev:g}"
        case tuple():
            return ",".join(map(str, default))
        case _:
            return str(default)


def with_options(*options: Decorator[Command]) -> Decorator[Command]:
    """Join decorators to one; help shows the options in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def spec_options(*flags: str, help: str | None = None) -> Decorator[Any]:  # noqa: A002 - as click calls it
    """Add options that set fields of the spec; `help` in place of the table's."""

    def option(flag: str) -> Decorator[Any]:
        entry = FLAGS[flag]
        words = help or entry.help
        return click.option(flag, cls=FieldOption, entry=replace(entry, help=words))

    return with_options(*map(option, flags))


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object or list.")
volume_option = with_options(
    click.option("--quiet", "volume", flag_value="quiet", help="Print only errors to stderr."),
    click.option("--verbose", "volume", flag_value="verbose", help="Print milestones and Prefect's log lines."),
)
data_option = spec_options("--data")
endpoint_options = spec_options(
    *("--url", "--model", "--ready-timeout", "--api", "--auth", "--auth-option", "--path", "--query", "--header"),
    *("--ca-file", "--insecure", "--tokenizer", "--metrics-url"),
)
request_options = spec_options("--temperature", "--extra-body", "--enforce-output-tokens")
workload_options = with_options(
    spec_options("--workload", "--input-tokens", "--output-tokens"), request_options, spec_options("--seed")
)
load_options = spec_options(
    "--request-timeout", "--stall-timeout", "--duration", "--until-precise", "--processes", "--calibrate"
)
slo_in_place_of_limits = spec_options(
    "--slo",
    help="SLO that a level must meet, such as 'ttft_s p95 <= 0.5'. Repeatable. "
    f"Empty: the limits, {' and '.join(map(str, Limits().slos))}.",
)


def spec_from(file: Path | None, flags: Mapping[str, object]) -> Spec:
    """Read the spec in a file, with the given flags in place of its values; raises SpecError."""
    content = read(file) if file else {}
    content.setdefault("endpoint", {})
    for name, value in flags.items():
        if value is not None:
            *sections, field = FIELDS[name].split(".")
            section = content
            for key in sections:
                section = section.setdefault(key, {})
            section[field] = str(value) if isinstance(value, Path) else value
    return parse(content)
