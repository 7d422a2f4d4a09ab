"""The commands that give each number of a run's page again, out of the results file."""

import shlex
from string import Template

from shapebench.report.pages.columns import ACCOUNT_COLUMNS, COLUMNS, selected
from shapebench.support.wording import quoted

_OF_RUN = "WHERE run_id = $run"
_STATEMENTS = {
    "Table of levels": f"SELECT {selected(COLUMNS)} FROM level_summary {_OF_RUN} ORDER BY concurrency",  # noqa: S608
    "Plots at the top": "SELECT concurrency, system_tokens_per_s, query_tokens_per_s_mean, ttft_s_mean, ttft_s_p95, "
    "verdict FROM level_summary WHERE run_id = $run ORDER BY concurrency",
    "Scaling": "FROM scaling WHERE run_id = $run ORDER BY concurrency",
    "Percentiles": "FROM metrics WHERE run_id = $run AND metric IN ('ttft_s', 'inter_token_s') "
    "ORDER BY concurrency, metric, stat",
    "Distributions": "FROM latency_distribution($run, $level)",
    "Over time": "FROM timeline WHERE run_id = $run ORDER BY concurrency, at_s",
    "Over time, by the server": "FROM server_timeline WHERE run_id = $run ORDER BY concurrency, at_s",
    "Errors": "SELECT concurrency, error_kind, count(*) AS requests, mode(error_message) AS message FROM requests "
    "WHERE run_id = $run AND NOT warmup AND error_kind IS NOT NULL GROUP BY ALL ORDER BY concurrency",
    "Expectations": "FROM findings WHERE run_id = $run ORDER BY concurrency",
    "The server's own account": f"SELECT {selected(ACCOUNT_COLUMNS)} FROM level_summary {_OF_RUN} ORDER BY concurrency",  # noqa: S608
    "The client that measured": "FROM client_health WHERE run_id = $run ORDER BY concurrency",
    "Each request": "FROM requests WHERE run_id = $run ORDER BY concurrency, request_index",
    "Each token, out of the Parquet file": "FROM token_gaps($run, $level)",
}


def queries(run_id: str, level: int) -> dict[str, str]:
    """What each gives, and how to type it; where one is of a single level, of this one."""
    filled = {what: Template(sql).substitute(run=quoted(run_id), level=level) for what, sql in _STATEMENTS.items()}
    return {what: f"shapebench query {_for_a_shell(sql)}" for what, sql in filled.items()}


def _for_a_shell(sql: str) -> str:
    """In double quotes, since there are single ones inside; where those would not keep it whole, as it must be."""
    return shlex.quote(sql) if {*sql} & {*'"$`\\!'} else f'"{sql}"'
