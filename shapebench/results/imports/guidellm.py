"""GuideLLM's JSON (0.8): a report with a benchmark for each level, and the single requests unless told to keep fewer.

How its words map to ours:

- each request has the moments at which it was sent, its first and its last token came: TTFT, end-to-end time
  (GuideLLM's own runs on until the stream is closed), TPOT and throughput are computed from them by our definitions.
- its ITL is our tpot_s: (last - first) / (n - 1). Its TPOT, E2E / n, has no place among our metrics. It keeps no single
  gaps, so there is no inter_token_s.
- tokens are the server's usage, unless it was told not to prefer that. Where the server gave none it counts chunks:
  then they are not known.
- over time: with all requests at hand our own definition is computed. Its own rates are over its measured window, from
  which it may leave warm-up and cool-down, with an answer's tokens spread evenly over its time.
- requests that were cut off when GuideLLM ended count as failed, as they did not complete; where there are any, its
  error rate is of another kind.
- where requests were not kept, its summary is taken: percentiles there are one of the values, where ours interpolate
  between two; its standard deviation divides by n, which is undone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shapebench.results.imports.answers import Answer, checked, summarise
from shapebench.results.imports.fields import (
    count,
    get,
    items,
    length,
    moment,
    nanoseconds,
    needed,
    number,
    text,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.numbers import Differs, Number, of_stats, sample_stddev, share, times, total
from shapebench.results.imports.tool import UNKNOWN_MODEL, UNKNOWN_WORKLOAD, Bundle, Level, Origin, Tool, at_concurrency
from shapebench.spec import metric_definitions
from shapebench.support.redact import redact_mapping

_TOKENS = "tokens are counted by GuideLLM's own tokenizer, not the server's usage"
_WINDOW = "over its measured window, from which warm-up and cool-down may be left out"
_SPREAD = f"{_WINDOW}, with an answer's tokens spread evenly over its time"
_RANKED = "a percentile is one of the values; ours interpolates between two"
_CUT_OFF = "requests that were cut off when the tool ended count as failed"
OF_TOKENS = ("input_tokens", "output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s")
OF_SUMMARY = {  # ours -> its name, and what makes seconds of it
    "ttft_s": ("time_to_first_token_ms", 1e-3),
    "e2e_s": ("request_latency", 1),
    "tpot_s": ("inter_token_latency_ms", 1e-3),
    "input_tokens": ("prompt_token_count", 1),
    "output_tokens": ("output_token_count", 1),
}


def _is_report(document: Document) -> bool:
    first = next(iter(items(document.content, "benchmarks")), None)
    return text(first, "type_") == "generative_benchmark"


def _read(bundle: Bundle) -> list[Level]:
    (document,) = bundle.documents
    return [_level(document, benchmark) for benchmark in items(document.content, "benchmarks")]


def _level(document: Document, benchmark: Any) -> Level:
    totals = get(benchmark, "metrics.request_totals")
    done = needed(count(totals, "successful"), "metrics.request_totals.successful")
    cut_off = count(totals, "incomplete") or 0
    gone = (count(totals, "errored") or 0) + cut_off
    differs = _differs(benchmark, cut_off)
    answers = checked(_answers(benchmark, done, gone))
    return Level(
        origin=_origin(document.content, benchmark),
        documents=(document,),
        concurrency=_concurrency(benchmark),
        completed=done,
        failed=gone,
        numbers=summarise(answers, differs) if answers else _summary(benchmark, done, gone, differs),
        answers=answers,
        differs=differs,
        started_at=moment(number(benchmark, "start_time")),
        wall_s=length(number(benchmark, "duration")),
        configuration=_configuration(benchmark),
    )


def _concurrency(benchmark: Any) -> int:
    """Only these two strategies keep a number of streams busy; the others send at a rate, or all at once."""
    streams = {"synchronous": 1, "concurrent": count(benchmark, "config.strategy.streams")}
    return at_concurrency(streams.get(text(benchmark, "config.strategy.type_") or ""))


def _origin(report: Any, benchmark: Any) -> Origin:
    data = next(iter(items(report, "config.spec.data")), None)
    kind, asked_in, asked_out = text(data, "kind"), count(data, "prompt_tokens"), count(data, "output_tokens")
    lengths = f" {asked_in} in, {asked_out} out" if asked_in and asked_out else ""
    return Origin(
        version=text(report, "metadata.guidellm_version"),
        model=text(benchmark, "config.backend.model") or UNKNOWN_MODEL,
        workload=f"{kind}{lengths}" if kind else UNKNOWN_WORKLOAD,
        url=text(benchmark, "config.backend.target") or "",
    )


def _configuration(benchmark: Any) -> Mapping[str, Any]:
    """`environment` is an object of Python's, of no meaning to others."""
    config = get(benchmark, "config")
    return redact_mapping({name: value for name, value in config.items() if name != "environment"}) if config else {}


