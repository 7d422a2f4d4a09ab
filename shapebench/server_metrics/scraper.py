"""Asks a server for /metrics while a level runs, from outside the processes that measure."""

import threading
import time
from array import array
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

from shapebench.errors import ShapebenchError
from shapebench.server_metrics.vllm_metrics import Values, known_values
from shapebench.support.atomic_file import atomic_write
from shapebench.support.timestamps import clock_ns

EVERY_S = 1.0
SCRAPES_AT_A_PACE = 3600  # an hour of them; then half as often, so that a week is a few times as many as a day
IDLE_TIMEOUT_S, IDLE_LOOK_S = 2.0, 0.05  # counters follow the last answers, and an aborted request ends a moment later
STOP_TIMEOUT_S = 0.5


class Scraper:
    """Asks before its block and each second within; nothing is raised where the server does not answer.

    `ask` gives the text of /metrics; `error` says why the last time brought nothing.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._keys: list[tuple[tuple[str, str], ...]] = []
        self._values: list[array[float]] = []  # a long level has thousands of scrapes: numbers only
        self._at_ns: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._each_second, daemon=True)
        self.error: str | None = None

    def __enter__(self) -> Self:
        self._take_when_idle()
        if self._at_ns:  # or it will not answer later either
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident:
            self._thread.join(STOP_TIMEOUT_S)  # it may wait for an answer: whoever stops a level does not

    def look_once_more(self) -> None:
        """The last look, at the end of the block, after which nothing more is asked."""
        self._over.set()
        if self._thread.ident:
            self._thread.join()
            self._take_when_idle()

    def _each_second(self) -> None:
        while not self._over.wait(EVERY_S * 2 ** (len(self._at_ns) // SCRAPES_AT_A_PACE)):
            self._take()

    def _take_when_idle(self) -> None:
        """Ask until nothing runs or waits any more; the last answer stays, also where that never comes."""
        deadline_s = time.monotonic() + IDLE_TIMEOUT_S
        while _somebody_inside(self._take()) and time.monotonic() < deadline_s:
            for kept in (self._keys, self._values, self._at_ns):
                kept.pop()
            time.sleep(IDLE_LOOK_S)

    def _take(self) -> Values:
        """Ask once; empty where there is no answer."""
        try:
            values = known_values(self._ask())
        except ShapebenchError as error:
            self.error = error.problem
            return {}
        except ValueError as error:
            self.error = f"/metrics cannot be read: {error}"
            return {}
        if not values:
            self.error = "/metrics has none of the names that vLLM gives its metrics."
            return {}
        self.error, keys = None, tuple(values)  # a gap in between shows in the series
        self._keys.append(self._keys[-1] if self._keys and self._keys[-1] == keys else keys)
        self._values.append(array("d", values.values()))
        self._at_ns.append(clock_ns())
        return values

    def write(self, path: Path) -> Path | None:
        """Rows of at_ns, metric, label and value, as a Parquet file; None where there is nothing, or no room for it."""
        if not self._at_ns:
            return None
        try:
            self._write(path)
        except OSError as error:
            self.error = f"what it said could not be written to {path}: {error}"
            return None
        return path

    def _write(self, path: Path) -> None:
        import pyarrow as pa  # only now: the command line knows this module, too
        import pyarrow.parquet as pq

        at_ns = self._at_ns[:]  # one that was left waiting for an answer may still add to the others
        each = list(chain.from_iterable(self._keys[: len(at_ns)]))
        moments = chain.from_iterable(repeat(at, len(keys)) for at, keys in zip(at_ns, self._keys, strict=False))
        columns: dict[str, Any] = {
            "at_ns": pa.array(moments, pa.int64()),
            "metric": pa.array((metric for metric, _ in each), pa.string()),
            "label": pa.array((label for _, label in each), pa.string()),
            "value": pa.array(chain.from_iterable(self._values[: len(at_ns)]), pa.float64()),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            pq.write_table(pa.table(columns), unfinished, compression="zstd")


def _somebody_inside(values: Values) -> bool:
    return any(values.get((name, ""), 0) for name in ("running_requests", "waiting_requests"))
