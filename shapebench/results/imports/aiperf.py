"""AIPerf: `profile_export_aiperf.json`, and `profile_export.jsonl` with a record for each request.

How its words map to ours (0.13; older ones, from 0.1 on, name the load `input_config.loadgen`):

- TTFT: to the first response with content, skipping empty ones; request latency: to the last one with content. The
  same as ttft_s and e2e_s.
- ITL, (latency - TTFT) / (tokens - 1), is our tpot_s; with --per-chunk-usage it divides by the tokens after the first
  chunk, which differs.
- ICL is the time between chunks. If there are as many chunks as tokens, it is our inter_token_s; otherwise it differs.
- tokens: the server's usage with --use-server-token-count. Without it they are AIPerf's own count of the text, and all
  numbers that depend on them differ; but records also have the server's usage, if it sent one, and that is used.
- benchmark_duration is from the first request to the last response, and all tokens over it are our throughput. AIPerf's
  own output_token_throughput is over the time of its phase, which is longer, and is not used.
- its standard deviation divides by n, which is undone. Until 0.9 the file has only the number of requests.
- times without a zone are assumed to be UTC; records have their own times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import AliasChoices, AliasPath, Field

from shapebench.results.imports.answers import Answer, checked, completed, failed, span_s, summarise
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    EpochNs,
    ImportFileError,
    Items,
    JsonModel,
    Text,
    epoch_to_datetime,
    http_status,
    parse_utc,
    require,
    to_count,
    valid_duration,
)
from shapebench.results.imports.json_model import (
    Number as JsonNumber,
)
from shapebench.results.imports.metric_stats import of_metric, stats
from shapebench.results.imports.numbers import Differs, Number, Summarised, seconds, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_WORKLOAD,
    FileSet,
    Level,
    Origin,
    Tool,
    at_concurrency,
    name_lengths,
)
from shapebench.support.redact import redact_mapping

_TOKENS = "tokens are counted by AIPerf's own tokenizer, not the server's usage"
_GAPS = {"inter_token_s": "between chunks, each counted once whatever tokens it has"}
_AFTER_FIRST = {"tpot_s": "divides by the tokens after the first chunk, not by those after the first token"}
OF_OUTPUT = ("output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s")
OF_SUMMARY = {  # ours -> its name
    "ttft_s": "time_to_first_token",
    "e2e_s": "request_latency",
    "tpot_s": "inter_token_latency",
    "inter_token_s": "inter_chunk_latency",
    "query_tokens_per_s": "e2e_output_token_throughput",
    "input_tokens": "input_sequence_length",
    "output_tokens": "output_sequence_length",
}


class Phase(JsonModel):
    """A phase of the load."""

    kind: Text = None
    type: Text = None
    concurrency: Count = None
    requests: Count = None


class LoadGenerator(JsonModel):
    """The load, as versions before 0.9 have it: only what the user set, or a check of theirs did."""

    concurrency: Count = None
    request_rate: JsonNumber = None
    user_centric_rate: JsonNumber = None
    prefill_concurrency: Count = None
    request_count: Count = None


class Dataset(JsonModel):
    """Data set; the lengths are those of synthetic prompts and answers."""

    type: Text = None
    mean_input: JsonNumber = Field(None, validation_alias=AliasPath("prompts", "isl", "mean"))
    stddev_input: JsonNumber = Field(None, validation_alias=AliasPath("prompts", "isl", "stddev"))
    mean_output: JsonNumber = Field(None, validation_alias=AliasPath("prompts", "osl", "mean"))
    stddev_output: JsonNumber = Field(None, validation_alias=AliasPath("prompts", "osl", "stddev"))


class Config(JsonModel):
    """The configuration of the run."""

    phases: Items[Phase] = Field(default_factory=list)
    datasets: Items[Dataset] = Field(default_factory=list)
    loadgen: LoadGenerator = Field(default_factory=LoadGenerator)
    old_model: Text = Field(None, validation_alias=AliasPath("endpoint", "model_names", 0))
    new_model: Text = Field(None, validation_alias=AliasPath("models", "items", 0, "name"))
    fixed_schedule: object = Field(None, validation_alias=AliasPath("input", "fixed_schedule"))
    old_mean_input: JsonNumber = Field(None, validation_alias=AliasPath("input", "prompt", "input_tokens", "mean"))
    old_stddev_input: JsonNumber = Field(None, validation_alias=AliasPath("input", "prompt", "input_tokens", "stddev"))
    old_mean_output: JsonNumber = Field(None, validation_alias=AliasPath("input", "prompt", "output_tokens", "mean"))
    old_stddev_output: JsonNumber = Field(
        None, validation_alias=AliasPath("input", "prompt", "output_tokens", "stddev")
    )
    url: Text = Field(
        None, validation_alias=AliasChoices(AliasPath("endpoint", "urls", 0), AliasPath("endpoint", "url"))
    )
    use_server_token_count: object = Field(None, validation_alias=AliasPath("endpoint", "use_server_token_count"))
    per_chunk_usage: object = Field(None, validation_alias=AliasPath("endpoint", "per_chunk_usage"))

    @property
    def model(self) -> str | None:
        return self.new_model or self.old_model

    @property
    def workload(self) -> str | None:
        data = self.datasets[0] if self.datasets else Dataset()
        return (
            name_lengths((data.mean_input, data.stddev_input), (data.mean_output, data.stddev_output))
            or name_lengths(
                (self.old_mean_input, self.old_stddev_input), (self.old_mean_output, self.old_stddev_output)
            )
            or data.type
        )

    @property
    def measured_phase(self) -> Phase:
        """The measured phase; raises ImportFileError unless it was a closed loop of one concurrency."""
        measured = [phase for phase in self.phases if phase.kind != "warmup"]
        if not self.phases and self.old_model:
            return self._old_phase
        if len(measured) != 1:
            raise ImportFileError(f"it has {len(measured)} measured phases instead of one")
        at_concurrency(1 if measured[0].type == "concurrency" else None)
        return measured[0]

    @property
    def _old_phase(self) -> Phase:
        load = self.loadgen
        open_loop = load.request_rate or load.user_centric_rate or self.fixed_schedule
        by_default = None if load.prefill_concurrency else 1  # and may be missing from the file
        concurrency = at_concurrency(None if open_loop else load.concurrency or by_default)
        return Phase(concurrency=concurrency, requests=load.request_count)


class Summary(JsonModel):
    """`profile_export_aiperf.json`; metrics are objects of stats, next to these."""

    version: Text = Field(None, validation_alias="aiperf_version")
    raw_config: object = Field(None, validation_alias=AliasPath("input_config"))
    config: Config = Field(default_factory=Config, validation_alias="input_config")
    start_time: Text = None
    request_count: Count = Field(None, validation_alias=AliasPath("request_count", "avg"))
    error_request_count: Count = Field(None, validation_alias=AliasPath("error_request_count", "avg"))
    total_output_tokens: JsonNumber = Field(None, validation_alias=AliasPath("total_osl", "avg"))
    duration_s: JsonNumber = Field(None, validation_alias=AliasPath("benchmark_duration", "avg"))
    error_rate_percent: JsonNumber = Field(None, validation_alias=AliasPath("request_error_rate", "avg"))

    @property
    def counts_of_server(self) -> bool:
        return self.config.use_server_token_count is True

    @property
    def done(self) -> int:
        """Number of requests that completed; the file has none where all failed."""
        return (
            0
            if self.request_count is None and self.error_request_count
            else require(self.request_count, "request_count")
        )

    @property
    def is_recognised(self) -> bool:
        """True if AIPerf wrote it; before 0.4 it states no version."""
        return self.raw_config is not None and (self.version is not None or self.config.old_model is not None)

    @classmethod
    def of(cls, document: Document) -> tuple["Summary", Mapping[str, object]]:
        """Read a document; return it, and the object with the metrics, which 0.1 has one level further down."""
        content = document.content if isinstance(document.content, dict) else {}
        records = content.get("records")
        flat = {**records, **content} if isinstance(records, dict) else content
        return cls.parse(flat), flat


class Record(JsonModel):
    """A line of `profile_export.jsonl`: one request."""

    phase: object = Field(None, validation_alias=AliasPath("metadata", "benchmark_phase"))
    sent_ns: EpochNs = Field(None, validation_alias=AliasPath("metadata", "request_start_ns"))
    error: object = None
    error_code: Count = Field(None, validation_alias=AliasPath("error", "code"))
    error_message: Text = Field(None, validation_alias=AliasPath("error", "message"))
    ttft_ms: JsonNumber = Field(None, validation_alias=AliasPath("metrics", "time_to_first_token", "value"))
    latency_ms: JsonNumber = Field(None, validation_alias=AliasPath("metrics", "request_latency", "value"))
    chunk_gaps_ms: Items[JsonNumber] = Field(
        default_factory=list, validation_alias=AliasPath("metrics", "inter_chunk_latency", "value")
    )
    own_input_tokens: Count = Field(None, validation_alias=AliasPath("metrics", "input_sequence_length", "value"))
    own_output_tokens: Count = Field(None, validation_alias=AliasPath("metrics", "output_sequence_length", "value"))
    prompt_usage: Count = Field(None, validation_alias=AliasPath("metrics", "usage_prompt_tokens", "value"))
    completion_usage: Count = Field(None, validation_alias=AliasPath("metrics", "usage_completion_tokens", "value"))

    def to_answer(self) -> Answer:
        """Convert to our terms; tokens are the server's usage where it is there."""
        answer = Answer(
            begun_s=None if self.sent_ns is None else self.sent_ns / 1e9,
            sent_at_ns=self.sent_ns,
            warmup=self.phase == "warmup",
        )
        if self.error is not None:
            return replace(
                answer,
                http_status=http_status(self.error_code),
                error_kind="http_status" if self.error_code else "reported",
                error_message=self.error_message,
            )
        gaps_s = tuple(gap / 1000 for gap in self.chunk_gaps_ms if gap is not None)
        return replace(
            answer,
            ttft_s=seconds(self.ttft_ms),
            e2e_s=seconds(require(self.latency_ms, "a record's request_latency")),
            input_tokens=self.own_input_tokens if self.prompt_usage is None else self.prompt_usage,
            output_tokens=self.own_output_tokens if self.completion_usage is None else self.completion_usage,
            gaps_s=gaps_s if self.ttft_ms is not None else None,
        )


