"""LLMPerf: `…_summary.json`, and beside it `…_individual_responses.json`, a folder for each level.

How its words map to ours (token_benchmark_ray.py, of 2024):

- `ttft_s`: from before the request is made to the first text. The same.
- `end_to_end_latency_s` is e2e_s: to the end of the answer's stream, right after its last token. The same.
- tokens are counted by encoding the text with Llama 2's tokenizer, whatever the model, and a start token counts as
  well; the prompt's are those of its text, without what the chat template adds. So token counts, and all rates made of
  them, are of another kind.
- `inter_token_latency_s`: a request's mean over its chunks, with the TTFT among the gaps. Of another kind.
- over the whole level it divides by the time until all threads had ended, Ray's start, tokenising and drain included.
- errors: the rate of a request that fails is divided by an end-to-end time of 0, which ends its thread before it is
  counted. An error rate of 0 says nothing.
- `timestamp` is when the summary was written, at the end. `num_requests_started` counts those that ended: how many were
  planned is not in the file.
- quantiles are pandas', and interpolate as ours do; its standard deviation divides by n-1, as ours.

What shapebench itself exported in this format (shapebench_run_id) is by our definitions, but for the time between
tokens.
"""

from collections.abc import Mapping
from typing import Any

from shapebench.results.imports.answers import Answer, checked, completed, failed, summarise
from shapebench.results.imports.fields import (
    ImportFileError,
    before,
    count,
    get,
    length,
    moment,
    needed,
    number,
    text,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.numbers import Differs, Number, of_stats, total
from shapebench.results.imports.tool import UNKNOWN_MODEL, Bundle, Level, Origin, Tool, at_concurrency
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


def _is_summary(document: Document) -> bool:
    return get(document.content, "num_concurrent_requests") is not None and "results_ttft_s_mean" in document.content


def _is_responses(document: Document) -> bool:
    fields = {"end_to_end_latency_s", "inter_token_latency_s", "number_output_tokens"}
    rows = document.objects
    return document.stem.endswith(RESPONSES) or (bool(rows) and isinstance(rows[0], dict) and fields <= set(rows[0]))


def _together(document: Document) -> tuple[str, str]:
    return str(document.folder), document.stem.removesuffix(SUMMARY).removesuffix(RESPONSES)


def _read(bundle: Bundle) -> list[Level]:
    summary = bundle.one("summary", "it alone says at which concurrency the responses came").content
    done = needed(count(summary, "results_num_completed_requests"), "results_num_completed_requests")
    differs = GAPS if get(summary, EXPORTED) else DIFFERS
    answers = _answers(bundle, done)
    wall_s = _wall_s(summary, done)
    ended_at = moment(number(summary, "timestamp"))
    return [
        Level(
            origin=_origin(summary),
            documents=bundle.documents,
            concurrency=at_concurrency(count(summary, "num_concurrent_requests")),
            completed=done,
            failed=failed(answers) if answers else count(summary, "results_number_errors") or 0,
            numbers=[*_numbers(summary, answers, done, differs), *_totals(summary, differs)],
            answers=answers,
            differs=differs,
            started_at=before(ended_at, wall_s),
            wall_s=wall_s,
            configuration=_configuration(summary),
        )
    ]


def _origin(summary: Any) -> Origin:
    """Its `version` is that of the file's format: no other is in it."""
    lengths = [number(summary, f"{stat}_{way}_tokens") for way in ("input", "output") for stat in ("mean", "stddev")]
    mean_in, spread_in, mean_out, spread_out = (f"{length:g}" if length is not None else "?" for length in lengths)
    return Origin(
        version=text(summary, "version"),
        model=text(summary, "model") or UNKNOWN_MODEL,
        workload=f"N({mean_in},{spread_in}) in, N({mean_out},{spread_out}) out",
    )


def _wall_s(summary: Any, done: int) -> float | None:
    """It is not in the file, but the completed requests and their rate are."""
    per_min = number(summary, "results_num_completed_requests_per_min")
    return length(60 * done / per_min) if per_min else None


def _configuration(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if not name.startswith("results_")}


def _answers(bundle: Bundle, done: int) -> list[Answer]:
    if not bundle.all("responses"):
        return []
    found = checked([_answer(row) for row in bundle.one("responses", "").objects])
    if len(completed(found)) != done:
        raise ImportFileError(f"its summary has {done} completed requests, its responses {len(completed(found))}")
    return found


def _answer(row: Any) -> Answer:
    """One with an error has times of 0, which are none."""
    if not isinstance(row, dict):
        raise ImportFileError("a response is not an object")
    if get(row, "error_code") is not None:
        status = count(row, "error_code")
        return Answer(
            http_status=status if status and 100 <= status < 600 else None,
            error_kind="reported",
            error_message=text(row, "error_msg"),
        )
    return Answer(
        ttft_s=number(row, "ttft_s") or None,  # 0: no text ever came
        e2e_s=number(row, "end_to_end_latency_s"),
        input_tokens=count(row, "number_input_tokens"),
        output_tokens=count(row, "number_output_tokens"),
    )


def _numbers(summary: Any, answers: list[Answer], done: int, differs: Differs) -> list[Number]:
    """From the responses where they are there, as our own definitions have it, and from the summary what they lack."""
    found = summarise(answers, differs)
    for theirs, ours in OF_SUMMARY.items():
        if ours not in {n.metric for n in found}:
            given = {stat: number(summary, f"results_{theirs}_{name}") for stat, name in STATS.items()}
            found += of_stats(ours, given, done, differs.get(ours))
    return [n for n in found if n.metric != "error_rate"]  # the summary's is taken


def _totals(summary: Any, differs: Differs) -> list[Number]:
    given = {
        "system_tokens_per_s": "results_mean_output_throughput_token_per_s",
        "requests_per_min": "results_num_completed_requests_per_min",
        "error_rate": "results_error_rate",
    }
    return [n for ours, theirs in given.items() for n in total(ours, number(summary, theirs), differs.get(ours))]


TOOL = Tool(
    source="llmperf",
    label="LLMPerf",
    parts={"summary": _is_summary, "responses": _is_responses},
    together=_together,
    read=_read,
)
