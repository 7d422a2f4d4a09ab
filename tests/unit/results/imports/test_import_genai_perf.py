"""GenAI-Perf's exports, and those that Oracle's benchmark of shapes makes of them, in our terms."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shapebench.results.imports.recognise import ImportRefusedError, sweeps
from shapebench.results.imports.tool import Level
from tests.unit.results.imports.import_samples import MODEL, SAMPLES, differing, level, numbers, sweep, values

ORACLE, NEWEST, UNSTREAMED = "genai_perf/oracle", "genai_perf/newest", "genai_perf/unstreamed"
LEVEL_4 = "llama-3.2-3b-instruct_chatbot_4_20261130-1209.json"
EXPORT = "profile_export_genai_perf.json"


def content(name: str = LEVEL_4, folder: str = ORACLE) -> Any:
    return json.loads((SAMPLES / folder / name).read_text())


def written(folder: Path, said: Any) -> Level:
    (folder / EXPORT).write_text(json.dumps(said))
    ((one,),) = (found.levels for found in sweeps([folder]))
    return one


def test_the_files_of_oracles_sweep_are_one_sweep() -> None:
    found = sweep(ORACLE)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("genai-perf", [1, 4])


def test_oracles_code_names_the_shape_and_the_use_case() -> None:
    origin = sweep(ORACLE).origin
    assert (origin.shape, origin.workload, origin.model) == ("VM.GPU.A10.1", "chatbot", MODEL)
    assert origin.url == "http://llm:8000"


def test_a_shape_beside_the_metrics_is_taken_too(tmp_path: Path) -> None:
    said = content() | {"shape": "BM.GPU4.8"}
    said["scenario"].pop("shape")
    assert written(tmp_path, said).origin.shape == "BM.GPU4.8"


@pytest.mark.parametrize("stat", [("mean", "avg"), ("min", "min"), ("max", "max"), ("p50", "p50")])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("ttft_s", "time_to_first_token"), ("e2e_s", "request_latency"), ("tpot_s", "inter_token_latency")],
)
@pytest.mark.parametrize(("folder", "name"), [(ORACLE, LEVEL_4), (NEWEST, EXPORT)])
def test_times_in_milliseconds_become_seconds(
    folder: str, name: str, ours: str, theirs: str, stat: tuple[str, str]
) -> None:
    assert values(level(folder, 4))[ours, stat[0]] == pytest.approx(content(name, folder)[theirs][stat[1]] / 1000)


@pytest.mark.parametrize(("unit", "factor"), [("ns", 1e-9), ("us", 1e-6), ("s", 1), ("sec", 1)])
def test_other_units_of_time_become_seconds(tmp_path: Path, unit: str, factor: float) -> None:
    said = content()
    for name in ("time_to_first_token", "request_latency", "inter_token_latency"):
        said[name]["unit"] = unit
    one = values(written(tmp_path, said))
    assert one["ttft_s", "mean"] == pytest.approx(said["time_to_first_token"]["avg"] * factor)


def test_a_unit_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    said = content()
    said["time_to_first_token"]["unit"] = "ticks"
    with pytest.raises(ImportRefusedError, match="time_to_first_token is in 'ticks', which is no known unit of time"):
        written(tmp_path, said)


def test_its_own_tokens_differ_and_times_are_comparable() -> None:
    one = level(ORACLE, 4)
    assert differing(one) == {"input_tokens", "output_tokens", "tpot_s", "query_tokens_per_s", "system_tokens_per_s"}
    assert numbers(one)["ttft_s", "mean"].differs is None


def test_throughput_of_each_user_is_none_of_our_metrics() -> None:
    assert "query_tokens_per_s" not in {metric for metric, _ in numbers(level(NEWEST, 4))}


def test_nan_is_not_known(tmp_path: Path) -> None:
    said = content()
    said["time_to_first_token"]["avg"] = float("nan")
    assert ("ttft_s", "mean") not in values(written(tmp_path, said))


@pytest.mark.parametrize("folder", [ORACLE, NEWEST])
def test_the_number_of_requests_is_what_was_asked_for(folder: str) -> None:
    one = level(folder, 4)
    assert (one.completed, one.failed, one.planned) == (10, None, 10)
    assert one.wall_s == pytest.approx(10 / values(one)["requests_per_min", "total"] * 60)


def test_of_an_unknown_number_of_requests_percentiles_and_spread_are_withheld() -> None:
    one = level(UNSTREAMED, 4)
    assert one.completed is None
    assert {stat for metric, stat in values(one) if metric == "e2e_s"} == {"mean", "min", "max"}


def test_answers_that_were_not_streamed_are_marked() -> None:
    one = level(UNSTREAMED, 4)
    assert [caveat.name for caveat in one.caveats] == ["answers_not_streamed"]
    assert "not streamed" in (numbers(one)["ttft_s", "mean"].differs or "")
    assert level(ORACLE, 4).caveats == ()


def test_the_sweep_began_at_the_minute_in_its_files_names() -> None:
    assert level(ORACLE, 1).started_at == datetime(2026, 11, 30, 12, 9, tzinfo=UTC)


@pytest.mark.parametrize("changes", [{"request_rate": 5.0}, {"concurrency": None}])
def test_requests_at_a_rate_are_no_concurrency_level(tmp_path: Path, changes: dict[str, Any]) -> None:
    said = content()
    said["input_config"] |= changes
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        written(tmp_path, said)


def test_what_else_lies_in_its_folder_is_passed_over(tmp_path: Path) -> None:
    for name in ("profile_export.json", "inputs.json"):
        (tmp_path / name).write_text('{"experiments": []}')
    assert written(tmp_path, content(EXPORT, NEWEST)).concurrency == 4


def test_names_and_texts_of_the_first_versions_are_read(tmp_path: Path) -> None:
    said = content()
    said["num_output_token"] = {name: str(value) for name, value in said.pop("output_sequence_length").items()}
    said["input_config"]["model"] = MODEL
    one = written(tmp_path, said)
    assert (values(one)["output_tokens", "mean"], one.origin.model) == (6, MODEL)


def test_a_file_with_little_more_than_stats_is_read(tmp_path: Path) -> None:
    said = {name: value for name, value in content().items() if name not in ("scenario", "server_configuration")}
    said["input_config"] = {"model": ["llama"], "concurrency": 8, "streaming": True, "endpoint_type": "chat"}
    one = written(tmp_path, said)
    assert (one.concurrency, one.completed, one.origin.model, one.origin.shape) == (8, None, "llama", None)
    assert one.origin.workload == "unknown workload"
