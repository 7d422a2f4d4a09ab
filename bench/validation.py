"""Time of validation: six levels of 500 requests each, without and with Great Expectations' own pages.

    python -m bench.validation [REPETITIONS]

The import of Great Expectations is printed separately.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from tests.level_sample import closed_loop, level

LEVELS, REQUESTS = (1, 2, 4, 8, 16, 32), 500


def main() -> None:
    """Print medians, in seconds."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    begun_s = time.perf_counter()
    from expectations.validate import validate

    print(f"import: {time.perf_counter() - begun_s:.2f} s")
    with tempfile.TemporaryDirectory() as scratch:
        levels = [one(Path(scratch), streams) for streams in LEVELS]
        for what, docs in (("validation", None), ("validation, with pages", Path(scratch) / "docs")):
            took_s = []
            for _ in range(repetitions):
                begun_s = time.perf_counter()
                verdict = validate(levels, docs)
                took_s.append(time.perf_counter() - begun_s)
            requests = sum(m.completed for m in levels)
            print(f"{what}: {statistics.median(took_s):.2f} s ({len(verdict.findings)} findings, {requests} requests)")


def one(folder: Path, streams: int) -> MeasuredLevel:
    return summarise_level(level(folder, streams, closed_loop(streams, requests_each=-(-REQUESTS // streams))))


if __name__ == "__main__":
    main()
