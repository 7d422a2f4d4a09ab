"""`vllm bench serve`: what --save-result writes; --save-detailed adds single requests, --append-result more results.

How its words map to ours (vllm/benchmarks, 0.32):

- TTFT: to the first chunk with choices. In streamed completions every such chunk has a token, so it is the same. A
  chat's first chunk has only the role, so there, and with unknown backends, it differs, and so does TPOT, which is
  counted from it. If there is one chunk more than tokens, it is unknown which of them had none.
- ITL: the time between chunks, counted once each for any number of tokens, including a chat's role. If single requests
  show as many chunks as tokens, the gaps are between tokens, as ours; otherwise it differs.
- E2E: to the last chunk with choices. The same.
- output tokens are the server's usage, which the tool requests. So are its input tokens in new versions; in older ones
  they are its own count without the chat template. The file does not say which, so they differ.
- output_throughput: first dispatch to the end of the last answer. The same, unless requests failed, whose
  time is included. With single requests it is computed again.
- its standard deviation divides by n, which is undone where n is known. TPOT and ITL have an unknown number of
  values, so their percentiles and spread are withheld.
- `date` is the end of the level, by the client's clock, whose zone is unknown: assumed to be UTC.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from shapebench.results.imports.answers import Answer, checked, summarise
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    ImportFileError,
    Items,
    JsonModel,
    Text,
    parse_utc,
    read_numbers,
    require,
    subtract,
    valid_duration,
)
from shapebench.results.imports.json_model import (
    Number as JsonNumber,
)
from shapebench.results.imports.numbers import (
    Differs,
    Number,
    of_stats,
    of_values,
    sample_stddev,
    seconds,
    share,
    times,
    total,
)
from shapebench.results.imports.tool import UNKNOWN_MODEL, FileSet, Level, Origin, Tool, at_concurrency
from shapebench.spec import metric_definitions

OF_COMPLETIONS = ("vllm", "openai")  # the backends whose chunks with choices all carry a token
OF_REQUESTS = ("input_lens", "output_lens", "ttfts", "itls")  # what --save-detailed adds
RESULTS = {"model_id", "num_prompts", "duration", "completed", "output_throughput"}

_FIRST = "a chunk with only the role counts as the first token"
_INPUT = {"input_tokens": "may be the tool's own count, without what the chat template adds"}
_GAPS = {"inter_token_s": "between chunks, each counted once whatever tokens it has; a chat's role is one"}
_FROM_FIRST = {"ttft_s": _FIRST, "tpot_s": f"counted from a first token for which {_FIRST}"}
_FAILED = "the time of requests that failed is in it"


class Result(JsonModel):
    """One benchmark; with --save-detailed it has a list of each number, with an item for each request."""

    model: Text = Field(None, validation_alias="model_id")
    backend: Text = None
    endpoint_type: Text = None  # the backend, in older versions
    date: Text = None
    request_rate: object = None
    max_concurrency: Count = None
    num_prompts: Count = None
    duration: JsonNumber = None
    completed: Count = None
    failed: Count = None
    output_throughput: JsonNumber = None
    request_throughput: JsonNumber = None
    total_input_tokens: JsonNumber = None
    total_output_tokens: JsonNumber = None
    latencies: Items[JsonNumber] = Field(default_factory=list)
    input_lens: Items[Count] = Field(default_factory=list)
    output_lens: Items[Count] = Field(default_factory=list)
    ttfts: Items[JsonNumber] = Field(default_factory=list)
    itls: Items[Items[JsonNumber]] = Field(default_factory=list)
    start_times: Items[JsonNumber] = Field(default_factory=list)
    errors: Items[Text] = Field(default_factory=list)

    @property
    def done(self) -> int:
        return require(self.completed, "completed")

    @property
    def gone(self) -> int:
        """Number of failed requests; older versions do not count them, but have the planned number."""
        return self.failed if self.failed is not None else max((self.num_prompts or self.done) - self.done, 0)


def _is_result(document: Document) -> bool:
    return bool(document.objects) and all(isinstance(one, dict) and set(one) >= RESULTS for one in document.objects)


def _read(file_set: FileSet) -> list[Level]:
    return [_level(document, result) for document in file_set.documents for result in document.objects]


def _level(document: Document, content: object) -> Level:
    result = Result.parse(content)
    answers = checked(_answers(result)) if _has_requests(content) else []
    differs = _differs(result, answers)
    wall_s = valid_duration(result.duration)
    return Level(
        origin=Origin(model=result.model or UNKNOWN_MODEL),
        documents=(document,),
        concurrency=_concurrency(result),
        completed=result.done,
        failed=result.gone,
        numbers=_numbers(result, read_numbers(content), answers, differs),
        answers=answers,
        differs=differs,
        planned=result.num_prompts or None,
        started_at=subtract(parse_utc(result.date, "%Y%m%d-%H%M%S"), wall_s),
        wall_s=wall_s,
        configuration=_configuration(content),
    )


def _concurrency(result: Result) -> int:
    """Return the level's streams; with a request rate, max_concurrency is a cap, not the number of busy ones."""
    return at_concurrency(result.max_concurrency if result.request_rate in (None, "inf") else None)


