"""GuideLLM's JSON (from 0.2 on): a report with a benchmark for each level, and single requests, all or a sample.

How its words map to ours:

- each request has the times of its sending, first and last token: TTFT, end-to-end time (GuideLLM's own ends when the
  stream is closed), TPOT and throughput are computed from them by our definitions.
- its ITL is our tpot_s: (last - first) / (n - 1). Its TPOT, E2E / n, is none of our metrics. It stores no single
  gaps, so there is no inter_token_s.
- tokens are the server's usage, unless it was configured otherwise. If the server sent none, it counts chunks: then
  they are unknown.
- rates: computed by our definition if all requests are stored. Its own are over its measured window, which may exclude
  warm-up and cool-down, with an answer's tokens spread evenly over its time.
- requests that were aborted when GuideLLM ended count as failed; if there are any, its error rate differs.
- 0.2 and 0.3 have the same numbers in other places, and name no version, as 0.4 does not. 0.1 had another form.
- without single requests, its summary is used: its percentiles are one of the values, while ours interpolate between
  two; its standard deviation divides by n, which is undone.
"""

import re
from collections.abc import Mapping
from pathlib import PurePath

from pydantic import AliasChoices, AliasPath, Field

from shapebench.results.imports.answers import Answer, checked, summarise
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    Fields,
    ImportFileError,
    Items,
    JsonModel,
    Text,
    epoch_to_datetime,
    require,
    to_nanoseconds,
    valid_duration,
)
from shapebench.results.imports.json_model import (
    Number as JsonNumber,
)
from shapebench.results.imports.numbers import Differs, Number, Summarised, of_given, share, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_WORKLOAD,
    FileSet,
    Level,
    Origin,
    Tool,
    at_concurrency,
)
from shapebench.spec import metric_definitions
from shapebench.support.redact import redact_mapping

_TOKENS = "tokens are counted by GuideLLM's own tokenizer, not the server's usage"
_WINDOW = "over its measured window, which may exclude warm-up and cool-down"
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


class Stats(JsonModel):
    """The distribution of a metric over the requests that completed."""

    count: Count = None
    mean: JsonNumber = None
    min: JsonNumber = None
    max: JsonNumber = None
    std_dev: JsonNumber = None
    percentiles: Fields[JsonNumber] = Field(default_factory=dict)


class MetricByOutcome(JsonModel):
    """A metric of requests by how they ended; only those that completed are read."""

    successful: Stats = Field(default_factory=Stats)


def _moment(new: str, old: str) -> AliasChoices:
    """Look for a moment of a request where newer versions have it, and where 0.2 and 0.3 do."""
    return AliasChoices(AliasPath("info", "timings", new), AliasPath(old))


class Request(JsonModel):
    """One request; moments are seconds since 1970."""

    begun_s: JsonNumber = Field(None, validation_alias=_moment("request_start", "start_time"))
    first_s: JsonNumber = Field(None, validation_alias=_moment("first_token_iteration", "first_token_time"))
    last_s: JsonNumber = Field(None, validation_alias=_moment("last_token_iteration", "last_token_time"))
    end_s: JsonNumber = Field(None, validation_alias=_moment("request_end", "end_time"))
    input_tokens: Count = Field(
        None, validation_alias=AliasChoices(AliasPath("input_metrics", "total_tokens"), AliasPath("prompt_tokens"))
    )
    output_tokens: Count = Field(
        None, validation_alias=AliasChoices(AliasPath("output_metrics", "total_tokens"), AliasPath("output_tokens"))
    )
    response_id: Text = None
    error: Text = Field(None, validation_alias=AliasChoices(AliasPath("info", "error"), AliasPath("error")))

    def completed(self) -> Answer:
        """Convert a request that completed; an answer that was not streamed arrives at its end."""
        last_s = self.last_s if self.last_s is not None else self.end_s
        return Answer(
            ttft_s=None if self.begun_s is None or self.first_s is None else self.first_s - self.begun_s,
            e2e_s=None if self.begun_s is None or last_s is None else last_s - self.begun_s,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            begun_s=self.begun_s,
            sent_at_ns=to_nanoseconds(self.begun_s),
            response_id=self.response_id,
        )

    def failed(self) -> Answer:
        """Convert a request that failed, or was cut off."""
        return Answer(
            begun_s=self.begun_s,
            sent_at_ns=to_nanoseconds(self.begun_s),
            error_kind="reported" if self.error else "cut_off",
            error_message=self.error,
        )


