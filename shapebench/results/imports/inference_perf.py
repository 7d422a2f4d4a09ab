"""inference-perf: a folder with `stage_N_lifecycle_metrics.json` for each load, and, if asked for, single requests.

How its words map to ours (0.3 to 0.6):

- TTFT: to the first chunk with text. The same.
- request latency: to when the answer was read and its tokens were counted. Single requests have the moments of their
  tokens, from which ours is computed; in a summary it differs.
- time per output token: (last - first) / (n - 1), our tpot_s. Normalised time per output token, E2E / n, is none of our
  metrics.
- inter-token latency: tokens of a chunk, counted by its own tokenizer, all have the chunk's time. If single requests
  show as many chunks as the server counted tokens, the gaps between chunks are ours; otherwise it differs.
- tokens are counted by its own tokenizer, unless `use_server_output_tokens` was set. Single requests also have the
  server's usage, if it sent one, and that is used.
- throughput: over the time from the first request to the end of the last, failed ones included.
- percentiles interpolate as ours do.
- single requests do not say to which stage they belong. Stages run one after another, so they are cut by their number,
  and used if the mean latencies come out as in the summaries.
- only stages with a number of streams (`load.type: concurrent`) are levels. The summary of all stages is not read.
- the model and the workload are in config.yaml. The start of a stage is unknown; that of the run is in the name of its
  folder.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from pydantic import AliasChoices, AliasPath, Field

from shapebench.results.imports.answers import Answer, checked, completed, summarise
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    Fields,
    ImportFileError,
    Items,
    JsonModel,
    Text,
    http_status,
    parse_utc,
    require,
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
    name_lengths,
)
from shapebench.spec import metric_definitions

_TOKENS = "tokens may be counted by inference-perf's own tokenizer, not the server's usage"
OF_TOKENS = ("input_tokens", "output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s")
_GAPS = {"inter_token_s": "tokens of a chunk, counted by its own tokenizer, all have the chunk's time"}
_LATENCY = {"e2e_s": "to when the answer was read and its tokens were counted"}
_FAILED = "the time of requests that failed is in it"
OF_SUMMARY = {  # ours -> its name; in newer versions the server's counts, if there are any, stand under the first name
    "ttft_s": ("latency", "time_to_first_token"),
    "e2e_s": ("latency", "request_latency"),
    "tpot_s": ("latency", "time_per_output_token"),
    "inter_token_s": ("latency", "inter_token_latency"),
    "input_tokens": ("prompt_tokens", "prompt_len"),
    "output_tokens": ("output_tokens", "output_len"),
}
STATS = {"mean": "mean", "min": "min", "max": "max", **{p: p for p in metric_definitions.PERCENTILES}, "p50": "median"}
RECORD = {"start_time", "end_time", "request", "response", "info", "error"}
SAME = 1e-6  # relative


class Stage(JsonModel):
    """A summary of one load."""

    concurrency: Count = Field(None, validation_alias=AliasPath("load_summary", "concurrency"))
    sent: Count = Field(None, validation_alias=AliasPath("load_summary", "count"))
    successes: Fields[object] = Field(default_factory=dict)
    completed: Count = Field(None, validation_alias=AliasPath("successes", "count"))
    failed: Count = Field(None, validation_alias=AliasPath("failures", "count"))
    duration_s: JsonNumber = Field(None, validation_alias="benchmark_time_seconds")
    tokens_per_s: JsonNumber = Field(
        None, validation_alias=AliasPath("successes", "throughput", "output_tokens_per_sec")
    )
    requests_per_s: JsonNumber = Field(None, validation_alias=AliasPath("successes", "throughput", "requests_per_sec"))
    mean_latency_s: JsonNumber = Field(
        None, validation_alias=AliasPath("successes", "latency", "request_latency", "mean")
    )

    @property
    def done(self) -> int:
        return require(self.completed, "successes.count")

    @property
    def wall_s(self) -> float | None:
        by_rate = self.done / self.requests_per_s if self.requests_per_s else None
        return valid_duration(self.duration_s or by_rate)

    def stats(self, ours: str) -> Mapping[str, float | None]:
        """Return the distribution of one of our metrics."""
        first, second = OF_SUMMARY[ours]
        found = self.successes.get(first)
        inner = found.get(second) if first == "latency" and isinstance(found, dict) else found
        return Distribution.parse({"stats": inner or self.successes.get(second)}).stats


class Distribution(JsonModel):
    """Stats of a metric."""

    stats: Fields[JsonNumber] = Field(default_factory=dict)


class Config(JsonModel):
    """config.yaml."""

    model: Text = Field(None, validation_alias=AliasPath("server", "model_name"))
    url: Text = Field(None, validation_alias=AliasPath("server", "base_url"))
    data: Text = Field(None, validation_alias=AliasPath("data", "type"))
    mean_input: JsonNumber = Field(None, validation_alias=AliasPath("data", "input_distribution", "mean"))
    stddev_input: JsonNumber = Field(
        None,
        validation_alias=AliasChoices(
            AliasPath("data", "input_distribution", "std_dev"), AliasPath("data", "input_distribution", "std")
        ),
    )
    mean_output: JsonNumber = Field(None, validation_alias=AliasPath("data", "output_distribution", "mean"))
    stddev_output: JsonNumber = Field(
        None,
        validation_alias=AliasChoices(
            AliasPath("data", "output_distribution", "std_dev"), AliasPath("data", "output_distribution", "std")
        ),
    )
    use_server_output_tokens: object = Field(
        None, validation_alias=AliasPath("report", "request_lifecycle", "use_server_output_tokens")
    )

    @property
    def workload(self) -> str | None:
        lengths = name_lengths((self.mean_input, self.stddev_input), (self.mean_output, self.stddev_output))
        return f"{self.data} {lengths}" if self.data and lengths else lengths or self.data

    @property
    def own_output(self) -> bool:
        """True if it counts output tokens itself: a text of YAML, or none."""
        return str(self.use_server_output_tokens).lower() != "true"


class Record(JsonModel):
    """One request; moments are on a clock without a date."""

    begun_s: JsonNumber = Field(None, validation_alias="start_time")
    end_s: JsonNumber = Field(None, validation_alias="end_time")
    request: Text = None
    own_input: Count = Field(None, validation_alias=AliasPath("info", "input_tokens"))
    own_output: Count = Field(
        None,
        validation_alias=AliasChoices(
            AliasPath("info", "response_metrics", "output_tokens"), AliasPath("info", "output_tokens")
        ),
    )
    usage_input: Count = Field(
        None, validation_alias=AliasPath("info", "response_metrics", "server_usage", "prompt_tokens")
    )
    usage_output: Count = Field(
        None, validation_alias=AliasPath("info", "response_metrics", "server_usage", "completion_tokens")
    )
    token_times: Items[JsonNumber] = Field(
        default_factory=list,
        validation_alias=AliasChoices(
            AliasPath("info", "response_metrics", "output_token_times"), AliasPath("info", "output_token_times")
        ),
    )
    error: object = None
    error_type: Text = Field(None, validation_alias=AliasPath("error", "error_type"))
    error_message: Text = Field(None, validation_alias=AliasPath("error", "error_msg"))

    @property
    def model(self) -> str | None:
        with suppress(ValueError, RecursionError):
            body = json.loads(self.request or "")
            return str(body["model"]) if isinstance(body, dict) and body.get("model") else None
        return None

    @property
    def latency_s(self) -> float | None:
        return None if self.begun_s is None or self.end_s is None else self.end_s - self.begun_s

    @property
    def status(self) -> int | None:
        match = re.fullmatch(r"HTTP Error (\d{3})", self.error_type or "")
        return http_status(int(match[1])) if match else None

    def to_answer(self) -> Answer:
        """Convert to our terms; tokens are the server's usage where it is there."""
        if self.error is not None:
            return Answer(
                begun_s=self.begun_s,
                http_status=self.status,
                error_kind="http_status" if self.status else "reported",
                error_message=self.error_message,
            )
        begun_s = require(self.begun_s, "a request's start_time")
        moments = list(dict.fromkeys(moment for moment in self.token_times if moment is not None))  # of chunks
        streamed = len(moments) > 1
        return Answer(
            begun_s=begun_s,
            ttft_s=moments[0] - begun_s if streamed else None,
            e2e_s=moments[-1] - begun_s if streamed else self.latency_s,
            input_tokens=self.own_input if self.usage_input is None else self.usage_input,
            output_tokens=self.own_output if self.usage_output is None else self.usage_output,
            gaps_s=tuple(later - earlier for earlier, later in pairwise(moments)) if streamed else None,
        )


