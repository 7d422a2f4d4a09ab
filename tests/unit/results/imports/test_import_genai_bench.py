"""genai-bench's experiments, in our terms."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shapebench.results.imports.recognise import ImportRefusedError, sweeps
from tests.unit.results.imports.import_samples import (
    MODEL,
    SAMPLES,
    differing,
    level,
    numbers,
    of_whole,
    sweep,
    values,
)

EXPERIMENT, FAILING = "genai_bench/experiment", "genai_bench/failing"
LEVEL_4 = "D20_6_text-to-text_num_concurrency_4_time_1s.json"
METADATA = "experiment_metadata.json"


def content() -> Any:
    return json.loads((SAMPLES / EXPERIMENT / LEVEL_4).read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / EXPERIMENT, tmp_path / "experiment"))


def test_the_levels_of_an_experiment_are_one_sweep() -> None:
    found = sweep(EXPERIMENT)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("genai-bench", [1, 4])


def test_the_experiment_says_what_was_measured_where() -> None:
    origin = sweep(EXPERIMENT).origin
    assert (origin.version, origin.model, origin.url) == ("0.0.5", MODEL, "http://127.0.0.1:18431")
    assert (origin.workload, origin.server, origin.server_version) == ("D(20,6)", "vLLM", "0.32.0")


def test_only_what_is_over_the_runs_time_differs() -> None:
    assert differing(level(EXPERIMENT, 4)) == {"system_tokens_per_s", "requests_per_min"}


@pytest.mark.parametrize("stat", ["mean", "min", "p25", "p50", "p75", "max"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("ttft_s", "ttft"), ("e2e_s", "e2e_latency"), ("tpot_s", "tpot"), ("output_tokens", "num_output_tokens")],
)
def test_stats_of_single_requests_are_those_of_the_aggregates(ours: str, theirs: str, stat: str) -> None:
    told = content()["aggregated_metrics"]["stats"][theirs][stat]
    assert values(level(EXPERIMENT, 4))[ours, stat] == pytest.approx(told)


def test_throughput_of_each_query_has_its_time_to_first_token_in_it() -> None:
    first = content()["individual_request_metrics"][0]
    assert of_whole(level(EXPERIMENT, 4), "query_tokens_per_s")[0] == pytest.approx(6 / first["e2e_latency"])


def test_times_in_milliseconds_become_seconds() -> None:
    assert 0.01 < values(level(FAILING, 2))["ttft_s", "mean"] < 0.1


def test_failed_requests_are_kept_with_their_errors() -> None:
    one = level(FAILING, 2)
    failed = [answer for answer in one.answers if answer.error_kind]
    assert (one.completed, one.failed) == (20, 5)
    assert values(one)["error_rate", "total"] == pytest.approx(0.2)
    assert {answer.http_status for answer in failed} == {503}


def test_where_warm_up_was_left_out_its_own_means_are_taken_of_nobody_knows_how_many(folder: Path) -> None:
    said = content()
    said["aggregated_metrics"]["stats"]["ttft"]["mean"] = 0.02
    (folder / LEVEL_4).write_text(json.dumps(said))
    (found,) = sweeps([folder])
    one = numbers(found.levels[-1])
    assert (one["ttft_s", "mean"].value, one["ttft_s", "mean"].sample_count) == (0.02, None)
    assert ("ttft_s", "p50") not in one


def test_when_the_experiment_began_is_in_the_name_of_its_folder() -> None:
    assert level(EXPERIMENT, 4).started_at == datetime(2026, 11, 25, 3, 27, 21, tzinfo=UTC)


def test_its_command_line_is_kept_without_the_api_key() -> None:
    kept = level(EXPERIMENT, 4).configuration
    assert " --api-key … --task text-to-text " in kept["cmd"]
    assert kept["task"] == "text-to-text"


def test_scenarios_are_runs_of_their_own(folder: Path) -> None:
    said = content()
    said["aggregated_metrics"]["scenario"] = "D(100,100)"
    (folder / "another.json").write_text(json.dumps(said))
    assert sorted(found.origin.workload for found in sweeps([folder])) == ["D(100,100)", "D(20,6)"]


def test_a_level_without_its_experiment_is_refused() -> None:
    with pytest.raises(ImportRefusedError, match="says which model was measured"):
        sweeps([SAMPLES / EXPERIMENT / LEVEL_4])


def test_an_experiment_without_levels_is_refused() -> None:
    with pytest.raises(ImportRefusedError, match="the experiment has no level files"):
        sweeps([SAMPLES / EXPERIMENT / METADATA])


def test_sizes_of_batches_are_no_concurrency(folder: Path) -> None:
    said = content()
    said["aggregated_metrics"]["iteration_type"] = "batch_size"
    (folder / LEVEL_4).write_text(json.dumps(said))
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        sweeps([folder])
