"""A run's file: everything that its samples do not hold, and nothing that should not be written down."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from shapebench.errors import ShapebenchError
from shapebench.runs import run_file
from shapebench.runs.run_file import RunFile, RunNotFoundError, begin, load, redact_spec, restore_secrets, save
from shapebench.spec.model import Endpoint, Search, Spec, parse
from tests.level_sample import FACTS, RUN_ID, closed_loop, level, run


def saved(data: Path, run_id: str = RUN_ID) -> RunFile:
    content = RunFile(
        run(data, run_id),
        FACTS,
        (level(data, 1, closed_loop(1), run_id=run_id), level(data, 2, None, run_id=run_id)),
    )
    save(content)
    return content


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    content = saved(tmp_path)
    assert load(tmp_path, RUN_ID) == content


def test_a_run_without_levels_yet_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "runs" / RUN_ID).mkdir(parents=True)
    save(RunFile(run(tmp_path), FACTS))
    assert load(tmp_path, RUN_ID).levels == ()


def test_a_run_is_found_where_its_folder_was_moved_to(tmp_path: Path) -> None:
    saved(tmp_path / "before")
    shutil.move(tmp_path / "before", tmp_path / "after")
    content = load(tmp_path / "after", RUN_ID)
    assert content.run.spec.data == tmp_path / "after"
    assert content.levels[0].samples == tmp_path / "after" / "runs" / RUN_ID / "level-0001.parquet"
    assert content.levels[0].samples.exists()
    assert content.levels[1].samples is None


def test_samples_are_named_without_the_folders_above_them(tmp_path: Path) -> None:
    text = (saved(tmp_path).run.folder / "run.json").read_text(encoding="utf-8")
    assert text.count(str(tmp_path)) == 1  # the data folder as the spec names it
    assert '"samples": "level-0001.parquet"' in text


def test_saving_leaves_nothing_unfinished(tmp_path: Path) -> None:
    saved(tmp_path)
    names = sorted(path.name for path in (tmp_path / "runs" / RUN_ID).iterdir())
    assert names == ["level-0001.parquet", "run.json", "server-0001.parquet"]


def test_an_unknown_run_names_the_newest_known_ones(tmp_path: Path) -> None:
    for day in range(1, 8):
        saved(tmp_path, f"2026070{day}T093000-a1b2c3")
    with pytest.raises(RunNotFoundError, match="There is no run nope") as caught:
        load(tmp_path, "nope")
    newest = ", ".join(f"2026070{day}T093000-a1b2c3" for day in (7, 6, 5, 4, 3))
    assert caught.value.remedy.startswith(f"The newest runs there: {newest};")


def test_without_any_run_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="The newest runs there: none; use another folder with --data"):
        load(tmp_path, "nope")


def test_a_file_of_another_make_is_said_to_be_unreadable(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "runs" / RUN_ID / "run.json").write_text('{"run": {}}', encoding="utf-8")
    with pytest.raises(RunNotFoundError, match=r"run\.json cannot be read"):
        load(tmp_path, RUN_ID)


def test_a_new_run_has_a_folder_a_seed_and_its_surroundings(tmp_path: Path) -> None:
    begun = begin(run(tmp_path).spec)
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", begun.run_id)
    assert begun.folder.is_dir()
    assert 0 <= begun.seed < 2**48
    assert {"python", "shapebench", "prefect", "duckdb"} <= set(begun.versions)
    assert set(begun.machine) == {"system", "release", "architecture", "cpus", "memory_bytes"}


def test_two_runs_send_different_prompts(tmp_path: Path) -> None:
    assert begin(run(tmp_path).spec).seed != begin(run(tmp_path).spec).seed


def test_a_seed_in_the_spec_is_the_runs(tmp_path: Path) -> None:
    endpoint = {"url": "http://127.0.0.1:8000", "model": "m"}
    assert begin(parse({"endpoint": endpoint, "data": tmp_path, "workload": {"seed": 7}})).seed == 7


def test_no_secret_of_the_environment_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPEBENCH_API_KEY", "hunter2")
    begun = begin(run(tmp_path).spec)
    save(RunFile(begun, FACTS))
    text = (begun.folder / "run.json").read_text(encoding="utf-8")
    assert "SHAPEBENCH_API_KEY" in text  # the name, which is no secret
    assert "hunter2" not in text


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ShapebenchError, match="Cannot create the folder") as caught:
        begin(run(tmp_path / "file").spec)
    assert "Use another folder" in caught.value.remedy


def test_the_revision_is_that_of_the_checkout_of_this_code() -> None:
    found = run_file.git_revision()
    assert found is None or re.fullmatch("[0-9a-f]{40}", found)


def test_code_installed_inside_another_checkout_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file._git("init", "--quiet", str(tmp_path))
    monkeypatch.setattr(run_file, "__file__", str(tmp_path / "run_file.py"))
    (tmp_path / "runs.py").write_text("", encoding="utf-8")  # there, but nothing that this repository tracks
    assert run_file.git_revision() is None


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert run_file.git_revision() is None


def test_a_run_json_of_format_1_opens(tmp_path: Path) -> None:
    content = saved(tmp_path)
    path = content.run.folder / "run.json"
    path.write_text(json.dumps(in_format_1(json.loads(path.read_text()))))
    assert load(tmp_path, RUN_ID).levels == content.levels


def test_the_search_of_a_run_json_of_format_1_keeps_its_range(tmp_path: Path) -> None:
    path = saved(tmp_path).run.folder / "run.json"
    path.write_text(json.dumps(in_format_1(json.loads(path.read_text()))))
    assert load(tmp_path, RUN_ID).run.spec.search == Search(min_level=2, max_level=128)


def in_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """A run.json under the names that it had before format 2."""
    del content["format"]
    content["run"]["left_out"] = content["run"].pop("skipped_levels")
    content["run"]["spec"]["search"] = {"least": 2, "most": 128}
    for measured in content["levels"]:
        measured |= {"asked": measured.pop("requested"), "promised": measured.pop("slo_bounds")}
    return content


LAUNCHED = "env HF_TOKEN=hush vllm serve m --api-key hush hush2 --port 80"


def test_a_launch_command_is_saved_without_its_secrets(tmp_path: Path) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:80", model="m", launch=LAUNCHED)
    begun = begin(Spec(endpoint=endpoint, data=tmp_path))
    save(RunFile(begun))
    assert "hush" not in (begun.folder / "run.json").read_text()
    saved = load(tmp_path, begun.run_id).run.spec
    assert saved.endpoint.launch == "env HF_TOKEN=… vllm serve m --api-key … --port 80"
    assert restore_secrets(saved, begun.spec) == saved.model_copy(update={"endpoint": endpoint})


def test_the_launch_command_of_another_spec_is_not_taken(tmp_path: Path) -> None:
    endpoint = Endpoint(url="http://127.0.0.1:80", model="m", launch=LAUNCHED)
    other = endpoint.model_copy(update={"launch": LAUNCHED.replace("80", "81")})
    saved = redact_spec(Spec(endpoint=endpoint, data=tmp_path))
    assert restore_secrets(saved, Spec(endpoint=other, data=tmp_path)) == saved