def _differs(result: Result, answers: Sequence[Answer]) -> Differs:
    first = {} if (result.backend or result.endpoint_type) in OF_COMPLETIONS else _FROM_FIRST
    gaps = {} if answers and not first and _a_token_each(answers) else _GAPS
    return {**_INPUT, **first, **gaps}


def _a_token_each(answers: Sequence[Answer]) -> bool:
    """Return whether as many chunks as tokens came."""
    return all(
        answer.gaps_s is not None and len(answer.gaps_s) + 1 == answer.output_tokens
        for answer in answers
        if answer.error_kind is None
    )


def _configuration(content: object) -> dict[str, object]:
    """Return the configuration and the user's metadata: all fields before the first result."""
    assert isinstance(content, dict)
    names = list(content)
    return {name: content[name] for name in names[: names.index("duration")]}


def _has_requests(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in OF_REQUESTS)


def _answers(result: Result) -> list[Answer]:
    lengths = {len(values) for values in (result.input_lens, result.output_lens, result.ttfts, result.itls)}
    if len(lengths) != 1:
        raise ImportFileError(f"its lists {', '.join(OF_REQUESTS)} have different lengths")
    return [_answer(result, index) for index in range(lengths.pop())]


def _answer(result: Result, index: int) -> Answer:
    """Convert a request; its times are on a clock without a date, so only differences are used."""
    ttft_s = result.ttfts[index]
    begun_s = result.start_times[index] if index < len(result.start_times) else None  # older versions lack them
    error = result.errors[index] if index < len(result.errors) else None
    if error or not ttft_s:
        return Answer(begun_s=begun_s, error_kind="reported", error_message=error or "no token came")
    gaps_s = tuple(gap for gap in result.itls[index] if gap is not None)
    if len(gaps_s) < len(result.itls[index]):
        raise ImportFileError(f"the gaps of request {index} are not all numbers")
    return Answer(
        ttft_s=ttft_s,
        e2e_s=ttft_s + sum(gaps_s),
        input_tokens=result.input_lens[index],
        output_tokens=result.output_lens[index],
        begun_s=begun_s,
        gaps_s=gaps_s,
    )


Given = dict[str, float | None]  # the numbers of the result, by their names in it


def _numbers(result: Result, given: Given, answers: Sequence[Answer], differs: Differs) -> list[Number]:
    """Compute from the single requests, if stored; take the rest from the summary."""
    numbers = summarise(answers, differs)
    known = {n.metric for n in numbers}
    return numbers + [n for n in _summary(result, given, differs) if n.metric not in known]


def _summary(result: Result, given: Given, differs: Differs) -> list[Number]:
    done, gone = result.done, result.gone
    late = _FAILED if gone else None
    numbers = [
        *_times(given, "ttft", ("ttft_s", done), differs),
        *_end_to_end(result, given, differs),
        *_times(given, "tpot", ("tpot_s", None), differs),
        *_times(given, "itl", ("inter_token_s", None), differs),
        *total("system_tokens_per_s", result.output_throughput, late),
        *total("requests_per_min", times(result.request_throughput, 60), late),
        *total("error_rate", share(gone, done + gone)),
    ]
    for ours, tokens in {
        "input_tokens": result.total_input_tokens,
        "output_tokens": result.total_output_tokens,
    }.items():
        numbers += of_stats(ours, {"mean": (tokens or 0) / done if done else None}, done, differs.get(ours))
    return numbers


def _times(given: Given, theirs: str, ours: tuple[str, int | None], differs: Differs) -> list[Number]:
    """Take the stats that the summary has of a time, which is in ms there."""
    metric, values = ours
    names = {"mean": f"mean_{theirs}_ms", **{p: f"{p}_{theirs}_ms" for p in metric_definitions.PERCENTILES}}
    stats = {stat: seconds(given.get(name)) for stat, name in names.items()}
    stats["p50"] = seconds(given.get(f"median_{theirs}_ms"))
    stats["stddev"] = sample_stddev(seconds(given.get(f"std_{theirs}_ms")), values)
    return of_stats(metric, stats, values, differs.get(metric)) if values != 0 else []


def _end_to_end(result: Result, given: Given, differs: Differs) -> list[Number]:
    """Use each request's latency, which new versions store even in a summary, but not which of them failed."""
    latencies = [value for value in result.latencies if value is not None]
    if not result.gone and len(latencies) == result.done:
        return of_values("e2e_s", latencies, differs.get("e2e_s"))
    return _times(given, "e2el", ("e2e_s", result.done), differs)


def _is_ignored(path: Path) -> bool:
    """The same numbers once more, in the form of PyTorch's benchmarks."""
    return path.name.endswith(".pytorch.json")


TOOL = Tool(
    source="vllm bench serve",
    label="vllm bench serve",
    kinds={"result": _is_result},
    group_key=lambda document: document.path,
    read=_read,
    ignores=_is_ignored,
)
