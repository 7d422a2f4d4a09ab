"""The commands that query the numbers of a run's page from the results file."""

import shlex
from collections.abc import Iterable
from string import Template

from shapebench.report.pages.columns import COLUMNS, SERVER_COLUMNS, Column, select_list
from shapebench.support.wording import quoted

_OF_RUN = "WHERE run_id = $run"
_STATEMENTS = {
    "Results by level": f"SELECT $columns FROM level_summary {_OF_RUN} ORDER BY concurrency",  # noqa: S608
    "Throughput and latency plots": "SELECT concurrency, system_tokens_per_s, query_tokens_per_s_mean, "
    "ttft_s_mean, ttft_s_p95, verdict FROM level_summary WHERE run_id = $run ORDER BY concurrency",
    "Scaling": "FROM scaling WHERE run_id = $run ORDER BY concurrency",
    "Percentiles": "FROM metrics WHERE run_id = $run AND metric IN ('ttft_s', 'inter_token_s') "
    "ORDER BY concurrency, metric, stat",
    "Distributions": "FROM latency_distribution($run, $level)",
    "Timelines": "FROM timeline WHERE run_id = $run ORDER BY concurrency, at_s",
    "Timelines of the server": "FROM server_timeline WHERE run_id = $run ORDER BY concurrency, at_s",
    "Errors": "SELECT concurrency, error_kind, count(*) AS requests, mode(error_message) AS message FROM requests "
    "WHERE run_id = $run AND NOT warmup AND error_kind IS NOT NULL GROUP BY ALL ORDER BY concurrency",
    "Checks": "FROM findings WHERE run_id = $run ORDER BY concurrency",
    "Server metrics": f"SELECT {select_list(SERVER_COLUMNS)} FROM level_summary {_OF_RUN} ORDER BY concurrency",  # noqa: S608
    "Load generator": "FROM client_health WHERE run_id = $run ORDER BY concurrency",
    "Requests": "FROM requests WHERE run_id = $run ORDER BY concurrency, request_index",
    "Token times, from the Parquet file": "FROM token_gaps($run, $level)",
}


def queries(run_id: str, level: int, columns: Iterable[Column] = COLUMNS) -> dict[str, str]:
    """Return the commands by title; queries of a single level use this one, and the table of levels these columns."""
    values = {"run": quoted(run_id), "level": level, "columns": select_list(columns)}
    filled = {title: Template(sql).substitute(values) for title, sql in _STATEMENTS.items()}
    return {title: f"shapebench query {_shell_quoted(sql)}" for title, sql in filled.items()}


def _shell_quoted(sql: str) -> str:
    """Quote SQL for a shell: in double quotes, which is easier to read, where nothing in it expands."""
    return shlex.quote(sql) if {*sql} & {*'"$`\\!'} else f'"{sql}"'
