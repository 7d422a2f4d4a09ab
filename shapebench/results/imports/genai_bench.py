"""genai-bench: a folder with `experiment_metadata.json` and a JSON file for each scenario and concurrency.

How its words map to ours (0.0.5):

- TTFT: to the first text or reasoning; e2e_latency: to the chunk with the usage, right after the last token. The same.
- tpot, (e2e - ttft) / (tokens - 1), is the same. Its output_throughput and output_inference_speed count the time after
  the first token; ours are computed from each request's tokens and time instead.
- tokens are the server's usage, which it requests.
- rates are over the run's duration, which includes up to a second of waiting for the end.
- its aggregates may exclude the first and last requests (warm-up, cool-down); the files do not say which ones. If the
  mean TTFT shows that, the number of values is unknown, so percentiles and spread are withheld.
- times are in the unit that `_time_unit` names; the duration is always in seconds.
- the start of a level is unknown; that of the experiment is in the name of its folder.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import AliasPath, Field

from shapebench.results.imports.answers import Answer, checked, completed, failed, summarise
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
from shapebench.results.imports.numbers import Differs, Number, Summarised, of_given, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_SERVER,
    UNKNOWN_WORKLOAD,
    FileSet,
    Level,
    Origin,
    Tool,
    at_concurrency,
)
from shapebench.support.redact import redact_mapping

_WINDOW = "its time has up to a second of waiting for the run's end in it"
DIFFERS: Differs = {"system_tokens_per_s": _WINDOW, "requests_per_min": _WINDOW}
UNITS = {"s": 1.0, "ms": 1e-3}
OF_SUMMARY = {  # ours -> its name, and whether it is a time
    "ttft_s": ("ttft", True),
    "e2e_s": ("e2e_latency", True),
    "tpot_s": ("tpot", True),
    "input_tokens": ("num_input_tokens", False),
    "output_tokens": ("num_output_tokens", False),
}


class Experiment(JsonModel):
    """`experiment_metadata.json`."""

    version: Text = Field(None, validation_alias="benchmark_version")
    model: Text = None
    api_model_name: Text = None
    command: Text = Field(None, validation_alias="cmd")
    server_engine: Text = None
    server_version: Text = None
    folder_name: Text = Field(None, validation_alias="experiment_folder_name")

    @property
    def url(self) -> str:
        """The address, which only the command line has, next to the API key."""
        match = re.search(r"--api-base[ =](\S+)", self.command or "")
        return match[1] if match else ""

    @property
    def started_at(self) -> datetime | None:
        match = re.search(r"(\d{8}_\d{6})$", self.folder_name or "")
        return parse_utc(match[1], "%Y%m%d_%H%M%S") if match else None


class Request(JsonModel):
    """One request; its times are in the file's unit."""

    raw_error_code: object = Field(None, validation_alias=AliasPath("error_code"))
    error_code: Count = None
    error_message: Text = None
    ttft: JsonNumber = None
    e2e_latency: JsonNumber = None
    num_input_tokens: Count = None
    num_output_tokens: Count = None

    def to_answer(self, unit: float) -> Answer:
        """Convert to our terms; `unit` makes seconds of its times."""
        if self.raw_error_code is not None:
            return Answer(
                http_status=http_status(self.error_code),
                error_kind="http_status" if self.error_code else "reported",
                error_message=self.error_message,
            )
        return Answer(
            ttft_s=times(self.ttft, unit),
            e2e_s=times(require(self.e2e_latency, "a request's e2e_latency"), unit),
            input_tokens=self.num_input_tokens,
            output_tokens=self.num_output_tokens,
        )


