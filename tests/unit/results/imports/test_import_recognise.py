"""Which tool wrote a file, what belongs together, and what is refused."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shapebench.results.imports.recognise import TOOLS, ImportRefusedError, sweeps
from shapebench.results.imports.taken import tables
from tests.examples import examples
from tests.unit.results.imports.import_samples import SAMPLES, read

FILES = sorted(path for path in SAMPLES.rglob("*") if path.suffix in (".json", ".jsonl"))
WHOLE = (
    "llmperf",
    "vllm_bench/chat",
    "sglang/chat",
    "inferencex",
    "guidellm/report",
    "guidellm/of-0.3",
    "aiperf/c4",
    "aiperf/before-phases-c4",
    "genai_perf/oracle",
    "genai_perf/newest",
    "genai_bench/experiment",
    "inference_perf/reports-20261130-122500",
)


def copy(name: str, to: Path) -> Path:
    shutil.copytree(SAMPLES / name, to)
    return to


@pytest.mark.parametrize("name", WHOLE)
def test_every_tool_is_recognised(name: str) -> None:
    (found,) = read(name)
    assert found.tool.source.replace(" ", "_").replace("-", "_").startswith(name.partition("/")[0])


def test_every_tool_has_a_sample() -> None:
    assert {read(name)[0].tool.source for name in WHOLE} == {tool.source for tool in TOOLS}


def test_a_folder_with_results_of_several_tools_becomes_several_sweeps(tmp_path: Path) -> None:
    for name in ("llmperf", "guidellm/report", "aiperf/c4"):
        copy(name, tmp_path / name)
    assert {found.tool.source for found in sweeps([tmp_path])} == {"llmperf", "guidellm", "aiperf"}


def test_files_may_be_named_one_by_one() -> None:
    folder = SAMPLES / "vllm_bench" / "completions"
    (found,) = sweeps([folder / "c4.json", folder / "c1.json"])
    assert [level.concurrency for level in found.levels] == [1, 4]


def test_a_file_named_twice_is_read_once() -> None:
    folder = SAMPLES / "vllm_bench" / "chat"
    (found,) = sweeps([folder, folder / "c4.json"])
    assert len(found.levels) == 1


def test_levels_in_folders_of_their_own_are_a_sweep_of_the_folder_that_holds_them(tmp_path: Path) -> None:
    copy("llmperf", tmp_path / "vllm")
    copy("llmperf", tmp_path / "tgi")
    found = sweeps([tmp_path])
    assert [[level.concurrency for level in sweep.levels] for sweep in found] == [[1, 4], [1, 4]]


def test_another_model_is_another_sweep(tmp_path: Path) -> None:
    copy("vllm_bench/completions", tmp_path / "results")
    said = json.loads((tmp_path / "results" / "c4.json").read_text())
    (tmp_path / "results" / "c4.json").write_text(json.dumps(said | {"model_id": "another"}))
    assert sorted(found.origin.model for found in sweeps([tmp_path])) == ["another", "meta-llama/Llama-3.2-3B-Instruct"]


def test_two_results_of_one_concurrency_are_refused_with_a_remedy(tmp_path: Path) -> None:
    copy("vllm_bench/completions", tmp_path / "results")
    shutil.copy(tmp_path / "results" / "c4.json", tmp_path / "results" / "again.json")
    with pytest.raises(ImportRefusedError, match=r"again.json.*2 results of concurrency 4; import each repetition"):
        sweeps([tmp_path])


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"date": "2026')
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "foreign.json").write_text('{"hello": "world"}')
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImportRefusedError) as refused:
        sweeps([tmp_path, tmp_path / "missing.json", SAMPLES / "llmperf"])
    for words in (
        "cut.json: is not JSON, or is truncated",
        "empty.json: is not JSON, or is truncated: it is empty",
        "foreign.json: none of the tools",
        "binary.json: is not JSON",
        "missing.json: does not exist",
    ):
        assert words in str(refused.value)
    assert "Nothing was imported" in refused.value.problem


NOT_READ = {
    "Locust": '[{"name": "/", "method": "GET", "num_requests": 9, "num_none_requests": 0}]',
    "k6": '{"metrics": {"http_reqs": {"count": 9}}, "root_group": {"name": ""}}',
    "Vegeta": '{"latencies": {"total": 9, "mean": 3}, "bytes_in": {"total": 9}}',
    "wrk": "Running 30s test @ http://127.0.0.1:8000\n  2 threads and 4 connections\n",
    "MLPerf's LoadGen": "================\nMLPerf Results Summary\n================\nSUT name : x\n",
    "NVIDIA Perf Analyzer": '{"experiments": [{"experiment": {"mode": "concurrency", "value": 1}, "requests": []}]}',
    "trtllm-bench": '{"performance": {"system_output_throughput_tok_s": 9.0}}',
    "llm-load-test": '{"results": [{"tt_ack": 1.0, "ttft": 9.0}], "config": {}, "summary": {}}',
    "EvalScope": '{"Number of concurrency": 4, "Average time to first token (s)": 0.1}',
    "vllm bench throughput": '{"elapsed_time": 9.0, "total_num_tokens": 9, "tokens_per_second": 1.0}',
}


@pytest.mark.parametrize("tool", NOT_READ)
def test_of_a_tool_that_is_not_read_the_name_is_said(tool: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(NOT_READ[tool])
    with pytest.raises(ImportRefusedError, match=f"result.json: was written by {tool}, whose results are not read"):
        sweeps([tmp_path])


def test_a_folder_without_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="contains no JSON file"):
        sweeps([tmp_path])


def test_json_deeper_than_anybody_writes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ImportRefusedError, match="is not JSON"):
        sweeps([tmp_path])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SAMPLES)))
@pytest.mark.parametrize("share", [0.1, 0.45, 0.97])
def test_a_file_that_is_cut_off_is_refused(file: Path, share: float, tmp_path: Path) -> None:
    said = file.read_text().rstrip()
    (tmp_path / file.name).write_text(said[: int(len(said) * share)])
    with pytest.raises(ImportRefusedError, match="is truncated"):
        sweeps([tmp_path])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(content=JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_json_there_is_it_is_refused_without_a_traceback(content: object, tmp_path: Path) -> None:
    (tmp_path / "any.json").write_text(json.dumps(content))
    with pytest.raises(ImportRefusedError):
        sweeps([tmp_path])


def paths(content: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a document, but for more than two items of each list."""
    inner = (
        content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else ()
    )
    return [path, *(found for key, value in inner for found in paths(value, (*path, key)))]


