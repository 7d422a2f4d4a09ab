"""The report of one run: a page that works offline, and each plot as PNG and SVG beside it."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from platformdirs import user_cache_path
from pydantic import BaseModel

from shapebench.charts import CHARTS, PALETTES, ChartEntry
from shapebench.conclusion import conclude
from shapebench.spec import Endpoint, Limits, Load, Workload
from shapebench.whole import written_whole

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS: dict[str, type[BaseModel]] = {"endpoint": Endpoint, "workload": Workload, "load": Load, "limits": Limits}
_WORD = r"""(?:"[^"]*"|'[^']*'|\S+)"""
_SECRETS = (  # in addresses, and in the options and variables of a launch command
    (re.compile(r"://[^/\s@]+@"), "://…@"),
    (re.compile(rf"(--[\w-]*(?:key|token|secret|password)[= ]+){_WORD}", re.IGNORECASE), r"\1…"),
    (re.compile(rf"(\w*(?:KEY|TOKEN|SECRET|PASSWORD)=){_WORD}"), r"\1…"),
)
_FACTS = {
    "server": "Server",
    "version": "Server version",
    "models": "Models served",
    "max_model_len": "Longest context (tokens)",
    "fingerprint": "Fingerprint",
}
_ABSENT = "–"  # noqa: RUF001 - a dash, typographically


@dataclass(frozen=True)
class Report:
    """What the page shows: a row of the view `runs`, with its rows of `level_summary` and its findings."""

    run: dict[str, Any]
    levels: pd.DataFrame
    findings: pd.DataFrame
    data_docs: str | None = None  # where Great Expectations' own pages are, from this one

    @property
    def title(self) -> str:
        return f"{self.run['model']} on {self.run['shape']}"

    @property
    def limits(self) -> Limits:
        return Limits.model_validate(self.run["spec"].get("limits", {}))


@dataclass(frozen=True)
class Column:
    """One column of the table of levels: `cell` makes the text of a row's cell."""

    group: str  # columns that stand side by side under one heading; "" stands alone
    heading: str
    cell: Callable[[Mapping[str, Any]], str]
    definition: str

    @property
    def name(self) -> str:
        return f"{self.group}, {self.heading}" if self.group else self.heading


def _number(column: str, digits: int, scale: float, row: Mapping[str, Any]) -> str:
    value = row.get(column)
    return _ABSENT if value is None or pd.isna(value) else f"{value * scale:,.{digits}f}"


def _count(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 0, 1)


def _rate(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 1)


def _percent(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 100)


def _ms(column: str) -> Callable[[Mapping[str, Any]], str]:
    return partial(_number, column, 1, 1000)


_SYSTEM, _TTFT, _GAP = "System tokens/s", "Time to first token (ms)", "Between tokens (ms)"
COLUMNS = (
    Column(
        "",
        "Concurrent users",
        _count("concurrency"),
        "Requests in flight all the time; an answer's end sends the next.",
    ),
    Column("", "Requests", _count("completed"), "Requests that completed, warm-up not counted."),
    Column(
        "", "Failed", _count("failed"), "Requests that ended in an error; the columns to the right are of the others."
    ),
    Column(_SYSTEM, "whole", _rate("system_tokens_per_s"), "All output tokens, over first send to last arrival."),
    Column(_SYSTEM, "steady", _rate("steady_tokens_per_s"), "The same, only while all streams were busy."),
    Column(
        "",
        "Tokens/s for each query",
        _rate("query_tokens_per_s_mean"),
        "Output tokens over first byte sent to last token; mean.",
    ),
    Column(_TTFT, "mean", _ms("ttft_s_mean"), "From the request's first byte sent to the arrival of the first token."),
    Column(_TTFT, "p50", _ms("ttft_s_p50"), "Half of the requests waited no longer."),
    Column(
        _TTFT,
        "p95",
        _ms("ttft_s_p95"),
        "95% waited no longer; the limit is held against this. Withheld below 100 requests.",
    ),
    Column(_TTFT, "p99", _ms("ttft_s_p99"), "99% waited no longer. Withheld below 500 requests."),
    Column(
        _GAP,
        "p50",
        _ms("inter_token_s_p50"),
        "Time from one token's arrival to the next; half of the gaps are no longer.",
    ),
    Column(_GAP, "p99", _ms("inter_token_s_p99"), "99% of the gaps are no longer."),
)


ACCOUNT_COLUMNS = (
    COLUMNS[0],
    Column(
        "", "Mean TTFT by the server (ms)", _ms("server_ttft_s"), "From its receiving a request to its first token."
    ),
    Column(
        "",
        "Network and client (ms)",
        _ms("ttft_outside_server_s"),
        "Mean time to first token by the client's clock, less that by the server's.",
    ),
    Column("", "Most running", _count("running_requests_max"), "Requests that the engine worked on at once, at most."),
    Column("", "Most waiting", _count("waiting_requests_max"), "Requests that waited for their turn, at most."),
    Column("", "KV cache (%)", _percent("kv_cache_usage_max"), "How full the cache of keys and values was, at most."),
    Column("", "Preemptions", _count("preemptions"), "Requests thrown out of a full cache, to be done again."),
    Column(
        "",
        "Prefix cache hits (%)",
        _percent("prefix_cache_hit_rate"),
        "Prompt tokens that it had met before; the chat template is the same in all prompts.",
    ),
)


def warm_up() -> None:
    """Do ahead of time what each report needs and what takes a second or two: starting Vega, and bundling it."""
    _vega()
    vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "point"})


