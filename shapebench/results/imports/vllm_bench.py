"""`vllm bench serve`: what --save-result writes; --save-detailed adds single requests, --append-result more results.

How its words map to ours (vllm/benchmarks, 0.32):

- TTFT: to the first chunk with choices. Where completions are streamed every such chunk has a token, so it is the same.
  A chat's first chunk has the role alone, so there, and with any backend that we do not know, it is of another kind,
  and so is TPOT, which is counted from it. That one chunk more came than tokens does not say which of them had none.
- ITL: the time between chunks, each once, however many tokens it brought, and a chat's role among them. Where single
  requests show as many chunks as tokens, the gaps are between tokens, as ours; otherwise of another kind.
- E2E: to the last chunk with choices. The same.
- output tokens are the server's usage, which the tool asks for. Its input tokens are too in new versions, and in older
  ones its own count without the chat template; the file does not say which, so they are of another kind.
- output_throughput: first dispatch to the end of the last answer. The same, unless requests failed: those count in its
  time. With single requests it is computed anew.
- its standard deviation divides by n, which is undone where n is known. TPOT and ITL are of fewer or more values than
  there are requests, nobody knows how many: their percentiles and spread are withheld.
- `date` is the end of the level, by the client's clock, whose zone is not said: taken for UTC.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapebench.results.imports.answers import Answer, checked, summarise
from shapebench.results.imports.fields import (
    ImportFileError,
    before,
    count,
    get,
    items,
    length,
    moment_in,
    needed,
    number,
    numbers,
    text,
)
from shapebench.results.imports.files import Document
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
from shapebench.results.imports.tool import UNKNOWN_MODEL, Bundle, Level, Origin, Tool, at_concurrency
from shapebench.spec import metric_definitions

OF_COMPLETIONS = ("vllm", "openai")  # the backends whose chunks with choices all carry a token
OF_REQUESTS = ("input_lens", "output_lens", "ttfts", "itls")  # what --save-detailed adds
OF_EACH = (*OF_REQUESTS, "start_times", "errors")  # older versions lack start_times
RESULTS = {"model_id", "num_prompts", "duration", "completed", "output_throughput"}

_FIRST = "a chunk with only the role counts as the first token"
_INPUT = {"input_tokens": "may be the tool's own count, without what the chat template adds"}
_GAPS = {"inter_token_s": "between chunks, each counted once whatever tokens it has; a chat's role is one"}
_FROM_FIRST = {"ttft_s": _FIRST, "tpot_s": f"counted from a first token for which {_FIRST}"}
_FAILED = "the time of requests that failed is in it"


def _is_result(document: Document) -> bool:
    return bool(document.objects) and all(isinstance(one, dict) and set(one) >= RESULTS for one in document.objects)


def _read(bundle: Bundle) -> list[Level]:
    return [_level(document, result) for document in bundle.documents for result in document.objects]


def _level(document: Document, result: Any) -> Level:
    answers = checked(_answers(result)) if _has_requests(result) else []
    done = needed(count(result, "completed"), "completed")
    differs = _differs(result, answers)
    wall_s = length(number(result, "duration"))
    ended_at = moment_in(text(result, "date"), "%Y%m%d-%H%M%S")
    return Level(
        origin=Origin(model=text(result, "model_id") or UNKNOWN_MODEL),
        documents=(document,),
        concurrency=_concurrency(result),
        completed=done,
        failed=_failed(result, done),
        numbers=_numbers(result, answers, differs),
        answers=answers,
        differs=differs,
        planned=count(result, "num_prompts") or None,
        started_at=before(ended_at, wall_s),
        wall_s=wall_s,
        configuration=_configuration(result),
    )


def _concurrency(result: Any) -> int:
    """A rate of requests makes of max_concurrency a cap, not the number of busy streams."""
    rate = get(result, "request_rate")
    return at_concurrency(count(result, "max_concurrency") if rate in (None, "inf") else None)


def _failed(result: Any, done: int) -> int:
    """Older versions do not count them, but say how many were to be sent."""
    told = count(result, "failed")
    return told if told is not None else max((count(result, "num_prompts") or done) - done, 0)


def _differs(result: Any, answers: list[Answer]) -> Differs:
    backend = text(result, "backend") or text(result, "endpoint_type")
    first = {} if backend in OF_COMPLETIONS else _FROM_FIRST
    gaps = {} if answers and not first and _a_token_each(answers) else _GAPS
    return {**_INPUT, **first, **gaps}


def _a_token_each(answers: list[Answer]) -> bool:
    """As many chunks as tokens came."""
    return all(
        answer.gaps_s is not None and len(answer.gaps_s) + 1 == answer.output_tokens
        for answer in answers
        if answer.error_kind is None
    )


def _configuration(result: Mapping[str, Any]) -> dict[str, Any]:
    """What it was asked to do, with its user's metadata: all up to its first result."""
    names = list(result)
    return {name: result[name] for name in names[: names.index("duration")]}


