"""genai-bench: a folder with `experiment_metadata.json` and a JSON file for each scenario and concurrency.

How its words map to ours (0.0.5):

- TTFT: to the first text or reasoning; e2e_latency: to the chunk with the usage, right after the last token. The same.
- tpot, (e2e - ttft) / (tokens - 1), is ours. Its output_throughput and output_inference_speed are of the time after the
  first token; ours is computed from each request's tokens and time instead.
- tokens are the server's usage, which it asks for.
- over time it divides by the run's duration, which has up to a second of waiting for the end in it.
- its aggregates may leave out the first and last requests (warm-up, cool-down); which ones is not in the files. Where
  the mean TTFT shows that it did, they are taken as they are: of how many values is not known, so their percentiles
  and spread are withheld.
- times are in the unit that `_time_unit` names; the duration is always in seconds.
- when a level began is not said, only when the experiment did, in the name of its folder.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shapebench.results.imports.answers import Answer, checked, completed, failed, summarise
from shapebench.results.imports.fields import (
    ImportFileError,
    count,
    get,
    items,
    length,
    moment_in,
    needed,
    number,
    text,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.numbers import Differs, Number, of_stats, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_SERVER,
    UNKNOWN_WORKLOAD,
    Bundle,
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


def _is_level(document: Document) -> bool:
    return get(document.content, "aggregated_metrics.scenario") is not None and isinstance(
        get(document.content, "individual_request_metrics"), list
    )


def _is_experiment(document: Document) -> bool:
    return text(document.content, "benchmark_version") is not None and "traffic_scenario" in document.content


def _read(bundle: Bundle) -> list[Level]:
    experiment = bundle.one("experiment_metadata.json", "it says which model was measured")
    levels = bundle.all("level")
    if not levels:
        raise ImportFileError("no level of this experiment is there: its files lie beside it")
    return [_level(experiment, document) for document in levels]


def _level(experiment: Document, document: Document) -> Level:
    aggregated = get(document.content, "aggregated_metrics")
    answers = checked(_answers(document.content))
    wall_s = length(number(aggregated, "run_duration"))
    return Level(
        origin=_origin(experiment.content, aggregated),
        documents=(document, experiment),
        concurrency=_concurrency(aggregated),
        completed=len(completed(answers)),
        failed=failed(answers),
        numbers=[*_numbers(document.content, answers), *_over_time(aggregated)],
        answers=answers,
        started_at=_started_at(experiment.content),
        wall_s=wall_s,
        configuration=_configuration(experiment.content),
    )


def _concurrency(aggregated: Any) -> int:
    streams = text(aggregated, "iteration_type") in (None, "num_concurrency")  # or sizes of batches, of embeddings
    return at_concurrency(count(aggregated, "num_concurrency") if streams else None)


def _origin(experiment: Any, aggregated: Any) -> Origin:
    return Origin(
        version=text(experiment, "benchmark_version"),
        model=text(experiment, "model") or text(experiment, "api_model_name") or UNKNOWN_MODEL,
        workload=text(aggregated, "scenario") or UNKNOWN_WORKLOAD,
        url=_url(text(experiment, "cmd") or ""),
        server=text(experiment, "server_engine") or UNKNOWN_SERVER,
        server_version=text(experiment, "server_version"),
    )


def _url(command: str) -> str:
    """Only its command line has it, beside the API key, for which the rest of that is not kept."""
    found = re.search(r"--api-base[ =](\S+)", command)
    return found[1] if found else ""


def _started_at(experiment: Any) -> datetime | None:
    name = text(experiment, "experiment_folder_name") or ""
    found = re.search(r"(\d{8}_\d{6})$", name)
    return moment_in(found[1], "%Y%m%d_%H%M%S") if found else None


def _configuration(experiment: Any) -> Mapping[str, Any]:
    kept: Mapping[str, Any] = redact_mapping(experiment)
    return kept


def _unit(content: Any) -> float:
    """Older versions knew no other than seconds, and did not say so."""
    unit = get(content, "_time_unit")
    return needed(UNITS.get("s" if unit is None else str(unit)), "_time_unit")


def _answers(content: Any) -> list[Answer]:
    unit = _unit(content)
    return [_answer(row, unit) for row in items(content, "individual_request_metrics")]


def _answer(row: Any, unit: float) -> Answer:
    if get(row, "error_code") is not None:
        status = count(row, "error_code")
        return Answer(
            http_status=status if status and 100 <= status < 600 else None,
            error_kind="http_status" if status else "reported",
            error_message=text(row, "error_message"),
        )
    return Answer(
        ttft_s=times(number(row, "ttft"), unit),
        e2e_s=times(needed(number(row, "e2e_latency"), "a request's e2e_latency"), unit),
        input_tokens=count(row, "num_input_tokens"),
        output_tokens=count(row, "num_output_tokens"),
    )


def _numbers(content: Any, answers: list[Answer]) -> list[Number]:
    found = summarise(answers, DIFFERS)
    if _is_of_all(content, answers):
        return found
    return [n for n in found if n.metric == "error_rate"] + [n for ours in OF_SUMMARY for n in _stats(content, ours)]


def _is_of_all(content: Any, answers: list[Answer]) -> bool:
    """Whether its aggregates are of all requests, none left out as warm-up."""
    theirs = times(number(content, "aggregated_metrics.stats.ttft.mean"), _unit(content))
    ttfts = [answer.ttft_s for answer in completed(answers) if answer.ttft_s is not None]
    return theirs is None or not ttfts or math.isclose(theirs, sum(ttfts) / len(ttfts), rel_tol=1e-6)


def _stats(content: Any, ours: str) -> list[Number]:
    name, is_time = OF_SUMMARY[ours]
    unit = _unit(content) if is_time else 1
    given = get(content, f"aggregated_metrics.stats.{name}")
    return of_stats(ours, {stat: times(number(given, stat), unit) for stat in ("mean", "min", "max")}, None)


def _over_time(aggregated: Any) -> list[Number]:
    given = {
        "system_tokens_per_s": number(aggregated, "mean_output_throughput_tokens_per_s"),
        "requests_per_min": times(number(aggregated, "requests_per_second"), 60),
    }
    return [n for ours, value in given.items() for n in total(ours, value, DIFFERS.get(ours))]


TOOL = Tool(
    source="genai-bench",
    label="genai-bench",
    parts={"level": _is_level, "experiment_metadata.json": _is_experiment},
    together=lambda document: document.folder,
    read=_read,
)