class Requests(JsonModel):
    """The requests that were kept."""

    successful: Items[Request] = Field(default_factory=list)
    errored: Items[Request] = Field(default_factory=list)
    incomplete: Items[Request] = Field(default_factory=list)


def _in_either(new: tuple[str, ...], old: tuple[str, ...]) -> AliasChoices:
    """Look where newer versions have something, and where 0.2 and 0.3 do."""
    return AliasChoices(AliasPath(*new), AliasPath(*old))


class Benchmark(JsonModel):
    """One level."""

    type: Text = Field(None, validation_alias="type_")
    start_time: JsonNumber = None
    duration: JsonNumber = None
    config: Fields[object] = Field(default_factory=dict)
    old_args: Fields[object] = Field(default_factory=dict, validation_alias="args")
    old_worker: Fields[object] = Field(default_factory=dict, validation_alias="worker")
    old_data: Text = Field(None, validation_alias=AliasPath("request_loader", "data"))
    strategy: Text = Field(
        None, validation_alias=_in_either(("config", "strategy", "type_"), ("args", "strategy", "type_"))
    )
    streams: Count = Field(
        None, validation_alias=_in_either(("config", "strategy", "streams"), ("args", "strategy", "streams"))
    )
    model: Text = Field(None, validation_alias=_in_either(("config", "backend", "model"), ("worker", "backend_model")))
    target: Text = Field(
        None, validation_alias=_in_either(("config", "backend", "target"), ("worker", "backend_target"))
    )
    prefer_response_metrics: object = Field(None, validation_alias=AliasPath("config", "prefer_response_metrics"))
    successful: Count = Field(
        None, validation_alias=_in_either(("metrics", "request_totals", "successful"), ("request_totals", "successful"))
    )
    errored: Count = Field(
        None, validation_alias=_in_either(("metrics", "request_totals", "errored"), ("request_totals", "errored"))
    )
    incomplete: Count = Field(
        None, validation_alias=_in_either(("metrics", "request_totals", "incomplete"), ("request_totals", "incomplete"))
    )
    metrics: Fields[MetricByOutcome] = Field(default_factory=dict)
    requests: Requests = Field(default_factory=Requests)

    @property
    def done(self) -> int:
        return require(self.successful, "metrics.request_totals.successful")

    @property
    def cut_off(self) -> int:
        return self.incomplete or 0

    @property
    def gone(self) -> int:
        return (self.errored or 0) + self.cut_off

    def stats(self, name: str) -> Stats:
        """Return the distribution of one of its metrics."""
        return self.metrics.get(name, MetricByOutcome()).successful


class Dataset(JsonModel):
    """Data set."""

    kind: Text = None
    prompt_tokens: Count = None
    output_tokens: Count = None


class ReportFile(JsonModel):
    """The whole file."""

    version: Text = Field(None, validation_alias=AliasPath("metadata", "guidellm_version"))
    data: Dataset = Field(default_factory=Dataset, validation_alias=AliasPath("config", "spec", "data", 0))
    old_data: Text = Field(None, validation_alias=AliasPath("args", "data", 0))
    benchmarks: Items[Benchmark] = Field(default_factory=list)

    def workload(self, benchmark: Benchmark) -> str:
        """Name the data set; before 0.7 it is a text such as `prompt_tokens=20,output_tokens=6`, or a file's name."""
        described = self.old_data or benchmark.old_data or ""
        found = dict(re.findall(r"(prompt_tokens|output_tokens)[\"']?\s*[=:]\s*(\d+)", described))
        sent = self.data.prompt_tokens or found.get("prompt_tokens")
        received = self.data.output_tokens or found.get("output_tokens")
        kind = self.data.kind or ("synthetic" if found else PurePath(described).name)
        return f"{kind} {sent} in, {received} out" if sent and received else kind or UNKNOWN_WORKLOAD


class FirstBenchmark(JsonModel):
    """Part of the report by which this tool is recognised."""

    type: Text = Field(None, validation_alias=AliasPath("benchmarks", 0, "type_"))
    nested: object = Field(None, validation_alias=AliasPath("benchmarks", 0, "benchmarks", 0, "concurrencies"))

    @property
    def is_of_oldest(self) -> bool:
        """Check whether GuideLLM 0.1 wrote it, whose reports hold benchmarks one level further down."""
        return self.nested is not None