def _has_requests(result: Any) -> bool:
    return all(isinstance(get(result, name), list) for name in OF_REQUESTS)


def _answers(result: Any) -> list[Answer]:
    lengths = {len(items(result, name)) for name in OF_REQUESTS}
    if len(lengths) != 1:
        raise ImportFileError(f"its lists {', '.join(OF_REQUESTS)} are not of one length")
    return [_answer(result, index) for index in range(lengths.pop())]


def _answer(result: Any, index: int) -> Answer:
    """Times are on a clock without a date, which says enough for what lies between them."""
    of_request = {name: values[index] for name in OF_EACH if index < len(values := items(result, name))}
    ttft_s, begun_s, error = number(of_request, "ttfts"), number(of_request, "start_times"), text(of_request, "errors")
    if error or not ttft_s:
        return Answer(begun_s=begun_s, error_kind="reported", error_message=error or "no token came")
    gaps_s = tuple(gap for gap in numbers(of_request, "itls") if gap is not None)
    if len(gaps_s) < len(items(of_request, "itls")):
        raise ImportFileError(f"the gaps of request {index} are not all numbers")
    return Answer(
        ttft_s=ttft_s,
        e2e_s=ttft_s + sum(gaps_s),
        input_tokens=count(of_request, "input_lens"),
        output_tokens=count(of_request, "output_lens"),
        begun_s=begun_s,
        gaps_s=gaps_s,
    )


def _numbers(result: Any, answers: list[Answer], differs: Differs) -> list[Number]:
    """From the single requests where they are there, and from the summary what they lack."""
    found = summarise(answers, differs)
    known = {n.metric for n in found}
    return found + [n for n in _summary(result, differs) if n.metric not in known]


def _summary(result: Any, differs: Differs) -> list[Number]:
    done = needed(count(result, "completed"), "completed")
    gone = _failed(result, done)
    late = _FAILED if gone else None
    found = [
        *_times(result, "ttft", ("ttft_s", done), differs),
        *_end_to_end(result, done, gone, differs),
        *_times(result, "tpot", ("tpot_s", None), differs),
        *_times(result, "itl", ("inter_token_s", None), differs),
        *total("system_tokens_per_s", number(result, "output_throughput"), late),
        *total("requests_per_min", times(number(result, "request_throughput"), 60), late),
        *total("error_rate", share(gone, done + gone)),
    ]
    for ours, theirs in {"input_tokens": "total_input_tokens", "output_tokens": "total_output_tokens"}.items():
        mean = (number(result, theirs) or 0) / done if done else None
        found += of_stats(ours, {"mean": mean}, done, differs.get(ours))
    return found


def _times(result: Any, theirs: str, ours: tuple[str, int | None], differs: Differs) -> list[Number]:
    """The stats that the summary has of a time, which is in ms there."""
    metric, values = ours
    names = {"mean": f"mean_{theirs}_ms", **{p: f"{p}_{theirs}_ms" for p in metric_definitions.PERCENTILES}}
    given = {stat: seconds(number(result, name)) for stat, name in names.items()}
    given["p50"] = seconds(number(result, f"median_{theirs}_ms"))
    given["stddev"] = sample_stddev(seconds(number(result, f"std_{theirs}_ms")), values)
    return of_stats(metric, given, values, differs.get(metric)) if values != 0 else []


def _end_to_end(result: Any, done: int, gone: int, differs: Differs) -> list[Number]:
    """New versions keep the latency of each request even in a summary, but not which of them failed."""
    latencies = [value for value in numbers(result, "latencies") if value is not None]
    if not gone and len(latencies) == done:
        return of_values("e2e_s", latencies, differs.get("e2e_s"))
    return _times(result, "e2el", ("e2e_s", done), differs)


def _beside(path: Path) -> bool:
    """The same numbers once more, in the form of PyTorch's benchmarks."""
    return path.name.endswith(".pytorch.json")


TOOL = Tool(
    source="vllm bench serve",
    label="vllm bench serve",
    parts={"result": _is_result},
    together=lambda document: document.path,
    read=_read,
    beside=_beside,
)
