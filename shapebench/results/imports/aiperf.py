"""AIPerf: `profile_export_aiperf.json`, and beside it `profile_export.jsonl` with a record for each request.

How its words map to ours (0.13):

- TTFT: to the first response with content, empty ones passed over; request latency: to the last one with content. The
  same as ttft_s and e2e_s.
- ITL, (latency - TTFT) / (tokens - 1), is our tpot_s; with --per-chunk-usage it divides by the tokens after the first
  chunk, which is of another kind.
- ICL is the time between chunks. Where as many chunks as tokens came, it is our inter_token_s; otherwise of another
  kind.
- tokens: the server's usage with --use-server-token-count. Without it they are AIPerf's own count of the text, and all
  that is made of them is of another kind; but records have the server's usage beside it where it gave one, and that is
  taken.
- benchmark_duration is from the first request to the last response, and all tokens over it are our throughput. AIPerf's
  own output_token_throughput is over the time of its phase, which begins before and ends after, and is not taken.
- its standard deviation divides by n, which is undone.
- times without a zone are taken for UTC; records have moments of their own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from shapebench.results.imports.answers import Answer, checked, completed, failed, span_s, summarise
from shapebench.results.imports.fields import (
    ImportFileError,
    count,
    epoch_ns,
    get,
    items,
    length,
    moment,
    moment_in,
    needed,
    number,
    numbers,
    text,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.numbers import Differs, Number, of_stats, sample_stddev, seconds, times, total
from shapebench.results.imports.tool import UNKNOWN_MODEL, UNKNOWN_WORKLOAD, Bundle, Level, Origin, Tool, at_concurrency
from shapebench.spec import metric_definitions
from shapebench.support.redact import redact_mapping

_TOKENS = "tokens are counted by AIPerf's own tokenizer, not the server's usage"
_GAPS = {"inter_token_s": "between chunks, each counted once whatever tokens it has"}
_AFTER_FIRST = {"tpot_s": "divides by the tokens after the first chunk, not by those after the first token"}
OF_OUTPUT = ("output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s")
OF_SUMMARY = {  # ours -> its name, and what makes seconds of it
    "ttft_s": ("time_to_first_token", 1e-3),
    "e2e_s": ("request_latency", 1e-3),
    "tpot_s": ("inter_token_latency", 1e-3),
    "inter_token_s": ("inter_chunk_latency", 1e-3),
    "query_tokens_per_s": ("e2e_output_token_throughput", 1),
    "input_tokens": ("input_sequence_length", 1),
    "output_tokens": ("output_sequence_length", 1),
}
STATS = {"mean": "avg", "min": "min", "max": "max", **{p: p for p in metric_definitions.PERCENTILES}}


def _is_summary(document: Document) -> bool:
    return text(document.content, "aiperf_version") is not None and get(document.content, "input_config") is not None


def _is_records(document: Document) -> bool:
    phases = [get(record, "metadata.benchmark_phase") for record in document.objects]
    return bool(phases) and None not in phases


def _together(document: Document) -> tuple[str, str]:
    """--profile-export-prefix names both files; without it one has the tool's name in it."""
    return str(document.folder), document.stem.removesuffix("_aiperf")


def _beside(path: Path) -> bool:
    """Its prompts, a summary of each phase once more, raw answers, and what other sources told of servers and GPUs."""
    inside_phases = any((folder / "phase_manifest.json").is_file() for folder in path.parents[1:3])
    of_run = any(path.parent.glob("*_aiperf.json"))
    other = (
        "inputs",
        "phase_manifest",
        "_raw",
        "_timeslices",
        "gpu_telemetry",
        "gpu_telemetry_export",
        "server_metrics",
    )
    return (inside_phases and "phases" in path.parts) or (
        of_run and path.stem.endswith((*other, "server_metrics_export"))
    )


def _read(bundle: Bundle) -> list[Level]:
    summary = bundle.one("summary", "it alone says at which concurrency the records came").content
    answers = checked(_answers(bundle))
    differs = _of_records(bundle, answers) if answers else _of_summary(summary)
    done = len(completed(answers)) if answers else needed(count(summary, "request_count.avg"), "request_count")
    return [
        Level(
            origin=_origin(summary),
            documents=bundle.documents,
            concurrency=at_concurrency(count(_phase(summary), "concurrency")),
            completed=done,
            failed=failed(answers) if answers else count(summary, "error_request_count.avg") or 0,
            numbers=summarise(answers, differs) if answers else _summary(summary, differs),
            answers=answers,
            differs=differs,
            planned=count(_phase(summary), "requests") or None,
            started_at=_started_at(summary, answers),
            wall_s=length(number(summary, "benchmark_duration.avg") or span_s(answers)),
            configuration=_configuration(summary),
        )
    ]


def _phase(summary: Any) -> Any:
    """The one that was measured; raises ImportFileError where it was not a closed loop of one concurrency."""
    measured = [phase for phase in items(summary, "input_config.phases") if text(phase, "kind") != "warmup"]
    if len(measured) != 1:
        raise ImportFileError(f"it has {len(measured)} measured phases where one is a concurrency level")
    at_concurrency(1 if text(measured[0], "type") == "concurrency" else None)
    return measured[0]


def _origin(summary: Any) -> Origin:
    config = get(summary, "input_config")
    data = next(iter(items(config, "datasets")), None)
    asked = [number(data, f"prompts.{way}.{stat}") for way in ("isl", "osl") for stat in ("mean", "stddev")]
    mean_in, spread_in, mean_out, spread_out = (f"{length or 0:g}" for length in asked)
    lengths = f"N({mean_in},{spread_in}) in, N({mean_out},{spread_out}) out" if asked[0] and asked[2] else None
    return Origin(
        version=text(summary, "aiperf_version"),
        model=text(next(iter(items(config, "models.items")), None), "name") or UNKNOWN_MODEL,
        workload=lengths or text(data, "type") or UNKNOWN_WORKLOAD,
        url=text({"url": next(iter(items(config, "endpoint.urls")), None)}, "url") or "",
    )