def _is_summary(document: Document) -> bool:
    return Summary.of(document)[0].is_recognised


def _is_records(document: Document) -> bool:
    phases = [Record.parse(record).phase for record in document.objects]
    return bool(phases) and None not in phases


def _group_key(document: Document) -> tuple[str, str]:
    """Return the key that both files share; only the summary has the tool's name in its own."""
    return str(document.folder), document.stem.removesuffix("_aiperf")


def _is_ignored(path: Path) -> bool:
    """Check for files that are not needed: prompts, summaries of phases, raw answers, data about servers and GPUs."""
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


def _read(file_set: FileSet) -> list[Level]:
    summary, content = Summary.of(file_set.one("summary", "it alone says at which concurrency the records came"))
    records = [Record.parse(line) for line in file_set.one("records", "").objects] if file_set.all("records") else []
    answers = checked(sorted((record.to_answer() for record in records), key=lambda answer: answer.begun_s or 0))
    differs = _records_differ(summary, records, answers) if answers else _summary_differs(summary, content)
    phase = summary.config.measured_phase
    return [
        Level(
            origin=_origin(summary),
            documents=file_set.documents,
            concurrency=at_concurrency(phase.concurrency),
            completed=len(completed(answers)) if answers else summary.done,
            failed=failed(answers) if answers else summary.error_request_count or 0,
            numbers=summarise(answers, differs) if answers else _numbers(summary, content, differs),
            answers=answers,
            differs=differs,
            planned=phase.requests or None,
            started_at=_started_at(summary, answers),
            wall_s=valid_duration(summary.duration_s or span_s(answers)),
            configuration=_configuration(summary),
        )
    ]


