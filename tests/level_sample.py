"""Levels as the instrument leaves them: samples in real Parquet files, of requests whose times are written out."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from shapebench.analysis.conclusion import Conclusion
from shapebench.analysis.measured_level import MeasuredLevel, summarise_level
from shapebench.load.sample_writer import SampleStream
from shapebench.results.rows import Tables, tables
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.runs.records import LevelRun, RequestedLoad, Run, ServerFacts, Status, Verdict
from shapebench.runs.samples_file import Sample, join
from shapebench.spec.lengths import Lengths
from shapebench.spec.model import parse

RUN_ID = "20260714T093000-a1b2c3"
CLIENT = {  # one that had nothing to do
    "processes": 1.0,
    "cpu_s": 0.65,
    "cpu_share": 0.1,
    "tokens": 100.0,
    "late_sends": 0.0,
    "shared_receive_tokens": 0.0,
    "clock_step_s": 0.0,
}
STARTED_AT = datetime(2026, 7, 14, 9, 30, tzinfo=UTC)
STARTED_NS = int(STARTED_AT.timestamp()) * 10**9
FACTS = ServerFacts(
    server="vllm",
    version="0.11.0",
    max_model_len=8192,
    models=("m",),
    fingerprint=None,
    sizing=PromptSizing(words=("the", "of"), exact=True),
    probe_e2e_s=0.5,
)


def request(index: int, sent_s: float, offsets_s: Iterable[float], **changes: Any) -> Sample:
    """A whole answer, sent `sent_s` after the level's start, of one token in each chunk unless `changes` say other."""
    chunk_offsets_s = list(offsets_s)
    chunk_tokens = changes.get("chunk_tokens", [1] * len(chunk_offsets_s))
    whole = Sample(
        request_index=index,
        stream=0,
        warmup=False,
        planned_input_tokens=200,
        planned_output_tokens=sum(chunk_tokens),
        sent_at_ns=STARTED_NS + round(sent_s * 1e9),
        ended_s=max(chunk_offsets_s, default=0.0),
        chunk_offsets_s=chunk_offsets_s,
        chunk_tokens=chunk_tokens,
        input_tokens=200,
        output_tokens=sum(chunk_tokens),
        finish_reason="length",
        response_id=f"cmpl-{index}",
        http_status=200,
        error_kind=None,
        error_message=None,
        token_counts="counted",
        token_source="usage",
    )
    return replace(whole, **changes)


def write(samples: list[Sample], path: Path) -> None:
    """The samples as a level leaves them."""
    stream = SampleStream(path.with_suffix(".arrow"))
    for made in samples:
        stream.add(made)
    stream.close()
    join([path.with_suffix(".arrow")], path, {})
    path.with_suffix(".arrow").unlink()


def refused(index: int, sent_s: float, **changes: Any) -> Sample:
    """A request that found nobody listening."""
    nothing = {"input_tokens": None, "output_tokens": None, "finish_reason": None, "response_id": None}
    error = {"http_status": None, "error_kind": "connection", "error_message": "refused", "planned_output_tokens": 10}
    return request(index, sent_s, [], **{**nothing, **error, **changes})


def closed_loop(streams: int, requests_each: int = 5) -> list[Sample]:
    """All streams busy without a pause: a warm-up request each, then answers of 10 tokens, one every 0.1 s."""
    return [
        request(
            index=turn * streams + stream,
            sent_s=turn * 1.0 + stream * 0.01,
            offsets_s=[0.1 * token for token in range(1, 11)],
            stream=stream,
            warmup=turn == 0,
        )
        for turn in range(1 + requests_each)
        for stream in range(streams)
    ]


ASKED = RequestedLoad(Lengths(200, 0), Lengths(10, 0), shared_tokens=5, weights_read_s=None)