def _configuration(summary: Any) -> Mapping[str, Any]:
    config = get(summary, "input_config")
    return redact_mapping(config) if isinstance(config, dict) else {}


def _started_at(summary: Any, answers: list[Answer]) -> datetime | None:
    begun_s = min((answer.begun_s for answer in answers if answer.begun_s is not None), default=None)
    return moment(begun_s) or moment_in(text(summary, "start_time"), "%Y-%m-%dT%H:%M:%S.%f")


def _answers(bundle: Bundle) -> list[Answer]:
    if not bundle.all("records"):
        return []
    found = [_answer(record) for record in bundle.one("records", "").objects]
    return sorted(found, key=lambda answer: answer.begun_s or 0)


def _answer(record: Any) -> Answer:
    sent_ns = epoch_ns(record, "metadata.request_start_ns")
    known = Answer(
        begun_s=None if sent_ns is None else sent_ns / 1e9,
        sent_at_ns=sent_ns,
        warmup=text(record, "metadata.benchmark_phase") == "warmup",
    )
    return _broken(known, record) if get(record, "error") is not None else _whole(known, record)


def _whole(known: Answer, record: Any) -> Answer:
    own_in, own_out = (count(record, f"metrics.{way}_sequence_length.value") for way in ("input", "output"))
    gaps = numbers(record, "metrics.inter_chunk_latency.value")
    ttft_ms, latency_ms = (
        number(record, f"metrics.{name}.value") for name in ("time_to_first_token", "request_latency")
    )
    return replace(
        known,
        ttft_s=seconds(ttft_ms),
        e2e_s=seconds(needed(latency_ms, "a record's request_latency")),
        input_tokens=_usage(record, "prompt") if _usage(record, "prompt") is not None else own_in,
        output_tokens=_usage(record, "completion") if _usage(record, "completion") is not None else own_out,
        gaps_s=tuple(gap / 1000 for gap in gaps if gap is not None) if ttft_ms is not None else None,
    )


def _usage(record: Any, way: str) -> int | None:
    return count(record, f"metrics.usage_{way}_tokens.value")


def _broken(known: Answer, record: Any) -> Answer:
    status = count(record, "error.code")
    return replace(
        known,
        http_status=status if status and 100 <= status < 600 else None,
        error_kind="http_status" if status else "reported",
        error_message=text(record, "error.message"),
    )


def _of_records(bundle: Bundle, answers: list[Answer]) -> Differs:
    """Where a record lacks the server's usage, its tokens are AIPerf's own unless it was to ask the server."""
    done = [record for record in bundle.one("records", "").objects if get(record, "error") is None]
    asked = _counts_of_server(bundle.one("summary", "").content)
    own_in, own_out = (
        not asked and any(_usage(record, way) is None for record in done) for way in ("prompt", "completion")
    )
    a_token_each = all(len(answer.gaps_s or ()) + 1 == answer.output_tokens for answer in completed(answers))
    return _of_tokens(own_in=own_in, own_out=own_out) | ({} if a_token_each and not own_out else _GAPS)


def _of_summary(summary: Any) -> Differs:
    """As many chunks as tokens came where there are as many gaps between them as tokens after the first."""
    asked = _counts_of_server(summary)
    gaps, tokens, done = (
        count(summary, name) for name in ("inter_chunk_latency.count", "total_osl.avg", "request_count.avg")
    )
    a_token_each = asked and None not in (gaps, tokens, done) and (gaps or 0) == (tokens or 0) - (done or 0)
    per_chunk = get(summary, "input_config.endpoint.per_chunk_usage") is True
    return {
        **_of_tokens(own_in=not asked, own_out=not asked),
        **({} if a_token_each else _GAPS),
        **(_AFTER_FIRST if per_chunk else {}),
    }


def _counts_of_server(summary: Any) -> bool:
    return get(summary, "input_config.endpoint.use_server_token_count") is True


def _of_tokens(*, own_in: bool, own_out: bool) -> dict[str, str]:
    return {**({"input_tokens": _TOKENS} if own_in else {}), **(dict.fromkeys(OF_OUTPUT, _TOKENS) if own_out else {})}


def _summary(summary: Any, differs: Differs) -> list[Number]:
    found = [n for ours in OF_SUMMARY for n in _distribution(summary, ours, differs.get(ours))]
    length_s = number(summary, "benchmark_duration.avg") or None
    tokens, done = number(summary, "total_osl.avg"), number(summary, "request_count.avg")
    totals = {
        "system_tokens_per_s": times(tokens, 1 / length_s) if length_s else None,
        "requests_per_min": times(done, 60 / length_s) if length_s else None,
        "error_rate": times(number(summary, "request_error_rate.avg"), 1 / 100),  # it is in percent
    }
    return found + [n for ours, value in totals.items() for n in total(ours, value, differs.get(ours))]


def _distribution(summary: Any, ours: str, differs: str | None) -> list[Number]:
    name, unit = OF_SUMMARY[ours]
    given = get(summary, name)
    of_values = count(given, "count")
    stats = {stat: times(number(given, theirs), unit) for stat, theirs in STATS.items()}
    stats["stddev"] = times(sample_stddev(number(given, "std"), of_values), unit)
    return of_stats(ours, stats, of_values, differs)


TOOL = Tool(
    source="aiperf",
    label="AIPerf",
    parts={"summary": _is_summary, "records": _is_records},
    together=_together,
    read=_read,
    beside=_beside,
)