class LevelFile(JsonModel):
    """The file of a scenario and concurrency."""

    time_unit: object = Field(None, validation_alias="_time_unit")
    raw_scenario: object = Field(None, validation_alias=AliasPath("aggregated_metrics", "scenario"))
    scenario: Text = Field(None, validation_alias=AliasPath("aggregated_metrics", "scenario"))
    iteration_type: Text = Field(None, validation_alias=AliasPath("aggregated_metrics", "iteration_type"))
    num_concurrency: Count = Field(None, validation_alias=AliasPath("aggregated_metrics", "num_concurrency"))
    run_duration: JsonNumber = Field(None, validation_alias=AliasPath("aggregated_metrics", "run_duration"))
    tokens_per_s: JsonNumber = Field(
        None, validation_alias=AliasPath("aggregated_metrics", "mean_output_throughput_tokens_per_s")
    )
    requests_per_second: JsonNumber = Field(
        None, validation_alias=AliasPath("aggregated_metrics", "requests_per_second")
    )
    stats: Fields[Fields[JsonNumber]] = Field(
        default_factory=dict, validation_alias=AliasPath("aggregated_metrics", "stats")
    )
    requests: Items[Request] = Field(default_factory=list, validation_alias="individual_request_metrics")

    @property
    def unit(self) -> float:
        """Seconds in the unit of its times; older versions always use seconds, and do not state it."""
        return require(UNITS.get("s" if self.time_unit is None else str(self.time_unit)), "_time_unit")

    @property
    def concurrency(self) -> int:
        streams = self.iteration_type in (None, "num_concurrency")  # or sizes of batches, of embeddings
        return at_concurrency(self.num_concurrency if streams else None)

    def stat(self, name: str, stat: str) -> float | None:
        """Return a stat of one of its aggregated metrics."""
        return self.stats.get(name, {}).get(stat)


def _is_level(document: Document) -> bool:
    content = document.content
    return (
        isinstance(content, dict)
        and isinstance(content.get("individual_request_metrics"), list)
        and LevelFile.parse(content).raw_scenario is not None
    )


def _is_experiment(document: Document) -> bool:
    content = document.content
    return isinstance(content, dict) and "traffic_scenario" in content and Experiment.parse(content).version is not None


def _read(file_set: FileSet) -> list[Level]:
    experiment = file_set.one("experiment_metadata.json", "it says which model was measured")
    levels = file_set.all("level")
    if not levels:
        raise ImportFileError("the experiment has no level files; they must be in the same folder")
    return [_level(experiment, document) for document in levels]


def _level(experiment_document: Document, document: Document) -> Level:
    experiment, level = Experiment.parse(experiment_document.content), LevelFile.parse(document.content)
    answers = checked([request.to_answer(level.unit) for request in level.requests])
    return Level(
        origin=Origin(
            version=experiment.version,
            model=experiment.model or experiment.api_model_name or UNKNOWN_MODEL,
            workload=level.scenario or UNKNOWN_WORKLOAD,
            url=experiment.url,
            server=experiment.server_engine or UNKNOWN_SERVER,
            server_version=experiment.server_version,
        ),
        documents=(document, experiment_document),
        concurrency=level.concurrency,
        completed=len(completed(answers)),
        failed=failed(answers),
        numbers=[*_numbers(level, answers), *_over_time(level)],
        answers=answers,
        started_at=experiment.started_at,
        wall_s=valid_duration(level.run_duration),
        configuration=_configuration(experiment_document.content),
    )


def _configuration(experiment: object) -> Mapping[str, object]:
    return redact_mapping(experiment) if isinstance(experiment, dict) else {}


def _numbers(level: LevelFile, answers: Sequence[Answer]) -> list[Number]:
    numbers = summarise(answers, DIFFERS)
    if _covers_all(level, answers):
        return numbers
    return [n for n in numbers if n.metric == "error_rate"] + [n for ours in OF_SUMMARY for n in _stats(level, ours)]


def _covers_all(level: LevelFile, answers: Sequence[Answer]) -> bool:
    """Check whether its aggregates include all requests, none excluded as warm-up."""
    theirs = times(level.stat("ttft", "mean"), level.unit)
    ttfts = [answer.ttft_s for answer in completed(answers) if answer.ttft_s is not None]
    return theirs is None or not ttfts or math.isclose(theirs, sum(ttfts) / len(ttfts), rel_tol=1e-6)


def _stats(level: LevelFile, ours: str) -> list[Number]:
    name, is_time = OF_SUMMARY[ours]
    names = {stat: stat for stat in ("mean", "min", "max")}
    return of_given(ours, level.stats.get(name, {}), names, Summarised(None, level.unit if is_time else 1))


def _over_time(level: LevelFile) -> list[Number]:
    given = {"system_tokens_per_s": level.tokens_per_s, "requests_per_min": times(level.requests_per_second, 60)}
    return [n for ours, value in given.items() for n in total(ours, value, DIFFERS.get(ours))]


TOOL = Tool(
    source="genai-bench",
    label="genai-bench",
    kinds={"level": _is_level, "experiment_metadata.json": _is_experiment},
    group_key=lambda document: document.folder,
    read=_read,
)
