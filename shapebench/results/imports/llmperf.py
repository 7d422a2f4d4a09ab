"""LLMPerf: `…_summary.json` and `…_individual_responses.json`, a folder for each level.

How its words map to ours (token_benchmark_ray.py, of 2024):

- `ttft_s`: from before the request is made to the first text. The same.
- `end_to_end_latency_s` is e2e_s: to the end of the answer's stream, right after its last token. The same.
- tokens are counted by encoding the text with Llama 2's tokenizer, whatever the model, and a start token counts as
  well; the prompt's are those of its text, without what the chat template adds. So token counts, and all rates computed
  from them, differ.
- `inter_token_latency_s`: a request's mean over its chunks, with the TTFT among the gaps. It differs.
- over the whole level it divides by the time until all threads had ended, Ray's start, tokenising and drain included.
- errors: the rate of a request that fails is divided by an end-to-end time of 0, which ends its thread before it is
  counted. An error rate of 0 means nothing.
- `timestamp` is when the summary was written, at the end. `num_requests_started` counts those that ended; the planned
  number is not in the file.
- quantiles are pandas', and interpolate as ours do; its standard deviation divides by n-1, as ours.

Files that shapebench itself exported (with shapebench_run_id) follow our definitions, except for the time between
tokens.
"""

from collections.abc import Mapping, Sequence

from pydantic import AliasPath, Field

from shapebench.results.imports.answers import Answer, checked, completed, failed, summarise
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    ImportFileError,
    JsonModel,
    Text,
    epoch_to_datetime,
    http_status,
    read_numbers,
    require,
    subtract,
    valid_duration,
)
from shapebench.results.imports.json_model import (
    Number as JsonNumber,
)
from shapebench.results.imports.numbers import Differs, Number, of_stats, total
from shapebench.results.imports.tool import UNKNOWN_MODEL, FileSet, Level, Origin, Tool, at_concurrency
from shapebench.spec import metric_definitions

SUMMARY, RESPONSES = "_summary", "_individual_responses"
EXPORTED = "shapebench_run_id"  # user metadata of our own exports

_TOKENS = "tokens are Llama 2's, with one for the start of the text, not those of the server's usage"
_TIME = "its time also has Ray's start, the tokenising and the drain in it"
GAPS = {"inter_token_s": "each request's mean over its chunks, with the TTFT among the gaps"}
DIFFERS = GAPS | {
    "input_tokens": "tokens are Llama 2's, without what the chat template adds, not those of the server's usage",
    "output_tokens": _TOKENS,
    "tpot_s": _TOKENS,
    "query_tokens_per_s": _TOKENS,
    "system_tokens_per_s": f"{_TOKENS}; {_TIME}",
    "requests_per_min": _TIME,
    "error_rate": "a request that fails ends its thread before it is counted",
}
OF_SUMMARY = {  # LLMPerf's name -> ours
    "ttft_s": "ttft_s",
    "end_to_end_latency_s": "e2e_s",
    "inter_token_latency_s": "inter_token_s",
    "request_output_throughput_token_per_s": "query_tokens_per_s",
    "number_input_tokens": "input_tokens",
    "number_output_tokens": "output_tokens",
}
STATS = {
    name: f"quantiles_{name}" if name in metric_definitions.PERCENTILES else name for name in metric_definitions.STATS
}


class Summary(JsonModel):
    """`…_summary.json`, without its distributions: `results_METRIC_STAT` each."""

    version: Text = None  # of the file's format: no other is in it
    model: Text = None
    mean_input_tokens: JsonNumber = None
    stddev_input_tokens: JsonNumber = None
    mean_output_tokens: JsonNumber = None
    stddev_output_tokens: JsonNumber = None
    concurrency: Count = Field(None, validation_alias="num_concurrent_requests")
    completed: Count = Field(None, validation_alias="results_num_completed_requests")
    failed: Count = Field(None, validation_alias="results_number_errors")
    completed_per_min: JsonNumber = Field(None, validation_alias="results_num_completed_requests_per_min")
    tokens_per_s: JsonNumber = Field(None, validation_alias="results_mean_output_throughput_token_per_s")
    error_rate: JsonNumber = Field(None, validation_alias="results_error_rate")
    timestamp: JsonNumber = None  # seconds since 1970
    exported: object = Field(None, validation_alias=EXPORTED)

    @property
    def done(self) -> int:
        return require(self.completed, "results_num_completed_requests")

    @property
    def wall_s(self) -> float | None:
        """The level's duration, from the completed requests and their rate."""
        return valid_duration(60 * self.done / self.completed_per_min) if self.completed_per_min else None

    @property
    def workload(self) -> str:
        lengths = (
            *(self.mean_input_tokens, self.stddev_input_tokens),
            *(self.mean_output_tokens, self.stddev_output_tokens),
        )
        mean_in, spread_in, mean_out, spread_out = ("?" if length is None else f"{length:g}" for length in lengths)
        return f"N({mean_in},{spread_in}) in, N({mean_out},{spread_out}) out"