def _is_summary(document: Document) -> bool:
    content = document.content
    parts = ("load_summary", "successes", "failures")
    return isinstance(content, dict) and all(isinstance(content.get(part), dict) for part in parts)


def _is_stage(document: Document) -> bool:
    content = document.content
    return _is_summary(document) and isinstance(content, dict) and "requested_rate" in content["load_summary"]


def _is_records(document: Document) -> bool:
    rows = document.objects
    return bool(rows) and all(isinstance(row, dict) and set(row) >= RECORD for row in rows)


def _is_config(document: Document) -> bool:
    content = document.content
    return document.path.name == "config.yaml" and isinstance(content, dict) and {"api", "load"} <= set(content)


def _is_ignored(path: Path) -> bool:
    """Check for files that are not needed: the server's metrics, sessions, and each adapter's part."""
    return path.name.endswith(("prometheus_metrics.json", "session_lifecycle_metrics.json")) or bool(
        re.fullmatch(r"adapter_.*_lifecycle_metrics\.json", path.name)
    )


def _read(file_set: FileSet) -> list[Level]:
    documents = sorted(file_set.all("stage"), key=lambda document: _number(document.path))
    if not documents:
        raise ImportFileError("its stage files are missing: they alone say how many streams there were")
    stages = [Stage.parse(document.content) for document in documents]
    beside = (*file_set.all("config.yaml"), *file_set.all("per_request"))
    config = Config.parse(file_set.one("config.yaml", "").content if file_set.all("config.yaml") else None)
    records = _cut(file_set, stages)
    levels = zip(documents, stages, records, strict=True)
    return [_level((document, *beside), stage, config, each) for document, stage, each in levels]


