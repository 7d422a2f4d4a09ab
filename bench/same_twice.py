"""Rate at which two equal levels are reported as different: at most one of twenty pairs, if the method is right.

The same level is measured twice in a row against one server on this machine, repeatedly. Mean TTFT and throughput are
compared as `support/batch_means.py:differ` does, each at the 5 % level. Two tests have two chances of error: "either"
is whether one differs at 2.5 % (Bonferroni), which is valid for any dependence.

Of 100 pairs at 5 %, 9 or more differ by chance once in sixteen times, 11 or more once in ninety. Levels of a second or
two depend on other load of the machine: then two in a row really differ. The reference server's timing does not depend
on its load. The simulator's streams share its steps, like those of an engine, and its preset "fast" uses a whole core:
it needs an idle machine and some hundred requests for each stream.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from scipy import stats

from cli.single_level import measure_single_level
from shapebench.analysis import level_samples
from shapebench.analysis.level_precision import estimate_precision
from shapebench.spec.model import Spec, parse
from shapebench.support.batch_means import Interval, Precision, difference
from shapebench.test_servers.reference import process as metronome
from shapebench.test_servers.simulator import process as simulator
from shapebench.test_servers.simulator.presets import LLAMA

SERVERS: dict[str, tuple[str, Callable[[], AbstractContextManager[str]]]] = {
    "metronome": ("metronome", lambda: metronome.running_reference_server(ttft_s=0.05, gap_s=0.002, jitter=0.2)),
    "fast": (LLAMA, lambda: simulator.running_simulator("fast")),
}


def level_spec(url: str, model: str, streams: int, requests_per_stream: int) -> Spec:
    load = {"levels": [streams], "requests_per_stream": requests_per_stream, "calibrate": False}
    return parse({"endpoint": {"url": url, "model": model}, "load": load})


def measured(spec: Spec) -> Precision:
    with tempfile.TemporaryDirectory() as scratch:
        measure_single_level(spec, Path(scratch))
        [file] = Path(scratch).glob("runs/*/level-*.parquet")
        return estimate_precision(level_samples.read(file))


def p_value(a: Interval | None, b: Interval | None) -> float:
    """Return the p-value of the difference between two levels, by scipy's Student's t."""
    if a is None or b is None:
        raise SystemExit("There are too few requests for an interval: ask for more --requests-per-stream.")
    found = difference(a, b)
    return float(2 * stats.t.sf(abs(found.mean) / found.standard_error, found.freedom))


def called_different(a: Precision, b: Precision) -> list[str]:
    found = {"TTFT": p_value(a.ttft, b.ttft), "throughput": p_value(a.throughput, b.throughput)}
    return [name for name, p in found.items() if p < 0.05] + ["either"] * (min(found.values()) < 0.025)


def line(name: str, called: int, pairs: int) -> str:
    """Format a row, with the range of the true rate by Clopper and Pearson."""
    likely = stats.binomtest(called, pairs).proportion_ci(0.95)
    return f"{name:<12}{called:5} of {pairs} = {called / pairs:6.1%}   (95 %: {likely.low:.1%} to {likely.high:.1%})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--requests-per-stream", type=int, default=30)
    parser.add_argument("--server", choices=[*SERVERS], default="metronome")
    given = parser.parse_args(arguments)
    model, running = SERVERS[given.server]
    called: Counter[str] = Counter()
    with running() as url:
        spec = level_spec(url, model, given.streams, given.requests_per_stream)
        for number in range(1, given.repetitions + 1):
            a, b = measured(spec), measured(spec)
            called.update(different := called_different(a, b))
            widths = " ".join(f"{i.relative:.2%}" for p in (a, b) for i in (p.ttft, p.throughput) if i)
            print(f"{number:4}  TTFT and throughput known to {widths}  {' '.join(different)}", flush=True)
    for name in ("TTFT", "throughput", "either"):
        print(line(name, called[name], given.repetitions))


if __name__ == "__main__":
    main()
