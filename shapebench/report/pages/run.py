"""The page of a run, its plots as PNG and SVG, and its PDF summary."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from altair.utils.schemapi import debug_mode

from shapebench.report.charts import distributions, errors, figure2, quantiles, scaling, timelines
from shapebench.report.charts.theme import Plot
from shapebench.report.pages import summary
from shapebench.report.pages.columns import CLIENT_COLUMNS, SCALING_COLUMNS, SERVER_COLUMNS, level_columns
from shapebench.report.pages.kit import Figure, figure, render
from shapebench.report.pages.origin import origin
from shapebench.report.pages.pictures import start_painters
from shapebench.report.pages.queries import queries
from shapebench.report.pages.run_content import Detail, Report

PARTS = {
    "curves": "Throughput and latency",
    "scales": "Scaling",
    "percentiles": "Percentiles",
    "distributions": "Distributions",
    "time": "Timelines",
    "failed": "Errors",
    "levels": "Results by level",
    "settings": "Test setup",
    "checks": "Checks",
}


def write(report: Report, folder: Path) -> Path:
    """Write the page, its pictures and the PDF summary; returns `folder/index.html`."""
    # The tests have altair check each chart; here it would take a quarter of the time.
    with debug_mode(False), start_painters(folder) as painters:
        groups = {name: [figure(plot, painters) for plot in group] for name, group in plots(report)}
    page = folder / "index.html"
    page.write_text(_page(report, groups), encoding="utf-8")
    summary.write(report, [*groups["curves"][:2], *groups["scaling"][:1], *groups["percentiles"][:1]], folder)
    return page


def plots(report: Report) -> Iterator[tuple[str, list[Plot]]]:
    """Yield the plots of each part of the page, in order and lazily; a part can have none."""
    levels, detail, title = report.levels, report.detail, report.title
    ttft_s = report.limits.ttft_s
    latencies = quantiles.ttft(ttft_s), quantiles.GAPS
    yield "curves", [entry.plot(levels, report.limits, title) for entry in figure2.CHARTS]
    yield "scaling", scaling.plots(detail.scaling, title, report.fit)
    yield "percentiles", [p for of in latencies for p in quantiles.plots(levels, detail.intervals, of, title)]
    yield "distributions", distributions.plots(detail.requests, levels, ttft_s, title)
    yield "timelines", timelines.plots(detail.timeline, detail.server_timeline, levels, title)
    yield "errors", errors.plots(detail.errors, levels, title)


def _page(report: Report, groups: dict[str, list[Figure]]) -> str:
    return render(
        "run.html.j2",
        [drawn for group in groups.values() for drawn in group],
        groups=groups,
        report=report,
        conclusion=report.conclusion,
        parts=PARTS,
        queries=queries(
            report.run["run_id"], int(max(report.levels["concurrency"], default=1)), level_columns(report.levels)
        ),
        **_levels(report),
        **_detail(report.detail),
        scaling_sentences=scaling.sentences(report.detail.scaling, report.fit),
        **origin(report.run, report.detail.servers),
    )


def _levels(report: Report) -> dict[str, Any]:
    levels = report.levels.sort_values("concurrency")
    columns = level_columns(levels)
    return {
        "columns": columns,
        "heads": [(group, list(members)) for group, members in groupby(columns, key=lambda column: column.group)],
        "levels": levels.to_dict("records"),
        "ended_early": list(levels.dropna(subset=["error"])[["error", "concurrency"]].itertuples(index=False)),
        "failed_requests": int(levels["failed"].astype(float).sum()),
        "server_columns": SERVER_COLUMNS,
        "server_metrics": _some(levels, "server_ttft_s"),
        "findings": report.findings.sort_values(["concurrency", "expectation"]).to_dict("records"),
    }


def _detail(detail: Detail) -> dict[str, Any]:
    return {
        "scaling_columns": SCALING_COLUMNS,
        "scaling": _some(detail.scaling, "tokens_per_s"),
        "failures": detail.errors.to_dict("records"),
        "client_columns": CLIENT_COLUMNS,
        "client": _some(detail.client, "timestamps"),
    }


def _some(rows: pd.DataFrame, column: str) -> list[dict[Any, Any]]:
    """Return the rows of a table, or none where this column, which it always has, is empty."""
    there = column in rows and rows[column].notna().any()
    return rows.sort_values("concurrency").to_dict("records") if there else []