def _origin(summary: Summary) -> Origin:
    config = summary.config
    return Origin(
        version=summary.version,
        model=config.model or UNKNOWN_MODEL,
        workload=config.workload or UNKNOWN_WORKLOAD,
        url=config.url or "",
    )


def _configuration(summary: Summary) -> Mapping[str, object]:
    return redact_mapping(summary.raw_config) if isinstance(summary.raw_config, dict) else {}


def _started_at(summary: Summary, answers: Sequence[Answer]) -> datetime | None:
    begun_s = min((answer.begun_s for answer in answers if answer.begun_s is not None), default=None)
    return epoch_to_datetime(begun_s) or parse_utc(summary.start_time, "%Y-%m-%dT%H:%M:%S.%f")


def _records_differ(summary: Summary, records: Sequence[Record], answers: Sequence[Answer]) -> Differs:
    """Describe what differs: tokens are AIPerf's count if a record lacks the server's usage."""
    done, own = [record for record in records if record.error is None], not summary.counts_of_server
    own_input = own and any(record.prompt_usage is None for record in done)
    own_output = own and any(record.completion_usage is None for record in done)
    a_token_each = all(len(answer.gaps_s or ()) + 1 == answer.output_tokens for answer in completed(answers))
    return _tokens_differ(own_input=own_input, own_output=own_output) | (
        {} if a_token_each and not own_output else _GAPS
    )