class Response(JsonModel):
    """One request of `…_individual_responses.json`; a failed one has times of 0, which are ignored."""

    raw_error_code: object = Field(None, validation_alias=AliasPath("error_code"))
    error_code: Count = None
    error_msg: Text = None
    ttft_s: JsonNumber = None
    e2e_s: JsonNumber = Field(None, validation_alias="end_to_end_latency_s")
    input_tokens: Count = Field(None, validation_alias="number_input_tokens")
    output_tokens: Count = Field(None, validation_alias="number_output_tokens")

    def to_answer(self) -> Answer:
        """Convert to our terms."""
        if self.raw_error_code is not None:
            return Answer(http_status=http_status(self.error_code), error_kind="reported", error_message=self.error_msg)
        return Answer(
            ttft_s=self.ttft_s or None,  # 0: no text ever came
            e2e_s=self.e2e_s,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )


def _is_summary(document: Document) -> bool:
    content = document.content
    return (
        isinstance(content, dict)
        and content.get("num_concurrent_requests") is not None
        and "results_ttft_s_mean" in content
    )


def _is_responses(document: Document) -> bool:
    fields = {"end_to_end_latency_s", "inter_token_latency_s", "number_output_tokens"}
    rows = document.objects
    return document.stem.endswith(RESPONSES) or (bool(rows) and isinstance(rows[0], dict) and fields <= set(rows[0]))


def _group_key(document: Document) -> tuple[str, str]:
    return str(document.folder), document.stem.removesuffix(SUMMARY).removesuffix(RESPONSES)


def _read(file_set: FileSet) -> list[Level]:
    content = file_set.one("summary", "it alone says at which concurrency the responses came").content
    summary = Summary.parse(content)
    differs = GAPS if summary.exported else DIFFERS
    answers = _answers(file_set, summary.done)
    return [
        Level(
            origin=Origin(version=summary.version, model=summary.model or UNKNOWN_MODEL, workload=summary.workload),
            documents=file_set.documents,
            concurrency=at_concurrency(summary.concurrency),
            completed=summary.done,
            failed=failed(answers) if answers else summary.failed or 0,
            numbers=[
                *_distributions(read_numbers(content), answers, summary.done, differs),
                *total("system_tokens_per_s", summary.tokens_per_s, differs.get("system_tokens_per_s")),
                *total("requests_per_min", summary.completed_per_min, differs.get("requests_per_min")),
                *total("error_rate", summary.error_rate, differs.get("error_rate")),
            ],
            answers=answers,
            differs=differs,
            started_at=subtract(epoch_to_datetime(summary.timestamp), summary.wall_s),
            wall_s=summary.wall_s,
            configuration=_configuration(content),
        )
    ]


def _configuration(content: object) -> Mapping[str, object]:
    assert isinstance(content, dict)
    return {name: value for name, value in content.items() if not name.startswith("results_")}


def _answers(file_set: FileSet, done: int) -> list[Answer]:
    if not file_set.all("responses"):
        return []
    rows = file_set.one("responses", "").objects
    if not all(isinstance(row, dict) for row in rows):
        raise ImportFileError("a response is not an object")
    answers = checked([Response.parse(row).to_answer() for row in rows])
    if len(completed(answers)) != done:
        raise ImportFileError(f"its summary has {done} completed requests, its responses {len(completed(answers))}")
    return answers


def _distributions(
    given: Mapping[str, float | None], answers: Sequence[Answer], done: int, differs: Differs
) -> list[Number]:
    """Compute from the responses, if stored, by our definitions; take the rest from the summary."""
    numbers = summarise(answers, differs)
    for theirs, ours in OF_SUMMARY.items():
        if ours not in {n.metric for n in numbers}:
            stats = {stat: given.get(f"results_{theirs}_{name}") for stat, name in STATS.items()}
            numbers += of_stats(ours, stats, done, differs.get(ours))
    return [n for n in numbers if n.metric != "error_rate"]  # the summary's is taken


TOOL = Tool(
    source="llmperf",
    label="LLMPerf",
    kinds={"summary": _is_summary, "responses": _is_responses},
    group_key=_group_key,
    read=_read,
)
