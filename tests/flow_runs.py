"""Flow runs that a test breaks off, and what they have left in the data folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cli.local_prefect.services import MARK
from tests.conftest import MODEL

Files = dict[str, tuple[int, bytes]]


def spec(url: str, data: Path, levels: list[int], **load: Any) -> dict[str, Any]:
    """Short answers, and levels that end by time."""
    return {
        "endpoint": {"url": url, "model": MODEL},
        "workload": {"output_tokens": {"mean": 20, "stddev": 2}},
        "load": {"levels": levels, "duration_s": 1.0, "calibrate": False, **load},
        "data": str(data),
    }


def wait_until(condition: Callable[[], Any], at_most_s: float = 120) -> None:
    end_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)


def is_measured(data: Path, level: int) -> bool:
    """Has a level samples on disk, long before its end?"""
    parts = data.glob(f"runs/*/level-{level:04}.parquet.*.arrow")
    return any(part.stat().st_size > 10_000 for part in parts)


def set_state(run: str, kind: str, name: str | None = None, *, force: bool = False) -> None:
    answer = httpx.post(f"{run}/set_state", json={"state": {"type": kind, "name": name}, "force": force})
    assert answer.raise_for_status().json()["status"] == "ACCEPT", answer.text


def retry(run: str) -> None:
    """What the button in Prefect's UI does."""
    set_state(run, "SCHEDULED", "AwaitingRetry")


def state(run: str) -> str:
    kind: str = httpx.get(run).json()["state"]["type"]
    return kind


def level_files(data: Path) -> Files:
    """When each file of samples was written, and what it holds."""
    files = data.glob("runs/*/level-*.parquet")
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def sent_ns(file: Path) -> tuple[int, int]:
    """When the first and the last request of a level were sent."""
    span = pc.min_max(pq.read_table(file, columns=["sent_at_ns"])["sent_at_ns"]).as_py()
    return span["min"], span["max"]


def processes(mark: str, word: str) -> list[psutil.Process]:
    """Those of a service of `make up`, and of what it has started, that have this word in their command."""
    return [p for p in psutil.process_iter() if _told(p).get(MARK) == mark and word in _command(p)]


def seen_by_others(mark: str) -> str:
    """What `ps` shows of a service of `make up` and of all that it has started: their arguments and environments."""
    ours = [p for p in psutil.process_iter() if _told(p).get(MARK) == mark]
    return "\n".join(f"{_command(process)} {_told(process)}" for process in ours)


def _told(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def logs(api: str) -> str:
    """All that a Prefect server was told, as JSON: it gives 200 lines at a time, and other tests log there, too."""
    pages: list[str] = []
    while not pages or pages[-1] != "[]":
        asked = {"offset": 200 * len(pages)}
        pages.append(httpx.post(f"{api}/logs/filter", json=asked).raise_for_status().text)
    return "".join(pages)
