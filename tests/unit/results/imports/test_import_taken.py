"""Imported runs in the results file."""

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shapebench.errors import ShapebenchError
from shapebench.results.database import query
from shapebench.results.imports.recognise import ImportRefusedError
from shapebench.results.imports.taken import Imported, take
from tests.unit.results.imports.import_samples import MODEL, SAMPLES

CHAT = SAMPLES / "vllm_bench" / "chat" / "c4.json"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def imported(data: Path) -> Imported:
    data.mkdir()
    (run,) = take([SAMPLES / "llmperf"], data, "VM.GPU.A10.1")
    return run


def rows(data: Path, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = query(data, sql).to_pylist()
    return found


def content(data: Path) -> list[list[dict[str, Any]]]:
    tables = ("runs", "levels", "metrics", "requests", "findings")
    return [rows(data, f"FROM raw.{name} ORDER BY ALL") for name in tables]


def test_what_was_imported_is_told(imported: Imported) -> None:
    assert (imported.tool, imported.model, imported.shape) == ("LLMPerf", MODEL, "VM.GPU.A10.1")
    assert imported.levels == [1, 4]
    assert len(imported.files) == 4


def test_a_run_says_which_tool_measured_it_and_is_suspect(data: Path, imported: Imported) -> None:
    (run,) = rows(data, "FROM runs")
    assert (run["run_id"], run["source"], run["verdict"]) == (imported.run_id, "llmperf", "suspect")
    assert run["headline"] == "Imported from LLMPerf: not validated"
    assert (run["shape"], run["levels"], run["seed"]) == ("VM.GPU.A10.1", [1, 4], None)
    assert json.loads(run["facts"])["configuration"]["4"]["num_concurrent_requests"] == 4


def test_each_level_has_a_finding_that_says_why_it_is_suspect(data: Path, imported: Imported) -> None:
    found = rows(data, "FROM findings ORDER BY concurrency")
    assert [(one["expectation"], one["severity"], one["passed"]) for one in found] == [
        ("measured_by_shapebench", "suspect", False)
    ] * 2
    assert "LLMPerf" in found[0]["sentence"]


def test_the_level_summary_shows_comparable_numbers_only(data: Path, imported: Imported) -> None:
    summary = rows(data, "FROM level_summary")[-1]
    assert summary["ttft_s_mean"] > 0
    assert (summary["system_tokens_per_s"], summary["output_tokens_mean"]) == (None, None)


def test_the_view_metrics_shows_all_and_says_in_what_they_differ(data: Path, imported: Imported) -> None:
    (one,) = rows(data, "FROM metrics WHERE concurrency = 4 AND metric = 'system_tokens_per_s'")
    assert one["value"] > 0
    assert "Llama 2" in one["differs"]


def test_a_requests_columns_that_are_defined_otherwise_are_null(data: Path, imported: Imported) -> None:
    one = rows(data, "FROM requests WHERE concurrency = 4")[0]
    assert one["ttft_s"] > 0
    assert [one[name] for name in ("output_tokens", "tpot_s", "query_tokens_per_s", "sent_at", "stream")] == [None] * 5


def test_requests_have_the_moment_at_which_they_were_sent_where_it_is_known(data: Path) -> None:
    data.mkdir()
    take([SAMPLES / "guidellm" / "report"], data, None)
    assert rows(data, "SELECT min(sent_at) AS at FROM requests")[0]["at"].year == 2026


@pytest.mark.parametrize(
    "name",
    [
        "llmperf",
        "vllm_bench/chat",
        "guidellm/failing",
        "aiperf/failing",
        "genai_bench/failing",
        "sglang/chat",
        "inference_perf/reports-20261130-122500",
    ],
)
def test_every_tools_results_can_be_stored(data: Path, name: str) -> None:
    data.mkdir()
    (run,) = take([SAMPLES / name], data, None)
    summary = rows(data, "FROM level_summary")
    assert [one["concurrency"] for one in summary] == run.levels
    assert rows(data, "SELECT count(*) AS n FROM requests")[0]["n"] == sum(
        s["completed"] + s["failed"] for s in summary
    )


def test_what_the_tool_does_not_say_is_null(data: Path) -> None:
    data.mkdir()
    take([CHAT], data, None)
    (level,) = rows(data, "FROM raw.levels")
    unknown = ("timestamps", "enforced_output_tokens", "exact_prompts", "client", "samples", "error")
    assert [level[name] for name in unknown] == [None] * len(unknown)
    (run,) = rows(data, "FROM runs")
    assert (run["source_version"], run["url"], run["shape"]) == (None, "", "unknown shape")


def test_the_originals_are_kept_as_they_lay(data: Path, imported: Imported) -> None:
    original = data / "runs" / imported.run_id / "original"
    files = sorted(path.relative_to(original) for path in original.rglob("*") if path.is_file())
    assert [str(file) for file in files] == imported.files
    assert (original / files[0]).read_bytes() == (SAMPLES / "llmperf" / files[0]).read_bytes()


def test_importing_twice_changes_nothing(data: Path, imported: Imported) -> None:
    before = content(data)
    assert take([SAMPLES / "llmperf"], data, "VM.GPU.A10.1") == [imported]
    assert content(data) == before


def test_importing_copies_from_elsewhere_changes_nothing(data: Path, imported: Imported, tmp_path: Path) -> None:
    copies = shutil.copytree(SAMPLES / "llmperf", tmp_path / "copies")
    assert take([copies], data, "VM.GPU.A10.1") == [imported]


def test_the_kept_originals_can_be_imported_again(data: Path, imported: Imported) -> None:
    assert take([data / "runs" / imported.run_id / "original"], data, "VM.GPU.A10.1") == [imported]


def test_importing_again_with_a_shape_names_the_shape(data: Path, imported: Imported) -> None:
    take([SAMPLES / "llmperf"], data, "BM.GPU4.8")
    assert [run["shape"] for run in rows(data, "FROM runs")] == ["BM.GPU4.8"]


def test_a_run_is_named_after_its_start_and_its_content(data: Path, imported: Imported) -> None:
    (run,) = rows(data, "FROM runs")
    assert imported.run_id.startswith(f"{run['started_at']:%Y%m%dT%H%M%S}-")


def test_without_a_date_the_run_is_as_old_as_its_file_but_not_named_after_that(data: Path, tmp_path: Path) -> None:
    data.mkdir()
    said = json.loads(CHAT.read_text())
    del said["date"]
    file = tmp_path / "undated.json"
    file.write_text(json.dumps(said))
    (run,) = take([file], data, None)
    assert run.run_id.startswith("undated-")
    (stored,) = rows(data, "FROM runs")
    assert abs((stored["started_at"] - datetime.fromtimestamp(file.stat().st_mtime)).total_seconds()) < 86_400  # noqa: DTZ006
    file.touch()
    assert take([file], data, None) == [run]


def test_it_is_finished_when_its_last_level_is(data: Path, imported: Imported) -> None:
    (run,) = rows(data, "FROM runs")
    (last,) = rows(data, "SELECT max(started_at + to_milliseconds((wall_s * 1000)::BIGINT)) AS at FROM raw.levels")
    assert abs((run["finished_at"] - last["at"]).total_seconds()) < 0.01


def test_nothing_is_imported_where_one_file_cannot_be(data: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text("{}")
    with pytest.raises(ImportRefusedError):
        take([SAMPLES / "llmperf", tmp_path / "foreign.json"], data, None)
    assert not data.exists()


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ShapebenchError, match="Cannot copy"):
        take([CHAT], tmp_path / "data", None)


def test_an_api_key_is_not_stored(data: Path) -> None:
    data.mkdir()
    take([SAMPLES / "genai_bench" / "experiment"], data, None)
    assert "--api-key k" not in rows(data, "FROM runs")[0]["facts"]


def test_what_a_tool_does_not_count_is_null(data: Path) -> None:
    data.mkdir()
    take([SAMPLES / "inferencex"], data, None)
    found = rows(data, "FROM level_summary")
    assert [(one["concurrency"], one["completed"], one["failed"]) for one in found] == [
        (1, None, None),
        (4, None, None),
    ]
    assert found[0]["ttft_s_mean"] is None  # not comparable
    assert found[0]["system_tokens_per_s"] > 0


def test_the_shape_is_the_one_that_the_files_name_unless_another_is_given(data: Path) -> None:
    data.mkdir()
    (run,) = take([SAMPLES / "genai_perf" / "oracle"], data, None)
    assert run.shape == "VM.GPU.A10.1"
    assert take([SAMPLES / "genai_perf" / "oracle"], data, "BM.GPU4.8")[0].shape == "BM.GPU4.8"


def test_answers_that_were_not_streamed_are_marked_in_the_run_its_findings_and_its_numbers(data: Path) -> None:
    data.mkdir()
    take([SAMPLES / "sglang" / "unstreamed"], data, None)
    (run,) = rows(data, "FROM runs")
    assert run["headline"] == "Imported from SGLang's bench_serving: not validated; answers not streamed"
    assert [one["expectation"] for one in rows(data, "FROM findings ORDER BY expectation")] == [
        "answers_not_streamed",
        "measured_by_shapebench",
    ]
    (level,) = rows(data, "FROM level_summary")
    assert level["ttft_s_mean"] is None
    assert level["e2e_s_mean"] > 0


SECRETS = [
    ("genai_perf/oracle", "sk-secret-of-the-server"),
    ("genai_perf/newest", "sk-secret-of-the-header"),
]


@pytest.mark.parametrize(("name", "secret"), SECRETS)
def test_secrets_of_configurations_are_not_stored(data: Path, name: str, secret: str) -> None:
    data.mkdir()
    (run,) = take([SAMPLES / name], data, None)
    assert secret not in str(content(data))
    kept = (data / "runs" / run.run_id / "original").rglob("*.json")
    assert any(secret in file.read_text() for file in kept)  # byte for byte


def test_secrets_in_addresses_and_errors_are_not_stored(data: Path, tmp_path: Path) -> None:
    data.mkdir()
    said = json.loads((SAMPLES / "guidellm" / "failing" / "benchmarks.json").read_text())
    one = said["benchmarks"][0]
    one["config"]["backend"]["target"] = "http://user:hunter2secret@host:8000"
    one["requests"]["errored"][0]["info"]["error"] = "401 for Authorization: Bearer hunter3secret"
    (tmp_path / "benchmarks.json").write_text(json.dumps(said))
    take([tmp_path / "benchmarks.json"], data, None)
    assert "hunter" not in str(content(data))