def _number(path: Path) -> int:
    match = re.search(r"\d+", path.stem)
    return int(match[0]) if match else 0


def _cut(file_set: FileSet, stages: Sequence[Stage]) -> list[list[Record]]:
    """Return the single requests of each stage, or none if it is not sure where they belong."""
    none: list[list[Record]] = [[] for _ in stages]
    if not file_set.all("per_request"):
        return none
    records = [Record.parse(row) for row in file_set.one("per_request", "").objects]
    ordered = sorted(records, key=lambda record: record.begun_s or 0)
    counts = [stage.sent or 0 for stage in stages]
    if sum(counts) != len(ordered):
        return none
    found = [ordered[sum(counts[:index]) : sum(counts[: index + 1])] for index in range(len(counts))]
    return found if all(_belong(each, stage) for each, stage in zip(found, stages, strict=True)) else none


def _belong(records: Sequence[Record], stage: Stage) -> bool:
    """Check whether requests have the mean latency that their stage's summary states."""
    latencies = [record.latency_s for record in records if record.error is None]
    known = [latency for latency in latencies if latency is not None]
    if len(known) < len(latencies) or len(known) != stage.done:
        return False
    mean = stage.mean_latency_s
    return not known or mean is None or math.isclose(sum(known) / len(known), mean, rel_tol=SAME)


def _level(documents: tuple[Document, ...], stage: Stage, config: Config, records: Sequence[Record]) -> Level:
    answers = checked([record.to_answer() for record in records])
    differs = _records_differ(records, answers) if answers else _summary_differs(config)
    model = config.model or next((record.model for record in records if record.model), None)
    folder = documents[0].folder
    return Level(
        origin=Origin(model=model or UNKNOWN_MODEL, workload=config.workload or UNKNOWN_WORKLOAD, url=config.url or ""),
        documents=documents,
        concurrency=at_concurrency(stage.concurrency),
        completed=stage.done,
        failed=require(stage.failed, "failures.count"),
        numbers=summarise(answers, differs) if answers else _summary(stage, differs),
        answers=answers,
        differs=differs,
        planned=stage.sent or None,
        started_at=_started_at(folder),
        wall_s=stage.wall_s,
        configuration=_configuration(documents),
    )


def _started_at(folder: Path) -> datetime | None:
    match = re.search(r"(\d{8}-\d{6})$", folder.resolve().name)
    return parse_utc(match[1], "%Y%m%d-%H%M%S") if match else None


def _configuration(documents: Sequence[Document]) -> Mapping[str, object]:
    found = (document.content for document in documents if _is_config(document))
    return next((content for content in found if isinstance(content, dict)), {})


def _records_differ(records: Sequence[Record], answers: Sequence[Answer]) -> Differs:
    done = [record for record in records if record.error is None]
    own_input = {} if all(record.usage_input for record in done) else {"input_tokens": _TOKENS}
    own_output = {} if all(record.usage_output for record in done) else dict.fromkeys(OF_TOKENS[1:], _TOKENS)
    a_token_each = all(
        answer.gaps_s is None or len(answer.gaps_s) + 1 == answer.output_tokens for answer in completed(answers)
    )
    return {**own_input, **own_output, **({} if a_token_each and not own_output else _GAPS)}


def _summary_differs(config: Config) -> Differs:
    tokens = OF_TOKENS if config.own_output else ("input_tokens",)
    return {**dict.fromkeys(tokens, _TOKENS), **_GAPS, **_LATENCY}


def _summary(stage: Stage, differs: Differs) -> list[Number]:
    done, gone = stage.done, stage.failed or 0
    late = _FAILED if gone else None
    of_gaps = None  # their number is not in the file
    found = (
        of_given(
            ours,
            stage.stats(ours),
            STATS,
            Summarised(of_gaps if ours == "inter_token_s" else done, differs=differs.get(ours)),
        )
        for ours in OF_SUMMARY
    )
    return [
        *(n for numbers in found for n in numbers),
        *total("system_tokens_per_s", stage.tokens_per_s, differs.get("system_tokens_per_s", late)),
        *total("requests_per_min", times(stage.requests_per_s, 60), late),
        *total("error_rate", share(gone, done + gone)),
    ]


TOOL = Tool(
    source="inference-perf",
    label="inference-perf",
    kinds={"stage": _is_stage, "summary": _is_summary, "per_request": _is_records, "config.yaml": _is_config},
    group_key=lambda document: document.folder,
    read=_read,
    ignores=_is_ignored,
)
