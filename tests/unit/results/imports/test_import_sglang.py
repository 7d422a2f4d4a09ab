"""Results of SGLang's bench_serving, in our terms."""

import json
from pathlib import Path
from typing import Any

import pytest

from shapebench.results.imports.recognise import ImportRefusedError, sweeps
from shapebench.results.imports.tool import Level
from tests.unit.results.imports.import_samples import SAMPLES, differing, level, numbers, sweep, values

CHAT, COMPLETIONS, SUMMARIES, UNSTREAMED = (
    f"sglang/{name}" for name in ("chat", "completions", "summaries", "unstreamed")
)
SERVER = {"served_model_name": "tiny", "model_path": "/models/tiny", "version": "0.5.5", "api_key": "sk-of-the-server"}


def lines(name: str) -> list[Any]:
    (file,) = (SAMPLES / name).glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def changed(folder: Path, name: str, changes: dict[str, Any]) -> Level:
    (folder / "result.jsonl").write_text(json.dumps(lines(name)[-1] | changes))
    ((one,),) = (found.levels for found in sweeps([folder]))
    return one


def test_the_lines_of_a_file_are_one_sweep() -> None:
    found = sweep(SUMMARIES)
    assert (found.tool.source, [one.concurrency for one in found.levels]) == ("sglang bench_serving", [1, 4])
    assert found.origin.workload == "random-ids 20 in, 6 out"


@pytest.mark.parametrize("stat", [("mean", "mean"), ("p50", "median")])
@pytest.mark.parametrize(("ours", "theirs"), [("ttft_s", "ttft"), ("tpot_s", "tpot"), ("inter_token_s", "itl")])
def test_stats_of_single_requests_are_those_of_the_summary(ours: str, theirs: str, stat: tuple[str, str]) -> None:
    told = lines(CHAT)[0][f"{stat[1]}_{theirs}_ms"] / 1000
    assert values(level(CHAT, 4))[ours, stat[0]] == pytest.approx(told, rel=0.02)  # its TPOT ends with the stream


@pytest.mark.parametrize(
    ("ours", "theirs"), [("ttft_s", "ttft"), ("e2e_s", "e2e_latency"), ("tpot_s", "tpot"), ("inter_token_s", "itl")]
)
def test_times_of_a_summary_become_seconds(ours: str, theirs: str) -> None:
    told = lines(SUMMARIES)[-1][f"mean_{theirs}_ms"] / 1000
    assert values(level(SUMMARIES, 4))[ours, "mean"] == pytest.approx(told)


def test_of_openais_apis_tokens_may_be_those_asked_for() -> None:
    assert {"output_tokens", "tpot_s", "system_tokens_per_s"} <= differing(level(CHAT, 4))
    assert numbers(level(CHAT, 4))["ttft_s", "mean"].differs is None


def test_of_its_own_api_tokens_are_the_servers_and_gaps_are_divided_evenly(tmp_path: Path) -> None:
    one = changed(tmp_path, SUMMARIES, {"backend": "sglang"})
    assert "output_tokens" not in differing(one)
    assert "divided evenly" in (numbers(one)["inter_token_s", "mean"].differs or "")


def test_gaps_are_ours_where_as_many_chunks_as_tokens_came(tmp_path: Path) -> None:
    assert "inter_token_s" not in differing(level(COMPLETIONS, 4))
    assert "inter_token_s" in differing(changed(tmp_path, COMPLETIONS, {"output_lens": [9] * 10}))


def test_without_streaming_zeros_are_not_known_and_the_first_token_is_marked() -> None:
    one = level(UNSTREAMED, 4)
    assert not {"tpot_s", "inter_token_s"} & {metric for metric, _ in numbers(one)}
    assert "not streamed" in (numbers(one)["ttft_s", "mean"].differs or "")
    assert values(one)["e2e_s", "mean"] > 0
    assert [caveat.name for caveat in one.caveats] == ["answers_not_streamed"]


def test_how_many_failed_is_known_with_details_only(tmp_path: Path) -> None:
    said = lines(CHAT)[0]
    errors = ["boom", *said["errors"][1:]]
    one = changed(tmp_path, CHAT, {"errors": errors, "ttfts": [0.0, *said["ttfts"][1:]], "completed": 9})
    assert (one.completed, one.failed) == (9, 1)
    assert level(SUMMARIES, 4).failed is None


def test_the_server_says_its_model_and_version(tmp_path: Path) -> None:
    origin = changed(tmp_path, CHAT, {"server_info": SERVER}).origin
    assert (origin.model, origin.server, origin.server_version) == ("tiny", "SGLang", "0.5.5")


def test_a_router_wraps_what_the_server_says(tmp_path: Path) -> None:
    assert changed(tmp_path, CHAT, {"server_info": {"decode": [SERVER]}}).origin.model == "tiny"


@pytest.mark.parametrize("changes", [{"request_rate": 5.0}, {"request_rate": "trace"}, {"max_concurrency": None}])
def test_requests_at_a_rate_are_no_concurrency_level(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ImportRefusedError, match="number of streams was not fixed"):
        changed(tmp_path, CHAT, changes)


def test_the_configuration_is_kept_without_the_results(tmp_path: Path) -> None:
    kept = changed(tmp_path, CHAT, {"server_info": SERVER}).configuration
    assert kept["random_input_len"] == 20
    assert not {"duration", "ttfts", "generated_texts"} & set(kept)
