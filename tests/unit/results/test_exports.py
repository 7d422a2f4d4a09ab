"""A run in other forms, and back."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shapebench.analysis.measured_level import summarise_level
from shapebench.errors import ShapebenchError
from shapebench.results.database import load, query
from shapebench.results.exports import FORMATS, VIEWS, export
from shapebench.results.imports.taken import take
from tests.level_sample import RUN_ID, closed_loop, level, refused, run_tables

SAMPLES = Path(__file__).parent / "imports" / "samples"
FAILED = refused(90, 2.0, stream=0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a run of two levels, in one of which a request failed."""
    folder = tmp_path_factory.mktemp("stored")
    levels = [
        summarise_level(level(folder, 1, closed_loop(1))),
        summarise_level(level(folder, 2, [*closed_loop(2, 20), FAILED])),
    ]
    load(folder, RUN_ID, run_tables(folder, levels=levels))
    return folder


@pytest.fixture
def data(stored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stored, tmp_path, dirs_exist_ok=True)


def numbers(data: Path) -> dict[tuple[int, str, str], float]:
    rows = query(data, "SELECT concurrency, metric, stat, value FROM metrics WHERE differs IS NULL").to_pylist()
    return {(row["concurrency"], row["metric"], row["stat"]): row["value"] for row in rows}