def _differs(benchmark: Any, cut_off: int) -> Differs:
    own_count = get(benchmark, "config.prefer_response_metrics") is False
    return (dict.fromkeys(OF_TOKENS, _TOKENS) if own_count else {}) | ({"error_rate": _CUT_OFF} if cut_off else {})


def _answers(benchmark: Any, done: int, gone: int) -> list[Answer]:
    """Those of all requests, or none: it may have been told to keep only a sample of them."""
    whole = [_answer(row) for row in items(benchmark, "requests.successful")]
    broken = [_broken(row) for name in ("errored", "incomplete") for row in items(benchmark, f"requests.{name}")]
    return _in_order([*whole, *broken]) if (len(whole), len(broken)) == (done, gone) else []


def _in_order(answers: Iterable[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: answer.begun_s or 0)


def _answer(row: Any) -> Answer:
    timings = get(row, "info.timings")
    begun_s, first_s, last_s, end_s = (
        number(timings, name)
        for name in ("request_start", "first_token_iteration", "last_token_iteration", "request_end")
    )
    last_s = last_s if last_s is not None else end_s  # an answer that was not streamed comes as a whole
    return Answer(
        ttft_s=None if begun_s is None or first_s is None else first_s - begun_s,
        e2e_s=None if begun_s is None or last_s is None else last_s - begun_s,
        input_tokens=count(row, "input_metrics.total_tokens"),
        output_tokens=count(row, "output_metrics.total_tokens"),
        begun_s=begun_s,
        sent_at_ns=nanoseconds(begun_s),
        response_id=text(row, "response_id"),
    )


def _broken(row: Any) -> Answer:
    begun_s = number(row, "info.timings.request_start")
    return Answer(
        begun_s=begun_s,
        sent_at_ns=nanoseconds(begun_s),
        error_kind="reported" if text(row, "info.error") else "cut_off",
        error_message=text(row, "info.error"),
    )


def _summary(benchmark: Any, done: int, gone: int, differs: Differs) -> list[Number]:
    found = [n for ours in OF_SUMMARY for n in _distribution(benchmark, ours, differs.get(ours))]
    per_s, tokens_per_s = (
        number(benchmark, f"metrics.{name}.successful.mean")
        for name in ("requests_per_second", "output_tokens_per_second")
    )
    return [
        *found,
        *total("system_tokens_per_s", tokens_per_s, _SPREAD),
        *total("requests_per_min", times(per_s, 60), _WINDOW),
        *total("error_rate", share(gone, done + gone), differs.get("error_rate")),
    ]


def _distribution(benchmark: Any, ours: str, differs: str | None) -> list[Number]:
    name, unit = OF_SUMMARY[ours]
    given = get(benchmark, f"metrics.{name}.successful")
    of_values = count(given, "count")
    if not of_values:
        return []
    stats = {stat: times(number(given, stat), unit) for stat in ("mean", "min", "max")}
    stats["stddev"] = times(sample_stddev(number(given, "std_dev"), of_values), unit)
    ranked = {stat: times(number(given, f"percentiles.{stat}"), unit) for stat in metric_definitions.PERCENTILES}
    return [*of_stats(ours, stats, of_values, differs), *of_stats(ours, ranked, of_values, differs or _RANKED)]


TOOL = Tool(
    source="guidellm",
    label="GuideLLM",
    parts={"report": _is_report},
    together=lambda document: document.path,
    read=_read,
)
