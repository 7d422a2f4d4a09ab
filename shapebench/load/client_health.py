"""Health of the client: its numbers are valid only if it kept up with the server."""

import math
import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from shapebench.support.timestamps import ClockWatch

LATE_S = 0.010  # a request sent so long after its predecessor's end left its stream idle


class Histogram:
    """Times in bins of 2 %: quantiles at constant cost."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._count = 0
        self.max_s = 0.0

    def add(self, time_s: float) -> None:
        place = round(50 * math.log(max(time_s, 1e-9)))
        self._bins[place] = self._bins.get(place, 0) + 1
        self._count += 1
        self.max_s = max(self.max_s, time_s)

    def quantile_s(self, share: float) -> float:
        """Return the quantile, within 2 %; 0 where there are none."""
        left = share * self._count
        for place in sorted(self._bins):
            left -= self._bins[place]
            if left <= 0:
                return min(math.exp(place / 50), self.max_s)
        return self.max_s


@dataclass
class ClientHealth:
    """Measurements of the client while a level runs."""

    iteration: Histogram = field(default_factory=Histogram)  # of the loop: how long what arrives may have to wait
    read_lag: Histogram = field(default_factory=Histogram)  # from an arrival in the kernel to its reading
    send_lag: Histogram = field(default_factory=Histogram)  # from the end of an answer to its stream's next request
    late_sends: int = 0
    tokens: int = 0
    shared_tokens: int = 0  # that came in one receive with the one before: when each came is not known
    clock: ClockWatch = field(default_factory=ClockWatch)
    started_s: float = field(default_factory=time.monotonic)
    started_cpu_s: float = field(default_factory=time.process_time)

    def sent(self, lag_s: float) -> None:
        self.send_lag.add(lag_s)
        self.late_sends += lag_s > LATE_S

    def received(self, tokens: int, arrivals_s: list[float]) -> None:
        self.tokens += tokens
        self.shared_tokens += len(arrivals_s) - len(set(arrivals_s))

    def summary(self) -> dict[str, float]:
        """Return the figures of this process; CPU time is user and kernel."""
        cpu_s = time.process_time() - self.started_cpu_s
        return {
            "cpu_s": cpu_s,
            "process_cpu_s": time.process_time(),  # with Python's start, imports, the first prompts and connections
            "cpu_share": cpu_s / (time.monotonic() - self.started_s),
            "cores": float(cores()),
            "realtime": float(_is_realtime()),  # 1: does not wait for other processes
            "max_rss_bytes": _max_rss_bytes(),
            "loop_lag_p99_s": self.iteration.quantile_s(0.99),
            "loop_lag_max_s": self.iteration.max_s,
            "read_lag_p50_s": self.read_lag.quantile_s(0.5),
            "read_lag_p99_s": self.read_lag.quantile_s(0.99),
            "read_lag_max_s": self.read_lag.max_s,
            "send_lag_p50_s": self.send_lag.quantile_s(0.5),
            "send_lag_p99_s": self.send_lag.quantile_s(0.99),
            "send_lag_max_s": self.send_lag.max_s,
            "late_sends": float(self.late_sends),
            "tokens": float(self.tokens),
            "shared_receive_tokens": float(self.shared_tokens),
            "clock_step_s": self.clock.step_s,
        }


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _max_rss_bytes() -> float:
    """Read the peak memory; getrusage would include that of the parent process before exec."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _is_realtime() -> bool:
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        return False
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)


SUMS = ("cpu_s", "process_cpu_s", "late_sends", "tokens", "shared_receive_tokens")
MERGED_BY: dict[str, Callable[[Iterable[float]], float]] = {**dict.fromkeys(SUMS, sum), "realtime": min}


def merge_summaries(summaries: list[dict[str, float]]) -> dict[str, float]:
    """Merge the summaries of a level's processes: sums where possible, else the worst."""
    if not summaries:
        return {}
    merged = {name: MERGED_BY.get(name, max)(summary[name] for summary in summaries) for name in summaries[0]}
    per_token_us = {"cpu_us_per_token": 1e6 * merged["cpu_s"] / merged["tokens"]} if merged["tokens"] else {}
    return {"processes": float(len(summaries)), **merged, **per_token_us}
