"""InferenceX's rows, in our terms."""

import json
from pathlib import Path
from typing import Any

import pytest

from shapebench.results.imports.recognise import ImportRefusedError, Sweep, sweeps
from tests.unit.results.imports.import_samples import MODEL, SAMPLES, differing, level, sweep, values

ROWS = "inferencex"


def rows() -> list[Any]:
    content: list[Any] = json.loads((SAMPLES / ROWS / "agg_bmk.json").read_text())
    return content


def written(folder: Path, *said: Any) -> list[Sweep]:
    (folder / "agg_bmk.json").write_text(json.dumps(said[0] if len(said) == 1 else said))
    return sweeps([folder])


def test_the_rows_of_a_configuration_are_one_sweep() -> None:
    found = sweep(ROWS)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("inferencex", [1, 4])


def test_a_row_says_what_was_measured_where() -> None:
    origin = sweep(ROWS).origin
    assert (origin.model, origin.shape, origin.workload) == (MODEL, "a10", "20 in, 6 out")
    assert (origin.server, origin.server_version) == ("vllm", "vllm/vllm-openai:v0.32.0")


def test_times_are_in_seconds_as_they_stand() -> None:
    assert values(level(ROWS, 4))["ttft_s", "mean"] == rows()[1]["mean_ttft"]


def test_of_an_unknown_number_of_requests_only_means_are_taken() -> None:
    one = level(ROWS, 4)
    assert (one.completed, one.failed) == (None, None)
    assert {stat for _, stat in values(one)} == {"mean", "total"}


def test_a_chats_role_may_be_the_first_token() -> None:
    assert {"ttft_s", "tpot_s", "inter_token_s"} <= differing(level(ROWS, 4))


def test_throughput_of_each_gpu_becomes_that_of_all(tmp_path: Path) -> None:
    said = rows()[1] | {"tp": 4, "pp": 2}
    ((one,),) = (found.levels for found in written(tmp_path, said))
    assert values(one)["system_tokens_per_s", "total"] == pytest.approx(8 * said["output_tput_per_gpu"])


def test_where_gpus_of_their_own_decode_throughput_is_that_of_each_of_them(tmp_path: Path) -> None:
    said = rows()[1] | {"disagg": True, "is_multinode": True, "num_prefill_gpu": 20, "num_decode_gpu": 8}
    ((one,),) = (found.levels for found in written(tmp_path, said))
    assert values(one)["system_tokens_per_s", "total"] == pytest.approx(8 * said["output_tput_per_gpu"])


@pytest.mark.parametrize("other", [{"tp": 2}, {"precision": "fp8"}, {"spec_decoding": "mtp"}, {"hw": "h100"}])
def test_configurations_are_runs_of_their_own(tmp_path: Path, other: dict[str, Any]) -> None:
    assert len(written(tmp_path, rows()[1], rows()[1] | other)) == 2


def test_rows_of_agents_traces_are_refused(tmp_path: Path) -> None:
    said = {name: value for name, value in rows()[1].items() if not name.startswith("mean_")}
    with pytest.raises(ImportRefusedError, match="rows of AgentX are not read"):
        written(tmp_path, said)


def test_a_raw_result_is_vllms_with_the_moment_at_which_it_began(tmp_path: Path) -> None:
    said = json.loads((SAMPLES / "vllm_bench" / "summaries" / "c4.json").read_text())
    (tmp_path / "raw.json").write_text(json.dumps(said | {"benchmark_start_time_unix": 1_796_000_000.0}))
    (found,) = sweeps([tmp_path])
    assert found.tool.source == "vllm bench serve"
    assert found.levels[0].started_at is not None
    assert found.levels[0].started_at.timestamp() == 1_796_000_000
