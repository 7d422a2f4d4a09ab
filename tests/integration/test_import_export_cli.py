"""`shapebench import` and `shapebench export`, as scripts rely on them."""

from pathlib import Path

import pytest

from tests.conftest import Finished, Shell
from tests.in_process import InProcess

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "unit" / "results" / "imports" / "samples"


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Commands that need no Prefect server."""
    return Shell({"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")), "PREFECT_API_URL": ""})


@pytest.fixture(scope="module")
def here(offline: Shell) -> InProcess:
    """The same commands, in this process."""
    return InProcess(offline.environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def imported(offline: Shell, data: Path) -> Finished:
    paths = [str(SAMPLES / name) for name in ("llmperf", "guidellm/report")]
    return offline.run("import", *paths, "--shape", "VM.GPU.A10.1", "--data", str(data), "--json")


def test_import_prints_one_json_list_of_runs(imported: Finished) -> None:
    assert imported.code == 0, imported.stderr
    assert [(run["tool"], run["levels"], run["shape"]) for run in imported.json] == [
        ("LLMPerf", [1, 4], "VM.GPU.A10.1"),
        ("GuideLLM", [1, 4], "VM.GPU.A10.1"),
    ]


def test_imported_runs_are_listed(here: InProcess, data: Path, imported: Finished) -> None:
    listed = here.run("runs", "--data", str(data), "--json")
    assert {run["run_id"] for run in listed.json} == {run["run_id"] for run in imported.json}


def test_import_shows_people_a_line_for_each_run(here: InProcess, tmp_path: Path) -> None:
    shown = here.run("import", str(SAMPLES / "aiperf" / "c4"), "--data", str(tmp_path))
    assert "AIPerf 0.13.0" in shown.stdout
    assert len(shown.stdout.splitlines()) == 1


def test_import_says_all_that_is_wrong_and_exits_with_1(here: InProcess, tmp_path: Path) -> None:
    (tmp_path / "foreign.json").write_text("{}")
    refused = here.run("import", str(tmp_path / "foreign.json"), "missing.json", "--data", str(tmp_path))
    assert (refused.code, refused.stdout) == (1, "")
    assert "foreign.json: none of the tools" in refused.stderr
    assert "missing.json: does not exist" in refused.stderr
    assert "What to do" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_import_of_nothing_is_wrong_usage(here: InProcess) -> None:
    assert here.run("import").code == 2


@pytest.mark.parametrize("form", ["llmperf", "parquet", "csv"])
def test_export_prints_the_files_that_it_wrote(
    here: InProcess, data: Path, imported: Finished, form: str, tmp_path: Path
) -> None:
    run_id = imported.json[0]["run_id"]
    done = here.run("export", run_id, "--format", form, "--to", str(tmp_path), "--data", str(data), "--json")
    assert done.code == 0, done.stderr
    assert (done.json["run_id"], done.json["format"]) == (run_id, form)
    assert done.json["files"]
    assert all(Path(file).is_file() for file in done.json["files"])


def test_export_of_a_form_that_there_is_not_is_wrong_usage(here: InProcess, data: Path, imported: Finished) -> None:
    done = here.run("export", imported.json[0]["run_id"], "--format", "excel", "--data", str(data))
    assert done.code == 2
    assert "llmperf, parquet, csv" in done.stderr


def test_export_of_a_run_that_is_not_there_exits_with_1(here: InProcess, data: Path, imported: Finished) -> None:
    done = here.run("export", "nothing", "--format", "csv", "--data", str(data))
    assert done.code == 1
    assert "has no run nothing" in done.stderr
