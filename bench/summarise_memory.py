"""Memory and time to summarise a level of a million generated samples of 100 tokens.

    python bench/summarise_memory.py [--requests 1000000] [--tokens 100]

Another process generates them. Great Expectations itself is not included, only the preparation of its inputs.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shapebench.analysis.measured_level import summarise_level
from shapebench.results import database
from shapebench.runs.samples_file import ROW_GROUP, schema
from tests.level_sample import RUN_ID, STARTED_NS, level, run_tables

LIMIT_BYTES = 1e9
STREAMS, GAP_S, PAUSE_S = 256, 0.02, 1e-4


def make_up(file: Path, requests: int, tokens: int) -> None:
    """Streams take turns; each sends when its last answer is over."""
    rng, free_s = np.random.default_rng(1), np.zeros(STREAMS)
    with pq.ParquetWriter(file, schema(), compression="zstd") as writer:
        for first in range(0, requests, ROW_GROUP):
            index = np.arange(first, min(first + ROW_GROUP, requests))
            offsets_s = np.cumsum(rng.exponential(GAP_S, (len(index), tokens)), axis=1)
            sent_s = np.empty(len(index))
            for turn in range(0, len(index), STREAMS):
                ended_s = offsets_s[turn : turn + STREAMS, -1] + PAUSE_S
                sent_s[turn : turn + STREAMS] = free_s[: len(ended_s)]
                free_s[: len(ended_s)] += ended_s
            writer.write_table(samples(index, sent_s, offsets_s))


def samples(index: Any, sent_s: Any, offsets_s: Any) -> pa.Table:
    count, tokens = offsets_s.shape
    begins = pa.array(np.arange(count + 1, dtype=np.int32) * tokens)
    same = {"planned_input_tokens": 200, "input_tokens": 200, "planned_output_tokens": tokens, "output_tokens": tokens}
    same |= {"finish_reason": "length", "http_status": 200, "unaccounted_tokens": 0, "resent": False}
    columns = {
        **{name: [value] * count for name, value in same.items()},
        "request_index": index,
        "stream": index % STREAMS,
        "warmup": index < STREAMS,
        "sent_at_ns": STARTED_NS + (sent_s * 1e9).astype(np.int64),
        "ended_s": offsets_s[:, -1],
        "chunk_offsets_s": pa.ListArray.from_arrays(begins, pa.array(offsets_s.ravel())),
        "chunk_tokens": pa.ListArray.from_arrays(begins, pa.array(np.ones(offsets_s.size, dtype=np.int32))),
        "response_id": [f"chatcmpl-{number:032x}" for number in index],
        "error_kind": [None] * count,
        "error_message": [None] * count,
    }
    return pa.Table.from_pydict(columns, schema())


def most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, file = Path(folder), Path(folder) / "level.parquet"
        writer = multiprocessing.get_context("spawn").Process(
            target=make_up, args=(file, arguments.requests, arguments.tokens)
        )
        writer.start()
        writer.join()
        found, begun_s = [f"{most_mb():.0f} MB imported"], time.monotonic()

        def note(what: str) -> None:
            found.append(f"{most_mb():.0f} MB after {time.monotonic() - begun_s:.0f} s {what}")

        measured = summarise_level(replace(level(data, STREAMS, None), samples=file, error=None))
        note("summarised")
        from expectations import inputs  # seconds and 170 MB: the flow imports it only now, too

        inputs.answers(measured), inputs.level(measured)
        note("framed")
        tables = run_tables(data, levels=[measured])
        note("as tables")
        peak_mb = most_mb()
        database.load(data, RUN_ID, tables)
        note("in the results file")
    print(", ".join(found))
    return int(peak_mb * 1e6 >= LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