def write(report: Report, folder: Path) -> Path:
    """Write the plots, then the page that shows them; returns the page's path, `folder/index.html`."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [_figure(entry, report, folder) for entry in CHARTS]
    page = folder / "index.html"
    page.write_text(_page(report, figures), encoding="utf-8")
    return page


@dataclass(frozen=True)
class _Figure:
    """A plot on the page: a still picture, which prints and needs no script, and the chart that takes its place."""

    entry: ChartEntry
    alt: str
    still: str
    vega_lite: dict[str, Any]


def _figure(entry: ChartEntry, report: Report, folder: Path) -> _Figure:
    description = entry.describe(report.levels, report.limits)
    chart = entry.draw(report.levels, report.limits, report.title).properties(description=description)
    svg = folder / f"{entry.name}.svg"
    chart.save(str(svg))
    chart.save(str(folder / f"{entry.name}.png"), scale_factor=2)
    still = base64.b64encode(svg.read_bytes()).decode("ascii")
    return _Figure(entry, description, f"data:image/svg+xml;base64,{still}", _for_page(chart))


def _for_page(chart: alt.LayerChart) -> dict[str, Any]:
    """The chart as wide as its place on the page, whose headings take the part of the chart's title."""
    spec = {key: value for key, value in chart.to_dict().items() if key != "title"}
    return {**spec, "width": "container", "padding": 4, "autosize": {"type": "fit-x", "contains": "padding"}}


def _page(report: Report, figures: list[_Figure]) -> str:
    templates = _environment()
    style = templates.get_template("report.css").render(palettes=PALETTES)
    scripts = [_vega(), (_TEMPLATES / "report.js").read_text(encoding="utf-8")]
    return templates.get_template("report.html.j2").render(
        report=report,
        conclusion=conclude(report.levels, report.limits, report.run["verdict"]),
        figures=figures,
        charts={"palettes": PALETTES, "specs": {figure.entry.name: figure.vega_lite for figure in figures}},
        **_tables(report),
        **_origin(report.run),
        style=style,
        scripts=scripts,
        policy=_policy(style, scripts),
    )


def _environment() -> Environment:
    loader = FileSystemLoader(_TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _tables(report: Report) -> dict[str, Any]:
    levels = report.levels.sort_values("concurrency")
    return {
        "columns": COLUMNS,
        "heads": [(group, list(members)) for group, members in groupby(COLUMNS, key=lambda column: column.group)],
        "levels": levels.to_dict("records"),
        "errors": list(levels.dropna(subset=["error"])[["error", "concurrency"]].itertuples(index=False)),
        "account_columns": ACCOUNT_COLUMNS,
        "account": [] if _without_account(levels) else levels.to_dict("records"),
        "findings": report.findings.sort_values(["concurrency", "expectation"]).to_dict("records"),
    }


def _without_account(levels: pd.DataFrame) -> bool:
    return "server_ttft_s" not in levels or bool(levels["server_ttft_s"].isna().all())


def _origin(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": _without_secrets(run["url"]),
        "started": _utc(run["started_at"]),
        "took": _duration(run),
        "settings": _settings(run),
        "recipe": _recipe(run),
    }


def _policy(style: str, scripts: list[str]) -> str:
    """The Content-Security-Policy: this page's own style and scripts, pictures inside it, and nothing else."""
    sources = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {sources}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, of the version that altair writes for.

    Bundling takes a second or two, and gives the same for the same versions: it is kept in the user's cache.
    """
    schema = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    cached = user_cache_path("shapebench") / f"vega-lite-{schema}-vl-convert-{version('vl-convert-python')}.js"
    if cached.exists():
        return cached.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=schema)
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(cached) as unfinished:
            unfinished.write_text(bundle, encoding="utf-8")
    return bundle


def _settings(run: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Tables of what was run, by their headings."""
    spec = {name: _rows(run["spec"].get(name, {}), _titles(model)) for name, model in _SECTIONS.items()}
    tables = {
        "Run": [("Run", run["run_id"]), ("Seed", str(run["seed"])), ("Git revision", _shown(run["git_revision"]))],
        "Server": _rows({key: run["facts"].get(key) for key in _FACTS}, _FACTS),
        **{name.capitalize(): rows for name, rows in spec.items()},
        "Client machine": _rows(run["machine"], {}),
        "Versions": sorted(_rows(run["versions"], {name: name for name in run["versions"]})),
    }
    return {heading: rows for heading, rows in tables.items() if rows}


def _titles(model: type[BaseModel]) -> dict[str, str]:
    return {name: field.title or name for name, field in model.model_fields.items()}


def _rows(values: dict[str, Any], titles: dict[str, str]) -> list[tuple[str, str]]:
    return [(titles.get(key, key.replace("_", " ")), _shown(value)) for key, value in values.items()]


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return _ABSENT
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,.15g}"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_shown(item)}" for key, item in value.items())
        case list():
            return ", ".join(map(_shown, value))
    return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    for secret, cover in _SECRETS:
        text = secret.sub(cover, text)
    return text


def _recipe(run: dict[str, Any]) -> str:
    """The spec that repeats the run, as YAML; nothing where another tool measured."""
    if not run["spec"]:
        return ""
    spec = {name: dict(run["spec"][name]) for name in _SECTIONS}
    spec["workload"]["seed"] = run["seed"]
    spec["endpoint"] = {key: _covered(value) for key, value in spec["endpoint"].items() if value is not None}
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)


def _covered(value: Any) -> Any:
    return _without_secrets(value) if isinstance(value, str) else value


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _duration(run: dict[str, Any]) -> str:
    if pd.isna(run["finished_at"]):
        return _ABSENT
    took: timedelta = _utc(run["finished_at"]) - _utc(run["started_at"])
    minutes, seconds = divmod(round(took.total_seconds()), 60)
    return f"{minutes} min {seconds} s"