def replaced(content: object, path: tuple[str | int, ...], by: object) -> object:
    if not path:
        return by
    key, *rest = path
    changed = dict(content) if isinstance(content, dict) else list(content)  # type: ignore[call-overload]
    changed[key] = replaced(changed[key], tuple(rest), by)
    return changed


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(300))
def test_a_result_with_anything_in_place_of_a_part_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(WHOLE))
    folder = tmp_path / "one"
    shutil.rmtree(folder, ignore_errors=True)
    copy(name, folder)
    file = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*.json*") if path.is_file())))
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    content = json.loads(lines[0])
    by = data.draw(
        st.sampled_from(
            [
                None,
                -1,
                0,
                2**40,
                1e300,
                float("nan"),
                float("inf"),
                "x",
                "\ud800",
                [],
                {},
                [None],
                {"x": None},
                True,
                10**400,
            ]
        )
    )
    lines[0] = json.dumps(replaced(content, data.draw(st.sampled_from(paths(content))), by))
    file.write_text("\n".join(lines))
    with suppress(ImportRefusedError):
        for found in sweeps([folder]):
            assert tables(found, "run", "shape")["levels"].num_rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_was_saved_on_windows_is_read(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "c4.json"
    file.write_bytes((SAMPLES / "vllm_bench/chat/c4.json").read_text(encoding="utf-8").encode(encoding))
    assert [sweep.tool.source for sweep in sweeps([file])] == ["vllm bench serve"]
