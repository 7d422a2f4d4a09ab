"""inference-perf's reports, in our terms."""

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
    comparable,
    differing,
    level,
    numbers,
    of_whole,
    sweep,
    values,
)

REPORTS = "inference_perf/reports-20261130-122500"
STAGE_1, RECORDS, CONFIG = "stage_1_lifecycle_metrics.json", "per_request_lifecycle_metrics.json", "config.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES / REPORTS, tmp_path / "reports"))


def content(name: str, folder: Path = SAMPLES / REPORTS) -> Any:
    return json.loads((folder / name).read_text())


def change(folder: Path, name: str, part: str, **changes: Any) -> None:
    said = content(name, folder)
    said[part] |= changes
    (folder / name).write_text(json.dumps(said))


def test_the_stages_of_a_run_are_one_sweep() -> None:
    found = sweep(REPORTS)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("inference-perf", [1, 4])


def test_the_configuration_says_what_was_measured_where() -> None:
    origin = sweep(REPORTS).origin
    assert (origin.model, origin.url) == (MODEL, "http://127.0.0.1:18431")
    assert origin.workload == "random N(20,1) in, N(6,0) out"
    assert level(REPORTS, 4).configuration["load"]["type"] == "concurrent"  # type: ignore[index]


def test_without_the_configuration_single_requests_name_the_model(folder: Path) -> None:
    (folder / CONFIG).unlink()
    (found,) = sweeps([folder])
    assert (found.origin.model, found.origin.workload) == (MODEL, "unknown workload")


def test_with_single_requests_all_is_comparable() -> None:
    assert differing(level(REPORTS, 4)) == set()
    assert {"ttft_s", "e2e_s", "tpot_s", "inter_token_s", "system_tokens_per_s"} <= comparable(level(REPORTS, 4))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_single_requests_belong_to_the_stage_with_their_mean_latency(concurrency: int) -> None:
    told = content(f"stage_{0 if concurrency == 1 else 1}_lifecycle_metrics.json")["successes"]["latency"]
    one = values(level(REPORTS, concurrency))
    assert one["ttft_s", "mean"] == pytest.approx(told["time_to_first_token"]["mean"])
    assert one["e2e_s", "mean"] == pytest.approx(told["request_latency"]["mean"], rel=0.1)
    assert one["e2e_s", "mean"] < told["request_latency"]["mean"]  # which counts the tokens before it ends


def test_the_servers_usage_is_taken_not_the_tools_own_count() -> None:
    assert set(of_whole(level(REPORTS, 4), "output_tokens")) == {6}
    assert content(STAGE_1)["successes"]["output_len"]["mean"] != 6


def test_requests_that_fit_no_stage_are_not_used(folder: Path) -> None:
    said = content(RECORDS)
    said[0]["end_time"] += 1
    (folder / RECORDS).write_text(json.dumps(said))
    (found,) = sweeps([folder])
    assert [one.answers for one in found.levels] == [[], []]


def test_a_stage_alone_gives_its_own_stats(folder: Path) -> None:
    (folder / RECORDS).unlink()
    (found,) = sweeps([folder])
    told = content(STAGE_1)["successes"]["latency"]["time_to_first_token"]
    one = found.levels[-1]
    assert values(one)["ttft_s", "mean"] == told["mean"]
    assert values(one)["ttft_s", "max"] == told["max"]
    assert {"e2e_s", "tpot_s", "inter_token_s", "system_tokens_per_s"} <= differing(one)
    assert (one.completed, one.failed, one.planned) == (10, 0, 10)


def test_where_the_servers_tokens_were_asked_for_they_are_comparable(folder: Path) -> None:
    (folder / RECORDS).unlink()
    config = folder / CONFIG
    config.write_text(config.read_text().replace("use_server_output_tokens: false", "use_server_output_tokens: true"))
    (found,) = sweeps([folder])
    assert "tpot_s" not in differing(found.levels[0])


def test_failed_requests_are_kept_with_their_errors(folder: Path) -> None:
    (folder / "stage_0_lifecycle_metrics.json").unlink()
    said = content(RECORDS)[10:]
    said[0]["error"] = {"error_type": "HTTP Error 503", "error_msg": "overloaded"}
    (folder / RECORDS).write_text(json.dumps(said))
    left = [row["end_time"] - row["start_time"] for row in said[1:]]
    latency = content(STAGE_1)["successes"]["latency"] | {"request_latency": {"mean": sum(left) / len(left)}}
    change(folder, STAGE_1, "successes", count=9, latency=latency)
    change(folder, STAGE_1, "failures", count=1)
    ((one,),) = (found.levels for found in sweeps([folder]))
    (failed,) = [answer for answer in one.answers if answer.error_kind]
    assert (one.completed, one.failed, failed.http_status, failed.error_message) == (9, 1, 503, "overloaded")


def test_numbers_of_older_versions_have_other_names(folder: Path) -> None:
    (folder / RECORDS).unlink()
    said = content(STAGE_1)
    said["successes"] |= {"prompt_len": said["successes"].pop("prompt_tokens")}
    said["successes"].pop("output_tokens")
    (folder / STAGE_1).write_text(json.dumps(said))
    (found,) = sweeps([folder])
    one = numbers(found.levels[-1])
    assert one["input_tokens", "mean"].value == said["successes"]["prompt_len"]["mean"]
    assert one["output_tokens", "mean"].value == said["successes"]["output_len"]["mean"]


def test_requests_at_a_rate_are_no_concurrency_level(folder: Path) -> None:
    said = content(STAGE_1)
    said["load_summary"].pop("concurrency")
    (folder / STAGE_1).write_text(json.dumps(said))
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        sweeps([folder])


def test_the_summary_of_all_stages_alone_is_refused() -> None:
    with pytest.raises(ImportRefusedError, match="its stage files are missing"):
        sweeps([SAMPLES / REPORTS / "summary_lifecycle_metrics.json"])


def test_when_the_run_began_is_in_the_name_of_its_folder() -> None:
    assert level(REPORTS, 1).started_at == datetime(2026, 11, 30, 12, 25, tzinfo=UTC)


def test_what_else_lies_in_its_folder_is_passed_over(folder: Path) -> None:
    for name in (
        "stage_0_prometheus_metrics.json",
        "per_session_lifecycle_metrics.json",
        "adapter_a_lifecycle_metrics.json",
    ):
        (folder / name).write_text("{}")
    (found,) = sweeps([folder])
    assert len(found.documents) == 4


@pytest.mark.parametrize("text", ["a: [", "&a [*a]", "just text"])
def test_a_configuration_that_is_no_yaml_map_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(ImportRefusedError, match=r"config\.yaml"):
        sweeps([folder])
