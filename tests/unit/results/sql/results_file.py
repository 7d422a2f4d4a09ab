"""A results file with rows that a test writes out, as the schema has them."""

import shutil
import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from shapebench.results import saturation
from shapebench.results.database import FILE_NAME, load, query
from shapebench.spec import metric_definitions

FIRST = datetime(2026, 7, 1)  # noqa: DTZ001 - the file's times are UTC and have no zone
STATS = {
    metric_definitions.column_name(m.name, stat): (m.name, stat)
    for m in metric_definitions.DISTRIBUTIONS
    for stat in metric_definitions.STATS
}
STATS |= {m.name: (m.name, metric_definitions.TOTAL) for m in metric_definitions.TOTALS}


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return load(Path(folder), "nothing", {}).read_bytes()


class ResultsFile:
    """Runs are of one endpoint and a day apart, levels valid, unless a test says other."""

    def __init__(self, data: Path) -> None:
        self.data = data
        (data / FILE_NAME).write_bytes(_empty())
        self._waiting: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def copy_to(self, data: Path) -> "ResultsFile":
        """The same in another folder, with what lies beside it."""
        copy = ResultsFile(data)
        shutil.copytree(self.data, data, dirs_exist_ok=True)
        return copy

    def run(self, run_id: str, day: int = 0, **changes: Any) -> None:
        started_at = FIRST + timedelta(days=day)
        of_endpoint = {"model": "m", "shape": "VM.GPU.A10.1", "url": "http://a", "workload": "chat", "server": "vllm"}
        nothing = dict.fromkeys(("spec", "facts", "versions", "machine"), "{}")
        outcome = {"verdict": "valid", "headline": "Suits", "seed": 1, "finished_at": started_at + timedelta(hours=1)}
        self._waiting["runs"].append(
            {"run_id": run_id, "started_at": started_at, **of_endpoint, **nothing, **outcome, **changes}
        )

    def level(self, run_id: str, concurrency: int, verdict: str = "valid", **values: float | None) -> None:
        """Its metrics are named as the columns of level_summary; those that are None are missing."""
        of_level = {"run_id": run_id, "concurrency": concurrency}
        about = {"planned_requests": 100, "completed": 100, "failed": 0, "started_at": FIRST, "wall_s": 60.0}
        how = {"timestamps": "kernel", "enforced_output_tokens": True, "exact_prompts": True, "client": "{}"}
        self._waiting["levels"].append({**of_level, "verdict": verdict, **about, **how})
        for name, value in values.items():
            metric, stat = STATS[name]
            if value is not None:
                self._waiting["metrics"].append({**of_level, "metric": metric, "stat": stat, "value": value})

    def request(self, run_id: str, concurrency: int, index: int, sent_s: float | None = 0.0, **changes: Any) -> None:
        of_level = {"run_id": run_id, "concurrency": concurrency, "request_index": index, "stream": 0, "warmup": False}
        sent_at = None if sent_s is None else FIRST + timedelta(seconds=sent_s)
        asked = {"sent_at": sent_at, "planned_input_tokens": 200, "planned_output_tokens": 100, "chunks": 1}
        self._waiting["requests"].append({**of_level, **asked, **changes})

    def defined_otherwise(self, run_id: str, metric: str) -> None:
        """As another tool's number that is not quite ours."""
        for row in self._waiting["metrics"]:
            if (row["run_id"], row["metric"]) == (run_id, metric):
                row["differs"] = "holds TTFT"

    def ask(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._answer(sql).to_pylist()
        return rows

    def columns(self, sql: str) -> list[str]:
        names: list[str] = self._answer(sql).column_names
        return names

    def _answer(self, sql: str) -> pa.Table:
        with duckdb.connect(self.data / FILE_NAME) as connection:
            loaded = {row["run_id"] for row in self._waiting["levels"]}
            for table, rows in self._waiting.items():
                for _, alike in groupby(sorted(rows, key=_names), key=_names):  # what a row lacks takes its default
                    connection.register("incoming", pa.Table.from_pylist(list(alike)))
                    connection.execute(f"INSERT INTO raw.{table} BY NAME FROM incoming")
            several = "SELECT run_id FROM raw.levels GROUP BY ALL HAVING count(*) > 1"  # one level has no curve
            for run_id in loaded & {run_id for (run_id,) in connection.execute(several).fetchall()}:
                saturation.store(connection, run_id)
        self._waiting.clear()
        return query(self.data, sql)


def _names(row: dict[str, Any]) -> list[str]:
    return sorted(row)