def counted(samples: list[Sample]) -> dict[tuple[str, str], float]:
    """What an honest server would have counted of these requests, by metric and label; its own TTFT is 10 ms less."""
    done = [s for s in samples if not s.error_kind]
    return {
        ("finished_requests", "length"): len(done),
        ("prompt_tokens", ""): sum(s.input_tokens or 0 for s in done),
        ("generation_tokens", ""): sum(s.output_tokens or 0 for s in done),
        ("prefix_cache_queried_tokens", ""): sum(s.input_tokens or 0 for s in done),
        ("prefix_cache_hit_tokens", ""): 0,
        ("preemptions", ""): 0,
        ("ttft_s_sum", ""): sum(s.chunk_offsets_s[0] - 0.01 for s in done if s.chunk_offsets_s),
        ("ttft_s_count", ""): sum(bool(s.chunk_offsets_s) for s in done),
        ("ttft_s_bucket", "+Inf"): sum(bool(s.chunk_offsets_s) for s in done),
        ("inter_token_s_sum", ""): 0.1,
        ("inter_token_s_count", ""): 1,
        ("e2e_s_sum", ""): 1,
        ("e2e_s_count", ""): 1,
        ("running_requests", ""): 0,
        ("waiting_requests", ""): 0,
        ("kv_cache_usage", ""): 0,
    }


def server_says(path: Path, *moments: dict[tuple[str, str], float]) -> Path:
    """A server's account: what it said at each moment, a second apart, as it lies beside a level's samples."""
    rows = [
        {"at_ns": STARTED_NS + second * 10**9, "metric": metric, "label": label, "value": float(value)}
        for second, values in enumerate(moments)
        for (metric, label), value in values.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return path


def level(data: Path, concurrency: int, samples: list[Sample] | None, **changes: Any) -> LevelRun:
    """A level with its samples on disk, and the account of an honest server; None: it ended before it wrote any."""
    path = data / "runs" / str(changes.get("run_id", RUN_ID)) / f"level-{concurrency:04}.parquet"
    if samples is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(samples, path)
        account = counted(samples)
        changes.setdefault(
            "server_metrics",
            server_says(path.with_stem(path.stem.replace("level", "server")), dict.fromkeys(account, 0.0), account),
        )
    whole = LevelRun(
        run_id=RUN_ID,
        concurrency=concurrency,
        planned_requests=sum(not sample.warmup for sample in samples or ()) or 5,
        started_at=STARTED_AT + timedelta(seconds=10 * concurrency),
        wall_s=6.5,
        timestamps="kernel",
        samples=None if samples is None else path,
        enforced_output_tokens=True,
        exact_prompts=True,
        client=CLIENT,
        error="The measuring process ended (1): it said nothing" if samples is None else None,
        requested=ASKED,
        slo_bounds={"ttft_s": 0.5},
        is_vllm=True,
    )
    return replace(whole, **changes)


def clean(data: Path, concurrency: int, **changes: Any) -> MeasuredLevel:
    return summarise_level(level(data, concurrency, closed_loop(concurrency), **changes))


def run(data: Path, run_id: str = RUN_ID) -> Run:
    endpoint = {"url": "http://127.0.0.1:8000", "model": "m", "shape": "VM.GPU.A10.1"}
    return Run(
        run_id=run_id,
        started_at=STARTED_AT,
        spec=parse({"endpoint": endpoint, "load": {"levels": [1, 2]}, "data": data}),
        seed=4711,
        versions={"python": "3.11.9"},
        machine={"cpus": 2},
        git_revision=None,
    )


def verdict(levels: Iterable[MeasuredLevel], standing: Status = "valid") -> Verdict:
    return Verdict(standing, {m.level.concurrency: standing for m in levels}, ())


def run_tables(data: Path, run_id: str = RUN_ID, levels: list[MeasuredLevel] | None = None) -> Tables:
    """All rows of a run of two clean levels, or of those given."""
    of_run = [clean(data, n, run_id=run_id) for n in (1, 2)] if levels is None else levels
    return tables(run(data, run_id), FACTS, of_run, verdict(of_run), Conclusion("Suits at least 2 users", ()))
