"""The report of one run: a page that works offline, and each plot as PNG and SVG beside it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel

from shapebench.charts import figure2
from shapebench.charts.theme import Plot
from shapebench.conclusion import conclude
from shapebench.cover import without_secrets
from shapebench.pages.columns import ABSENT, ACCOUNT_COLUMNS, COLUMNS
from shapebench.pages.kit import Figure, figure, render
from shapebench.spec import Endpoint, Limits, Load, Workload

_SECTIONS: dict[str, type[BaseModel]] = {"endpoint": Endpoint, "workload": Workload, "load": Load, "limits": Limits}
_FACTS = {
    "server": "Server",
    "version": "Server version",
    "models": "Models served",
    "max_model_len": "Longest context (tokens)",
    "fingerprint": "Fingerprint",
}


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


def write(report: Report, folder: Path) -> Path:
    """Write the plots, then the page that shows them; returns the page's path, `folder/index.html`."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [figure(plot, folder) for plot in plots(report)]
    page = folder / "index.html"
    page.write_text(_page(report, figures), encoding="utf-8")
    return page


def plots(report: Report) -> list[Plot]:
    """The page's plots, in order."""
    return [entry.plot(report.levels, report.limits, report.title) for entry in figure2.CHARTS]


def _page(report: Report, figures: list[Figure]) -> str:
    return render(
        "run.html.j2",
        figures,
        report=report,
        conclusion=conclude(report.levels, report.limits, report.run["verdict"]),
        **_tables(report),
        **_origin(report.run),
    )


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
        "url": without_secrets(run["url"]),
        "started": _utc(run["started_at"]),
        "took": _duration(run),
        "settings": _settings(run),
        "recipe": _recipe(run),
    }


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
        return ABSENT
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,.15g}"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_shown(item)}" for key, item in value.items())
        case list():
            return ", ".join(map(_shown, value))
    return without_secrets(str(value))


def _recipe(run: dict[str, Any]) -> str:
    """The spec that repeats the run, as YAML; nothing where another tool measured."""
    if not run["spec"]:
        return ""
    spec = {name: dict(run["spec"][name]) for name in _SECTIONS}
    spec["workload"]["seed"] = run["seed"]
    spec["endpoint"] = {key: _covered(value) for key, value in spec["endpoint"].items() if value is not None}
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)


def _covered(value: Any) -> Any:
    return without_secrets(value) if isinstance(value, str) else value


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _duration(run: dict[str, Any]) -> str:
    if pd.isna(run["finished_at"]):
        return ABSENT
    took: timedelta = _utc(run["finished_at"]) - _utc(run["started_at"])
    minutes, seconds = divmod(round(took.total_seconds()), 60)
    return f"{minutes} min {seconds} s"
