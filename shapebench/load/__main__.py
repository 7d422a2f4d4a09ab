"""The process that measures one level: reads its plan on stdin, reports on stdout, writes samples to Parquet.

Each line on stdout is a JSON object: {"progress": …} several times a second, at the end {"result": …}. When stdin
ends, whoever started this process is gone: it stops, as on SIGTERM, and keeps what was measured.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orjson
import uvloop

from shapebench.load import samples, wire
from shapebench.load.level import Level
from shapebench.load.plan import LevelPlan

REPORT_EVERY_S = 0.25


def main() -> None:
    """Measure the level whose plan is the first line of stdin."""
    given = orjson.loads(sys.stdin.buffer.readline())
    plan = LevelPlan.from_json(orjson.dumps(given["plan"]))
    level = Level(plan, given["api_key"])
    gc.freeze()  # what is there now stays: no need to look through it while measuring
    uvloop.run(_measure(level, plan))


async def _measure(level: Level, plan: LevelPlan) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, level.stop)
    await loop.connect_read_pipe(lambda: _Parent(level.stop), sys.stdin)
    result = await _run(level)
    # Still in the loop, where a signal that comes twice does no harm.
    samples.write(level.samples, Path(plan.samples), {"plan": plan.to_json().decode()})
    _print({"result": result})


async def _run(level: Level) -> dict[str, object]:
    started_ns, started_cpu_s = time.time_ns(), time.process_time()
    reporter = asyncio.create_task(_report(level))
    await level.run()
    reporter.cancel()
    wall_s = (time.time_ns() - started_ns) / 1e9
    client = {
        "cpu_share": (time.process_time() - started_cpu_s) / wall_s,
        "max_rss_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
    }
    _print({"progress": asdict(level.progress())})
    return {
        "started_at_ns": started_ns,
        "wall_s": wall_s,
        "timestamps": wire.TIMESTAMPS,
        "interrupted": level.interrupted,
        "client": client,
    }


class _Parent(asyncio.Protocol):
    """Notices that the other end of stdin is gone."""

    def __init__(self, on_gone: Callable[[], None]) -> None:
        self._on_gone = on_gone

    def eof_received(self) -> None:
        self._on_gone()


async def _report(level: Level) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        _print({"progress": asdict(level.progress())})


def _print(message: dict[str, object]) -> None:
    with suppress(BrokenPipeError):  # nobody is left to tell, but the samples are still to be written
        os.write(sys.stdout.fileno(), orjson.dumps(message) + b"\n")


if __name__ == "__main__":
    main()