def _is_report(document: Document) -> bool:
    first = FirstBenchmark.parse(document.content)
    return first.type == "generative_benchmark" or first.is_of_oldest


def _read(file_set: FileSet) -> list[Level]:
    (document,) = file_set.documents
    if FirstBenchmark.parse(document.content).is_of_oldest:
        raise ImportFileError("it was written by GuideLLM 0.1; 0.2 is the oldest that is read")
    report = ReportFile.parse(document.content)
    return [_level(document, report, benchmark) for benchmark in report.benchmarks]


def _level(document: Document, report: ReportFile, benchmark: Benchmark) -> Level:
    differs = _differs(benchmark)
    answers = checked(_answers(benchmark))
    return Level(
        origin=Origin(
            version=report.version,
            model=benchmark.model or UNKNOWN_MODEL,
            workload=report.workload(benchmark),
            url=benchmark.target or "",
        ),
        documents=(document,),
        concurrency=_concurrency(benchmark),
        completed=benchmark.done,
        failed=benchmark.gone,
        numbers=summarise(answers, differs) if answers else _summary(benchmark, differs),
        answers=answers,
        differs=differs,
        started_at=epoch_to_datetime(benchmark.start_time),
        wall_s=valid_duration(benchmark.duration),
        configuration=_configuration(benchmark),
    )


def _concurrency(benchmark: Benchmark) -> int:
    """Return the number of streams, which is constant in two strategies only."""
    streams = {"synchronous": 1, "concurrent": benchmark.streams}
    return at_concurrency(streams.get(benchmark.strategy or ""))


def _configuration(benchmark: Benchmark) -> Mapping[str, object]:
    """Return the configuration without `environment`, a Python object."""
    of_old = {"args": benchmark.old_args, "worker": benchmark.old_worker} if benchmark.old_args else {}
    return redact_mapping({name: value for name, value in benchmark.config.items() if name != "environment"} | of_old)


def _differs(benchmark: Benchmark) -> Differs:
    own_count = benchmark.prefer_response_metrics is False
    cut_off = {"error_rate": _CUT_OFF} if benchmark.cut_off else {}
    return (dict.fromkeys(OF_TOKENS, _TOKENS) if own_count else {}) | cut_off


def _answers(benchmark: Benchmark) -> list[Answer]:
    """Return all requests, or none if it stored only a sample."""
    kept = benchmark.requests
    whole = [request.completed() for request in kept.successful]
    broken = [request.failed() for request in (*kept.errored, *kept.incomplete)]
    if (len(whole), len(broken)) != (benchmark.done, benchmark.gone):
        return []
    return sorted([*whole, *broken], key=lambda answer: answer.begun_s or 0)


def _summary(benchmark: Benchmark, differs: Differs) -> list[Number]:
    done, gone = benchmark.done, benchmark.gone
    return [
        *(n for ours in OF_SUMMARY for n in _distribution(benchmark, ours, differs.get(ours))),
        *total("system_tokens_per_s", benchmark.stats("output_tokens_per_second").mean, _SPREAD),
        *total("requests_per_min", times(benchmark.stats("requests_per_second").mean, 60), _WINDOW),
        *total("error_rate", share(gone, done + gone), differs.get("error_rate")),
    ]


def _distribution(benchmark: Benchmark, ours: str, differs: str | None) -> list[Number]:
    name, unit = OF_SUMMARY[ours]
    given = benchmark.stats(name)
    if not given.count:
        return []
    moments = {"mean": given.mean, "min": given.min, "max": given.max, "stddev": given.std_dev}
    ranked = Summarised(given.count, unit, differs or _RANKED)
    return [
        *of_given(ours, moments, {stat: stat for stat in moments}, Summarised(given.count, unit, differs)),
        *of_given(ours, given.percentiles, {stat: stat for stat in metric_definitions.PERCENTILES}, ranked),
    ]


TOOL = Tool(
    source="guidellm",
    label="GuideLLM",
    kinds={"report": _is_report},
    group_key=lambda document: document.path,
    read=_read,
)