def again(data: Path, tmp_path: Path, run_id: str = RUN_ID) -> Path:
    """A data folder into which the run's files in LLMPerf's form were imported."""
    export(data, run_id, "llmperf", tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    take([tmp_path / "out"], other, "VM.GPU.A10.1")
    return other


def summary(folder: Path) -> Any:
    return json.loads(next(folder.glob("*_summary.json")).read_text())


def responses(folder: Path) -> Any:
    return json.loads(next(folder.glob("*_individual_responses.json")).read_text())


def test_files_go_to_the_data_folder_unless_told_otherwise(data: Path, tmp_path: Path) -> None:
    assert {file.parent for file in export(data, RUN_ID, "csv", None)} == {data / "exports" / RUN_ID / "csv"}
    assert {file.parent for file in export(data, RUN_ID, "csv", tmp_path / "x")} == {tmp_path / "x"}


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_gives_the_files_that_it_wrote(data: Path, form: str) -> None:
    files = export(data, RUN_ID, form, None)
    assert files
    assert sorted(files) == sorted(path for path in (data / "exports").rglob("*") if path.is_file())


def test_exporting_twice_writes_the_same(data: Path) -> None:
    before = [file.read_bytes() for file in export(data, RUN_ID, "llmperf", None)]
    assert [file.read_bytes() for file in export(data, RUN_ID, "llmperf", None)] == before


def test_a_run_that_is_not_there_is_said(data: Path) -> None:
    with pytest.raises(ShapebenchError, match="has no run nothing"):
        export(data, "nothing", "csv", None)


def test_a_folder_that_cannot_be_written_to_is_said(data: Path) -> None:
    (data / "taken").write_text("a file")
    with pytest.raises(ShapebenchError, match="Cannot write to"):
        export(data, RUN_ID, "csv", data / "taken")


def test_parquet_holds_the_rows_of_each_view(data: Path) -> None:
    folder = export(data, RUN_ID, "parquet", None)[0].parent
    for view in VIEWS:
        rows = query(data, f"FROM {view} WHERE run_id = ?", [RUN_ID])
        assert pq.read_table(folder / f"{view}.parquet").to_pylist() == rows.to_pylist(), view


def test_csv_holds_the_rows_of_each_view_under_their_names(data: Path) -> None:
    folder = export(data, RUN_ID, "csv", None)[0].parent
    for view in VIEWS:
        rows = query(data, f"FROM {view} WHERE run_id = ?", [RUN_ID])
        with (folder / f"{view}.csv").open(newline="") as file:
            header, *lines = csv.reader(file)
        assert (header, len(lines)) == (rows.column_names, rows.num_rows), view


def test_all_that_is_known_of_a_run_is_exported(data: Path) -> None:
    of_runs = "SELECT DISTINCT table_name FROM information_schema.columns WHERE column_name = 'run_id'"
    views = query(data, f"{of_runs} AND table_schema = 'main'")["table_name"].to_pylist()
    assert {*VIEWS} == {*views} - {"endpoint_history"}  # of all runs at an endpoint


def test_other_runs_are_left_out(data: Path) -> None:
    load(data, "another", run_tables(data, "another"))
    folder = export(data, RUN_ID, "parquet", None)[0].parent
    assert set(pq.read_table(folder / "metrics.parquet")["run_id"].to_pylist()) == {RUN_ID}


def test_llmperf_has_a_folder_for_each_level_with_files_named_as_its_own(data: Path) -> None:
    folder = data / "exports" / RUN_ID / "llmperf"
    assert [str(file.relative_to(folder)) for file in export(data, RUN_ID, "llmperf", None)] == [
        "level-0001/m_200_100_summary.json",
        "level-0001/m_200_100_individual_responses.json",
        "level-0002/m_200_100_summary.json",
        "level-0002/m_200_100_individual_responses.json",
    ]


def test_llmperfs_summary_has_the_fields_that_llmperf_writes(data: Path) -> None:
    export(data, RUN_ID, "llmperf", None)
    ours = summary(data / "exports" / RUN_ID / "llmperf" / "level-0002")
    theirs = summary(SAMPLES / "llmperf" / "level-4")
    assert set(theirs) - {"engine"} <= set(ours)
    assert set(ours) - set(theirs) == {"shapebench_run_id"}


def test_llmperfs_responses_have_the_fields_that_llmperf_writes(data: Path) -> None:
    export(data, RUN_ID, "llmperf", None)
    ours = responses(data / "exports" / RUN_ID / "llmperf" / "level-0002")
    assert {tuple(row) for row in ours} == {tuple(responses(SAMPLES / "llmperf" / "level-4")[0])}


def test_warm_up_requests_are_not_among_llmperfs(data: Path) -> None:
    export(data, RUN_ID, "llmperf", None)
    assert len(responses(data / "exports" / RUN_ID / "llmperf" / "level-0001")) == 5


def test_a_failed_request_has_its_error_and_times_of_zero_as_llmperf_has_it(data: Path) -> None:
    export(data, RUN_ID, "llmperf", None)
    folder = data / "exports" / RUN_ID / "llmperf" / "level-0002"
    (failed,) = [row for row in responses(folder) if row["error_code"] is not None]
    assert (failed["error_code"], failed["error_msg"], failed["ttft_s"]) == (-1, "refused", 0)
    assert summary(folder)["results_error_code_frequency"] == "{-1: 1}"


def test_what_llmperf_can_say_comes_back_as_the_same_numbers(data: Path, tmp_path: Path) -> None:
    found, expected = numbers(again(data, tmp_path)), numbers(data)
    assert found == {name: pytest.approx(expected[name], rel=1e-12) for name in found}
    assert {metric for _, metric, _ in found} == {
        "ttft_s",
        "e2e_s",
        "tpot_s",
        "query_tokens_per_s",
        "input_tokens",
        "output_tokens",
        "system_tokens_per_s",
        "requests_per_min",
        "error_rate",
    }
    told = {metric for _, metric, _ in found}
    assert set(found) == {name for name in expected if name[1] in told}


def test_levels_and_their_requests_come_back(data: Path, tmp_path: Path) -> None:
    other = again(data, tmp_path)
    sql = "SELECT concurrency, completed, failed FROM level_summary ORDER BY ALL"
    assert query(other, sql).to_pylist() == query(data, sql).to_pylist()
    assert query(other, "SELECT DISTINCT model, shape, workload FROM runs").to_pylist() == [
        {"model": "m", "shape": "VM.GPU.A10.1", "workload": "N(200,40) in, N(100,10) out"}
    ]


def test_a_run_without_its_requests_gives_what_is_kept_of_it(data: Path) -> None:
    load(data, RUN_ID, {"requests": query(data, "FROM raw.requests LIMIT 0")})
    files = export(data, RUN_ID, "llmperf", None)
    assert [file.name for file in files] == ["m_200_100_summary.json"] * 2
    told = summary(files[0].parent)
    assert told["results_ttft_s_mean"] == pytest.approx(numbers(data)[1, "ttft_s", "mean"])
    assert "results_ttft_s_quantiles_p99" not in told
    assert "results_inter_token_latency_s_mean" not in told  # ours is another


def test_llmperfs_own_numbers_come_back_as_its_own(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (run,) = take([SAMPLES / "llmperf"], first, "VM.GPU.A10.1")
    second = again(first, tmp_path, run.run_id)
    sql = "SELECT concurrency, metric, stat, value, differs FROM metrics WHERE metric != 'tpot_s' ORDER BY ALL"
    found, expected = query(second, sql).to_pylist(), query(first, sql).to_pylist()
    assert [row | {"value": pytest.approx(row["value"])} for row in found] == expected


def test_numbers_that_another_tool_defines_otherwise_do_not_become_llmperfs(tmp_path: Path) -> None:
    (run,) = take([SAMPLES / "vllm_bench" / "chat"], tmp_path, None)
    (folder,) = {file.parent for file in export(tmp_path, run.run_id, "llmperf", None)}
    assert "results_ttft_s_mean" not in summary(folder)
    assert summary(folder)["results_end_to_end_latency_s_mean"] > 0
