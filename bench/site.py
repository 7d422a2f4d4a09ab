"""Time to build a site of many runs, and to build it again after one more; size of its index.

    python -m bench.site [RUNS]

Runs are of ten endpoints and six levels each, without requests, which the site does not read.
"""

import sys
import tempfile
import time
from pathlib import Path

from shapebench.report.build_site import Built, build
from tests.unit.results.sql.results_file import ResultsFile

ENDPOINTS, LEVELS = 10, (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Print a line for each build."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        results = ResultsFile(Path(folder))
        for number in range(count):
            add(results, number)
        results.ask("SELECT 1")
        timed(f"{count:,} runs", results)
        add(results, count)
        results.ask("SELECT 1")
        timed("one more", results)
        timed("nothing new", results)


def add(results: ResultsFile, number: int) -> None:
    run_id = f"run-{number:05}"
    results.run(run_id, number, url=f"http://endpoint-{number % ENDPOINTS}", shape=f"VM.GPU.{number % ENDPOINTS}")
    for concurrency in LEVELS:
        speed = {"system_tokens_per_s": 70.0 * concurrency**0.9, "query_tokens_per_s_mean": 70 / concurrency**0.1}
        results.level(run_id, concurrency, ttft_s_mean=0.04 + concurrency / 1000, **speed)


def timed(what: str, results: ResultsFile) -> Built:
    start_s = time.perf_counter()
    built = build(results.data, results.data / "site")
    took_s = time.perf_counter() - start_s
    size_mb = built.index.stat().st_size / 1e6
    print(f"{what}: {took_s:.1f} s, {len(built.written)} files written, index {size_mb:.2f} MB")
    return built


if __name__ == "__main__":
    main()
