"""SGLang's `bench_serving`: a line for each benchmark; --output-details adds single requests.

How its words map to ours (python/sglang/bench_serving.py of 0.4, benchmark/serving.py of 0.5.23):

- TTFT: to the first chunk with text. The same.
- latency: to the end of the answer's stream, right after its last token. The same.
- TPOT, (latency - TTFT) / (tokens - 1), is the same.
- ITL: of its own API (backend "sglang") a chunk's gap is divided evenly among its tokens; of OpenAI's APIs it is the
  time between chunks. If single requests show as many chunks as tokens there, it is ours; otherwise it differs.
- output tokens are the server's. Of OpenAI's APIs they are the usage, or, where the server sends none, the number that
  was asked for; the file does not say which, so what depends on them differs.
- input tokens may be the tool's own count; newer versions take the server's.
- throughput is over the whole benchmark, from before the first request to after the last; failed ones are in it.
- its standard deviation divides by n, which is undone where n is known. TPOT and ITL have an unknown number of values.
- with --disable-stream TTFT is the whole latency, and ITL and TPOT are 0.
- the model's name is in what the server says of itself (`server_info`), if it is SGLang. How many requests failed is
  known with details only, the start never.
"""

from collections.abc import Sequence

from pydantic import AliasChoices, AliasPath, Field

from shapebench.results.imports.answers import Answer, failed, summarise
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
from shapebench.results.imports.json_model import Count, Text, read_numbers, valid_duration
from shapebench.results.imports.numbers import Differs, Number, Summarised, of_stats, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_SERVER,
    UNKNOWN_WORKLOAD,
    Level,
    Origin,
    Tool,
)

OWN_API = ("sglang", "sglang-native")  # the backends with SGLang's own API
RESULTS = {"backend", "dataset_name", "max_concurrency", "duration", "completed", "total_output_tokens_retokenized"}
DETAILS = {"input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors"}

_INPUT = {"input_tokens": "may be the tool's own count, without what the chat template adds"}
_TOKENS = "tokens may be the number asked for, where the server sent no usage"
OF_TOKENS = ("output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s")
_EVENLY = {"inter_token_s": "a chunk's gap is divided evenly among its tokens"}
_CHUNKS = {"inter_token_s": "between chunks, each counted once whatever tokens it has"}
_FAILED = "the time of requests that failed is in it"
_MS = 1e-3


def _of_server(*names: str) -> AliasChoices:
    """Look into what the server says of itself, which a router wraps."""
    return AliasChoices(*(AliasPath(*path, name) for name in names for path in _SERVER))


_SERVER = (("server_info",), ("server_info", "decode", 0))


class SglangResult(Result):
    """A result of SGLang's tool."""

    dataset: Text = Field(None, validation_alias="dataset_name")
    random_input_len: Count = None
    random_output_len: Count = None
    model: Text = Field(None, validation_alias=_of_server("served_model_name", "model_path"))
    server_version: Text = Field(None, validation_alias=_of_server("version"))

    @property
    def workload(self) -> str:
        sent, received = self.random_input_len, self.random_output_len
        of_lengths = bool(self.dataset and self.dataset.startswith("random") and sent and received)
        return f"{self.dataset} {sent} in, {received} out" if of_lengths else self.dataset or UNKNOWN_WORKLOAD


def _level(document: Document, content: object) -> Level:
    result = SglangResult.parse(content)
    answers = read_answers(result, content)
    differs = _differs(result, answers)
    return Level(
        origin=Origin(
            model=result.model or UNKNOWN_MODEL,
            workload=result.workload,
            server="SGLang" if result.server_version else UNKNOWN_SERVER,
            server_version=result.server_version,
        ),
        documents=(document,),
        concurrency=result.concurrency,
        completed=result.done,
        failed=failed(answers) if answers else None,
        numbers=_numbers(result, read_numbers(content), answers, differs),
        answers=answers,
        differs=differs,
        wall_s=valid_duration(result.duration),
        configuration=_configuration(content),
    )


def _differs(result: SglangResult, answers: Sequence[Answer]) -> Differs:
    if result.backend in OWN_API:
        return {**_INPUT, **_EVENLY}
    gaps = {} if answers and a_token_each(answers) else _CHUNKS
    return {**_INPUT, **dict.fromkeys(OF_TOKENS, _TOKENS), **gaps}


def _configuration(content: object) -> dict[str, object]:
    """Return the arguments and what the server says of itself: all fields but numbers of the results."""
    assert isinstance(content, dict)
    names = list(content)
    of_arguments = names[: names.index("duration")] if "server_info" in content else names
    return {name: content[name] for name in of_arguments if name not in DETAILS}


def _numbers(result: SglangResult, given: Given, answers: Sequence[Answer], differs: Differs) -> list[Number]:
    """Compute from the single requests, if stored; take the rest from the summary."""
    numbers = summarise(answers, differs)
    known = {n.metric for n in numbers}
    late = _FAILED if failed(answers) else None
    return numbers + [n for n in _summary(result, given, differs, late) if n.metric not in known]


def _summary(result: SglangResult, given: Given, differs: Differs, late: str | None) -> list[Number]:
    done = result.done
    return [
        *of_times("ttft_s", given, "ttft_ms", Summarised(done, _MS)),
        *of_times("e2e_s", given, "e2e_latency_ms", Summarised(done, _MS)),
        *of_times("tpot_s", given, "tpot_ms", Summarised(None, _MS, differs.get("tpot_s"))),
        *of_times("inter_token_s", given, "itl_ms", Summarised(None, _MS, differs.get("inter_token_s"))),
        *total("system_tokens_per_s", result.output_throughput, differs.get("system_tokens_per_s", late)),
        *total("requests_per_min", times(result.request_throughput, 60), late),
        *(
            n
            for ours, mean in result.mean_tokens().items()
            for n in of_stats(ours, {"mean": mean}, done, differs.get(ours))
        ),
    ]


TOOL = Tool(
    source="sglang bench_serving",
    label="SGLang's bench_serving",
    kinds={"result": holds(RESULTS)},
    group_key=lambda document: document.path,
    read=a_level_each(_level),
)
