"""Scraping of a server's /metrics while a level runs, outside the processes that measure."""

import threading
import time
from array import array
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

from shapebench.errors import ShapebenchError
from shapebench.server_metrics.engines import ENGINES
from shapebench.server_metrics.exposition import Values, known_values
from shapebench.support.atomic_file import atomic_write
from shapebench.support.timestamps import clock_ns

EVERY_S = 1.0
SCRAPES_AT_A_PACE = 3600  # an hour of them; then half as often, so that a week is a few times as many as a day
IDLE_TIMEOUT_S, IDLE_PAUSE_S = 2.0, 0.05  # counters follow the last answers, and an aborted request ends a moment later
STOP_TIMEOUT_S = 0.5


class Scraper:
    """Scrapes before the block and each second within; never raises if the server does not answer.

    `fetch` returns the text of /metrics; `error` says why the last scrape failed.
    """

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch
        self._keys: list[tuple[tuple[str, str], ...]] = []
        self._values: list[array[float]] = []  # a long level has thousands of scrapes: numbers only
        self._at_ns: list[int] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._scrape_each_second, daemon=True)
        self.error: str | None = None

    def __enter__(self) -> Self:
        self._scrape_when_idle()
        if self._at_ns:  # or it will not answer later either
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread.ident:
            self._thread.join(STOP_TIMEOUT_S)  # it may wait for an answer; stopping a level does not

    def scrape_at_end(self) -> None:
        """Scrape for the last time, at the end of the block."""
        self._stopped.set()
        if self._thread.ident:
            self._thread.join()
            self._scrape_when_idle()

    def _scrape_each_second(self) -> None:
        while not self._stopped.wait(EVERY_S * 2 ** (len(self._at_ns) // SCRAPES_AT_A_PACE)):
            self._scrape()

    def _scrape_when_idle(self) -> None:
        """Scrape until no request runs or waits, for a limited time, and keep the last scrape."""
        deadline_s = time.monotonic() + IDLE_TIMEOUT_S
        while _is_busy(self._scrape()) and time.monotonic() < deadline_s:
            for series in (self._keys, self._values, self._at_ns):
                series.pop()
            time.sleep(IDLE_PAUSE_S)

    def _scrape(self) -> Values:
        """Scrape once; empty if that fails."""
        try:
            values = known_values(self._fetch())
        except ShapebenchError as error:
            self.error = error.problem
            return {}
        except ValueError as error:
            self.error = f"/metrics cannot be read: {error}"
            return {}
        if not values:
            self.error = f"/metrics has none of the metrics of {', '.join(ENGINES[:-1])} or {ENGINES[-1]}."
            return {}
        self.error, keys = None, tuple(values)  # a gap in between shows in the series
        self._keys.append(self._keys[-1] if self._keys and self._keys[-1] == keys else keys)
        self._values.append(array("d", values.values()))
        self._at_ns.append(clock_ns())
        return values

    def write(self, path: Path) -> Path | None:
        """Write rows of at_ns, metric, label and value as a Parquet file; None if that is impossible."""
        if not self._at_ns:
            return None
        try:
            self._write(path)
        except OSError as error:
            self.error = f"the scraped metrics could not be written to {path}: {error}"
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


def _is_busy(values: Values) -> bool:
    return any(values.get((name, ""), 0) for name in ("running_requests", "waiting_requests"))
