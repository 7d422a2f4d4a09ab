"""Build the report of a run from the results file."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from shapebench.analysis import percentile_intervals as intervals
from shapebench.report.pages import run as page
from shapebench.report.pages.run_content import Detail, Report
from shapebench.results import database, views
from shapebench.runs.records import DATA_DOCS

COMPLETED = """
    SELECT concurrency, ttft_s, e2e_s, tpot_s FROM requests
    WHERE run_id = ? AND NOT warmup AND error_kind IS NULL ORDER BY concurrency, sent_at, request_index
"""
ERRORS = """
    SELECT concurrency, error_kind AS kind, count(*) AS requests, coalesce(mode(error_message), '') AS message
    FROM requests WHERE run_id = ? AND NOT warmup AND error_kind IS NOT NULL
    GROUP BY ALL ORDER BY concurrency, requests DESC, kind
"""
SERVERS = """
    SELECT DISTINCT server_address FROM requests
    WHERE run_id = ? AND server_address IS NOT NULL AND error_kind IS NULL ORDER BY ALL
"""

logger = logging.getLogger("shapebench.report")


def build_report(data: Path, run_id: str) -> Path:
    """Write a run's pages and pictures to DATA/reports/RUN_ID; returns the page."""
    folder = data / "reports" / run_id
    content = Report(
        run=views.read_run(data, run_id),
        levels=views.read_levels(data, "level_summary", run_id),
        findings=views.read_levels(data, "findings", run_id),
        data_docs=_copy_data_docs(data / "runs" / run_id / DATA_DOCS, folder / DATA_DOCS),
        detail=_detail(data, run_id),
    )
    return page.write(content, folder)


def _detail(data: Path, run_id: str) -> Detail:
    requests = database.query(data, COMPLETED, [run_id]).to_pandas()
    by_level = ("scaling", "timeline", "server_timeline")
    return Detail(
        **{view: views.read_levels(data, view, run_id) for view in by_level},
        requests=requests,
        intervals=_intervals(requests, data / "runs" / run_id),
        errors=database.query(data, ERRORS, [run_id]).to_pandas(),
        client=views.read_levels(data, "client_health", run_id),
        servers=[row["server_address"] for row in database.query(data, SERVERS, [run_id]).to_pylist()],
        searches=views.read_searches(data, run_id),
    )


def _intervals(requests: pd.DataFrame, samples: Path) -> pd.DataFrame:
    """Return intervals of the percentiles of TTFT, and of inter-token times where the Parquet files are still there."""
    columns = ["concurrency", "metric", "stat", "low_s", "high_s"]
    rows = [
        (level, metric, stat, *ends)
        for level in requests["concurrency"].unique().tolist()
        for metric, values in _sliced(requests[requests["concurrency"] == level], level, samples)
        for stat, ends in intervals.shown_intervals(values).items()
    ]
    return pd.DataFrame(rows, columns=columns)


def _sliced(requests: pd.DataFrame, level: int, samples: Path) -> Iterator[tuple[str, intervals.Sliced]]:
    yield "ttft_s", intervals.slice_requests(requests["ttft_s"], level)
    file = samples / f"level-{level:04d}.parquet"
    try:
        if file.exists():
            yield "inter_token_s", intervals.slice_gaps(file, level)
    except (OSError, KeyError, ValueError) as error:  # truncated, or of an earlier version
        logger.warning("%s cannot be read, so the report has no intervals of inter-token times: %s", file, error)


def _copy_data_docs(source: Path, copy: Path) -> str | None:
    """Copy Great Expectations' pages into the report, where there are some; returns their address."""
    if not source.exists():
        return None
    shutil.copytree(source, copy, dirs_exist_ok=True)
    return f"{copy.name}/index.html"
