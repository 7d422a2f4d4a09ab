"""Results of vLLM's benchmark of a server, and of the tools that began as copies of it: SGLang's and InferenceX's."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from shapebench.results.imports.answers import Answer, checked
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import Count, ImportFileError, Items, JsonModel, Text, require
from shapebench.results.imports.json_model import Number as JsonNumber
from shapebench.results.imports.numbers import Number, Summarised, of_given
from shapebench.results.imports.tool import FileSet, Level, at_concurrency
from shapebench.spec import metric_definitions

OF_REQUESTS = ("input_lens", "output_lens", "ttfts", "itls")  # lists with an item for each request

Given = Mapping[str, float | None]  # the numbers of a result, by their names in it


class Result(JsonModel):
    """One benchmark; with details it has a list of each number, with an item for each request."""

    backend: Text = None
    request_rate: object = None
    max_concurrency: Count = None
    duration: JsonNumber = None
    completed: Count = None
    output_throughput: JsonNumber = None
    request_throughput: JsonNumber = None
    total_input_tokens: JsonNumber = None
    total_output_tokens: JsonNumber = None
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
    def concurrency(self) -> int:
        """The level's streams; with a request rate, max_concurrency is a cap, not the number of busy ones."""
        return at_concurrency(self.max_concurrency if self.request_rate in (None, "inf") else None)

    def mean_tokens(self) -> dict[str, float | None]:
        """Return the mean lengths of prompts and answers."""
        totals = {"input_tokens": self.total_input_tokens, "output_tokens": self.total_output_tokens}
        return {name: (tokens or 0) / self.done if self.done else None for name, tokens in totals.items()}


def holds(names: set[str]) -> Callable[[Document], bool]:
    """Make the check whether all objects of a document have these fields."""
    return lambda document: (
        bool(document.objects) and all(isinstance(one, dict) and set(one) >= names for one in document.objects)
    )


def a_level_each(read: Callable[[Document, object], Level]) -> Callable[[FileSet], list[Level]]:
    """Make a reader of files whose objects are levels."""
    return lambda file_set: [read(document, one) for document in file_set.documents for one in document.objects]


def read_answers(result: Result, content: object) -> list[Answer]:
    """Read the single requests, if the result has them."""
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in OF_REQUESTS):
        return []
    lengths = {len(values) for values in (result.input_lens, result.output_lens, result.ttfts, result.itls)}
    if len(lengths) != 1:
        raise ImportFileError(f"its lists {', '.join(OF_REQUESTS)} have different lengths")
    return checked([_answer(result, index) for index in range(lengths.pop())])


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


def a_token_each(answers: Sequence[Answer]) -> bool:
    """Return whether as many chunks as tokens came."""
    return all(
        answer.gaps_s is not None and len(answer.gaps_s) + 1 == answer.output_tokens
        for answer in answers
        if answer.error_kind is None
    )


def of_times(metric: str, given: Given, theirs: str, summarised: Summarised) -> list[Number]:
    """Use the stats of a time such as `ttft_ms`, which stand beside each other as `mean_ttft_ms`, `p99_ttft_ms` …"""
    if summarised.sample_count == 0:
        return []
    names = {"mean": "mean", "stddev": "std", **{p: p for p in metric_definitions.PERCENTILES}, "p50": "median"}
    return of_given(metric, given, {stat: f"{name}_{theirs}" for stat, name in names.items()}, summarised)
