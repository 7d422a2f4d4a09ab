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
- InferenceX's raw results have the same form, with the moment at which they began.
- `date` is the end of the level, by the client's clock, whose zone is unknown: assumed to be UTC.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from shapebench.results.imports.answers import Answer, summarise
from shapebench.results.imports.bench_serving import (
    Given,
    Result,
    a_level_each,
    a_token_each,
    holds,
    of_times,
    read_answers,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import (
    Count,
    Items,
    Text,
    epoch_to_datetime,
    parse_utc,
    read_numbers,
    subtract,
    valid_duration,
)
from shapebench.results.imports.json_model import (
    Number as JsonNumber,
)
from shapebench.results.imports.numbers import Differs, Number, Summarised, of_stats, of_values, share, times, total
from shapebench.results.imports.tool import UNKNOWN_MODEL, Level, Origin, Tool

OF_COMPLETIONS = ("vllm", "openai")  # the backends whose chunks with choices all carry a token
RESULTS = {"model_id", "num_prompts", "duration", "completed", "output_throughput"}

_FIRST = "a chunk with only the role counts as the first token"
_INPUT = {"input_tokens": "may be the tool's own count, without what the chat template adds"}
_GAPS = {"inter_token_s": "between chunks, each counted once whatever tokens it has; a chat's role is one"}
_FROM_FIRST = {"ttft_s": _FIRST, "tpot_s": f"counted from a first token for which {_FIRST}"}
_FAILED = "the time of requests that failed is in it"
_MS = 1e-3


class VllmResult(Result):
    """A result of `vllm bench serve`."""

    model: Text = Field(None, validation_alias="model_id")
    endpoint_type: Text = None  # the backend, in older versions
    date: Text = None
    began_s: JsonNumber = Field(None, validation_alias="benchmark_start_time_unix")
    num_prompts: Count = None
    failed: Count = None
    latencies: Items[JsonNumber] = Field(default_factory=list)

    @property
    def gone(self) -> int:
        """Number of failed requests; older versions do not count them, but have the planned number."""
        return self.failed if self.failed is not None else max((self.num_prompts or self.done) - self.done, 0)


def _level(document: Document, content: object) -> Level:
    result = VllmResult.parse(content)
    answers = read_answers(result, content)
    differs = _differs(result, answers)
    wall_s = valid_duration(result.duration)
    ended_at = parse_utc(result.date, "%Y%m%d-%H%M%S")
    return Level(
        origin=Origin(model=result.model or UNKNOWN_MODEL),
        documents=(document,),
        concurrency=result.concurrency,
        completed=result.done,
        failed=result.gone,
        numbers=_numbers(result, read_numbers(content), answers, differs),
        answers=answers,
        differs=differs,
        planned=result.num_prompts or None,
        started_at=epoch_to_datetime(result.began_s) or subtract(ended_at, wall_s),
        wall_s=wall_s,
        configuration=_configuration(content),
    )


def _differs(result: VllmResult, answers: Sequence[Answer]) -> Differs:
    first = {} if (result.backend or result.endpoint_type) in OF_COMPLETIONS else _FROM_FIRST
    gaps = {} if answers and not first and a_token_each(answers) else _GAPS
    return {**_INPUT, **first, **gaps}


def _configuration(content: object) -> dict[str, object]:
    """Return the configuration and the user's metadata: all fields before the first result."""
    assert isinstance(content, dict)
    names = list(content)
    return {name: content[name] for name in names[: names.index("duration")]}


def _numbers(result: VllmResult, given: Given, answers: Sequence[Answer], differs: Differs) -> list[Number]:
    """Compute from the single requests, if stored; take the rest from the summary."""
    numbers = summarise(answers, differs)
    known = {n.metric for n in numbers}
    return numbers + [n for n in _summary(result, given, differs) if n.metric not in known]


def _summary(result: VllmResult, given: Given, differs: Differs) -> list[Number]:
    done, gone = result.done, result.gone
    late = _FAILED if gone else None
    return [
        *of_times("ttft_s", given, "ttft_ms", Summarised(done, _MS, differs.get("ttft_s"))),
        *_end_to_end(result, given, differs),
        *of_times("tpot_s", given, "tpot_ms", Summarised(None, _MS, differs.get("tpot_s"))),
        *of_times("inter_token_s", given, "itl_ms", Summarised(None, _MS, differs.get("inter_token_s"))),
        *total("system_tokens_per_s", result.output_throughput, late),
        *total("requests_per_min", times(result.request_throughput, 60), late),
        *total("error_rate", share(gone, done + gone)),
        *(
            n
            for ours, mean in result.mean_tokens().items()
            for n in of_stats(ours, {"mean": mean}, done, differs.get(ours))
        ),
    ]


def _end_to_end(result: VllmResult, given: Given, differs: Differs) -> list[Number]:
    """Use each request's latency, which new versions store even in a summary, but not which of them failed."""
    latencies = [value for value in result.latencies if value is not None]
    if not result.gone and len(latencies) == result.done:
        return of_values("e2e_s", latencies, differs.get("e2e_s"))
    return of_times("e2e_s", given, "e2el_ms", Summarised(result.done, _MS, differs.get("e2e_s")))


def _is_ignored(path: Path) -> bool:
    """The same numbers once more, in the form of PyTorch's benchmarks."""
    return path.name.endswith(".pytorch.json")


TOOL = Tool(
    source="vllm bench serve",
    label="vllm bench serve",
    kinds={"result": holds(RESULTS)},
    group_key=lambda document: document.path,
    read=a_level_each(_level),
    ignores=_is_ignored,
)