def _summary_differs(summary: Summary, content: object) -> Differs:
    """Describe what differs: each chunk had one token if there are as many gaps as tokens after the first."""
    own = not summary.counts_of_server
    gaps = to_count(stats(content, "inter_chunk_latency").get("count"))
    tokens, done = to_count(summary.total_output_tokens), summary.request_count
    known = gaps is not None and tokens is not None and done is not None
    a_token_each = not own and known and (gaps or 0) == (tokens or 0) - (done or 0)
    return {
        **_tokens_differ(own_input=own, own_output=own),
        **({} if a_token_each else _GAPS),
        **(_AFTER_FIRST if summary.config.per_chunk_usage is True else {}),
    }


def _tokens_differ(*, own_input: bool, own_output: bool) -> dict[str, str]:
    names = (*(["input_tokens"] if own_input else ()), *(OF_OUTPUT if own_output else ()))
    return dict.fromkeys(names, _TOKENS)


def _numbers(summary: Summary, content: object, differs: Differs) -> list[Number]:
    found = [n for ours in OF_SUMMARY for n in _distribution(summary, content, ours, differs.get(ours))]
    duration_s = summary.duration_s or None
    totals = {
        "system_tokens_per_s": times(summary.total_output_tokens, 1 / duration_s) if duration_s else None,
        "requests_per_min": times(summary.request_count, 60 / duration_s) if duration_s else None,
        "error_rate": times(summary.error_rate_percent, 1 / 100),
    }
    return found + [n for ours, value in totals.items() for n in total(ours, value, differs.get(ours))]


def _distribution(summary: Summary, content: object, ours: str, differs: str | None) -> list[Number]:
    """Convert a metric; of one that has a value for each request, old versions do not say again how many."""
    of_each_request = None if ours == "inter_token_s" else summary.request_count
    counted = to_count(stats(content, OF_SUMMARY[ours]).get("count"))
    return of_metric(ours, content, OF_SUMMARY[ours], Summarised(counted or of_each_request, differs=differs))


TOOL = Tool(
    source="aiperf",
    label="AIPerf",
    kinds={"summary": _is_summary, "records": _is_records},
    group_key=_group_key,
    read=_read,
    ignores=_is_ignored,
)
