"""GenAI-Perf: `…_genai_perf.json`, also with the `scenario` and `server_configuration` that Oracle's code adds.

How its words map to ours (0.0.3 to 0.0.16, the last):

- TTFT and request latency: to the first and the last response with text. The same.
- inter token latency, (latency - TTFT) / (tokens - 1), is our tpot_s. The time between chunks is not in the file.
- output token throughput per request (until 0.0.12) is tokens over latency, our query_tokens_per_s; "per user" (later)
  is 1 / inter token latency, and none of our metrics.
- tokens are counted by encoding the texts with a tokenizer of its own; the prompt's without what the chat template
  adds. So they differ, with all that depends on them.
- throughput: from the first request to the last response. The same, but for the tokens.
- the number of requests is in newer files, or was asked for; otherwise it is unknown, and percentiles and spread are
  withheld. Requests that fail end the tool, and their number is not reported.
- its standard deviation divides by n, which is undone.
- without --streaming TTFT is the whole latency.
- Oracle's companion code (technology-engineering, llm-benchmark-docker) names the shape and, in the file's name, the
  minute at which its sweep began; its clock's zone is unknown: assumed to be UTC.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import AliasChoices, AliasPath, Field

from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import Count, JsonModel, Text, parse_utc, valid_duration
from shapebench.results.imports.json_model import Number as JsonNumber
from shapebench.results.imports.metric_stats import of_metric, stats
from shapebench.results.imports.numbers import Differs, Number, Summarised, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_SERVER,
    UNKNOWN_WORKLOAD,
    FileSet,
    Level,
    Origin,
    Tool,
    at_concurrency,
    name_lengths,
)

_TOKENS = "tokens are counted by GenAI-Perf's own tokenizer, not the server's usage"
DIFFERS: Differs = dict.fromkeys(
    ("input_tokens", "output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s"), _TOKENS
)
OF_SUMMARY = {  # ours -> its name, the older one last
    "ttft_s": ("time_to_first_token",),
    "e2e_s": ("request_latency",),
    "tpot_s": ("inter_token_latency",),
    "query_tokens_per_s": ("output_token_throughput_per_request",),
    "input_tokens": ("input_sequence_length", "num_input_token"),
    "output_tokens": ("output_sequence_length", "num_output_token"),
}


def _in_config(old: str, *new: str | int) -> AliasChoices:
    """Look where older versions have an option, and where newer ones do."""
    return AliasChoices(AliasPath("input_config", *new), AliasPath("input_config", old))


class Export(JsonModel):
    """The configuration, and what Oracle's code adds; metrics are objects of stats, next to these."""

    model: Text = Field(
        None,
        validation_alias=AliasChoices(
            AliasPath("input_config", "model_names", 0),
            AliasPath("input_config", "model", 0),
            AliasPath("input_config", "model"),
        ),
    )
    served_model: Text = Field(None, validation_alias=AliasPath("server_configuration", "model"))
    url: Text = Field(None, validation_alias=_in_config("u", "endpoint", "url"))
    backend: Text = Field(None, validation_alias=_in_config("backend", "endpoint", "backend"))
    concurrency: Count = Field(
        None, validation_alias=_in_config("concurrency", "perf_analyzer", "stimulus", "concurrency")
    )
    request_rate: JsonNumber = Field(
        None, validation_alias=_in_config("request_rate", "perf_analyzer", "stimulus", "request_rate")
    )
    asked_for: Count = Field(None, validation_alias=AliasPath("input_config", "request_count"))
    measured_by: Text = Field(None, validation_alias=AliasPath("input_config", "perf_analyzer", "measurement", "mode"))
    measured: Count = Field(None, validation_alias=AliasPath("input_config", "perf_analyzer", "measurement", "num"))
    mean_input: JsonNumber = Field(
        None, validation_alias=_in_config("synthetic_input_tokens_mean", "input", "synthetic_tokens", "mean")
    )
    stddev_input: JsonNumber = Field(
        None, validation_alias=_in_config("synthetic_input_tokens_stddev", "input", "synthetic_tokens", "stddev")
    )
    mean_output: JsonNumber = Field(
        None, validation_alias=_in_config("output_tokens_mean", "input", "output_tokens", "mean")
    )
    stddev_output: JsonNumber = Field(
        None, validation_alias=_in_config("output_tokens_stddev", "input", "output_tokens", "stddev")
    )
    shape: Text = Field(None, validation_alias=AliasChoices(AliasPath("scenario", "shape"), "shape"))
    use_case: Text = Field(None, validation_alias=AliasPath("scenario", "use_case"))

    @property
    def planned(self) -> int | None:
        """Number of requests that was asked for, rather than a time."""
        by_count = self.measured if self.measured_by == "request_count" else None
        return self.asked_for or by_count or None

    @property
    def workload(self) -> str:
        lengths = name_lengths((self.mean_input, self.stddev_input), (self.mean_output, self.stddev_output))
        return self.use_case or lengths or UNKNOWN_WORKLOAD


def _is_export(document: Document) -> bool:
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("input_config"), dict):
        return False
    return any("avg" in stats(content, name) for name in ("request_latency", "request_throughput"))


def _is_ignored(path: Path) -> bool:
    """Check for files that are not needed: prompts, and single requests with the texts of all answers."""
    return path.with_name(f"{path.stem}_genai_perf.json").is_file() or (
        path.name in ("inputs.json", "llm_inputs.json") and any(path.parent.glob("*_genai_perf.json"))
    )


def _read(file_set: FileSet) -> list[Level]:
    (document,) = file_set.documents
    content = document.content
    assert isinstance(content, dict)
    export = Export.parse(content)
    counted = stats(content, "request_count").get("avg")
    done = int(counted) if counted else export.planned
    per_s = stats(content, "request_throughput").get("avg")
    return [
        Level(
            origin=Origin(
                model=export.model or export.served_model or UNKNOWN_MODEL,
                workload=export.workload,
                url=export.url or "",
                server=export.backend or UNKNOWN_SERVER,
                shape=export.shape,
            ),
            documents=(document,),
            concurrency=at_concurrency(None if export.request_rate else export.concurrency),
            completed=done,
            failed=None,
            numbers=_numbers(content, done),
            differs=DIFFERS,
            planned=export.planned,
            started_at=_started_at(document),
            wall_s=valid_duration(done / per_s) if done and per_s else None,
            configuration=_configuration(content),
        )
    ]


def _started_at(document: Document) -> datetime | None:
    match = re.search(r"_(\d{8}-\d{4})$", document.stem)
    return parse_utc(match[1], "%Y%m%d-%H%M") if match else None


def _configuration(content: Mapping[str, object]) -> Mapping[str, object]:
    return {name: content[name] for name in ("input_config", "scenario", "server_configuration") if name in content}


def _numbers(content: Mapping[str, object], done: int | None) -> list[Number]:
    found = (
        of_metric(ours, content, name, Summarised(done, differs=DIFFERS.get(ours)))
        for ours, names in OF_SUMMARY.items()
        for name in [next((name for name in names if name in content), names[0])]
    )
    totals = {
        "system_tokens_per_s": stats(content, "output_token_throughput").get("avg"),
        "requests_per_min": times(stats(content, "request_throughput").get("avg"), 60),
    }
    return [
        *(n for numbers in found for n in numbers),
        *(n for ours, value in totals.items() for n in total(ours, value, DIFFERS.get(ours))),
    ]


TOOL = Tool(
    source="genai-perf",
    label="GenAI-Perf",
    kinds={"export": _is_export},
    group_key=lambda document: document.path,
    read=_read,
    ignores=_is_ignored,
)
