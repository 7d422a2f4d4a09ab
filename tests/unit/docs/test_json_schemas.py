"""What commands print with --json is what docs/schemas says, which is written from the code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cli import json_schemas
from cli.capacity import search_object
from cli.commands import report
from cli.main import COMMANDS, cli
from cli.run import result_object
from cli.single_level import _result as level_object
from flows.benchmark import Outcome
from shapebench.analysis.conclusion import Conclusion
from shapebench.results import database
from shapebench.results.rows import tables
from shapebench.runs.records import Artifact, Finding, Verdict
from shapebench.spec.model import Search
from tests.level_sample import FACTS, RUN_ID, STARTED_AT, clean, closed_loop, level, run, run_tables, verdict

LATER = "20260715T093000-a1b2c3"
ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "unit" / "results" / "imports" / "samples"
CURVE = "concurrency,system_tokens_per_s\n1,73\n2,140\n4,270\n8,500\n16,850\n32,1330\n64,1500\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two runs."""
    folder = tmp_path_factory.mktemp("json") / "data"
    for run_id in (RUN_ID, LATER):
        database.load(folder, run_id, run_tables(folder, run_id))
    return folder


def validate(command: str, content: Any) -> None:
    schema = json.loads((json_schemas.FOLDER / f"{command}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    errors = [
        f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in Draft202012Validator(schema).iter_errors(content)
    ]
    assert not errors


def printed(*arguments: str) -> Any:
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def as_printed(content: Any) -> Any:
    """Return content as it is after a trip through JSON."""
    return json.loads(json.dumps(content, default=str))


def test_every_command_with_json_has_a_schema() -> None:
    context = cast("Any", cli).make_context("shapebench", ["runs"])
    with_json = {
        name
        for name in COMMANDS
        if any("--json" in option.opts for option in cast("Any", cli.get_command(context, name)).params)
    }
    assert with_json == {*json_schemas.SCHEMAS}


@pytest.mark.parametrize("command", json_schemas.SCHEMAS)
def test_the_files_are_those_of_the_code(command: str) -> None:
    """`make docs` writes them."""
    file = json_schemas.FOLDER / f"{command}.schema.json"
    assert file.read_text(encoding="utf-8") == json_schemas.text(command)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("runs", ()),
        ("query", ("level_summary",)),
        ("query", ("SELECT started_at, levels FROM runs",)),
        ("compare", (RUN_ID, LATER)),
        ("compare", (RUN_ID, LATER, "--view", "shapes", "--users", "100", "--price", "VM.GPU.A10.1=2")),
        ("compare", (RUN_ID,)),
        ("export", (RUN_ID, "--format", "csv")),
        ("site", ()),
        ("import", (str(SAMPLES / "vllm_bench" / "chat"),)),
        ("prune", ("--older-than-days", "1000")),
    ],
)
def test_commands_of_the_results_file(data: Path, command: str, arguments: tuple[str, ...]) -> None:
    content = printed(command, *arguments, "--data", str(data))
    validate(command, content)
    if "shapes" in arguments:
        validate("choose", {**content, "failures": ["http://b does not answer."]})


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("estimate", ("meta-llama/Llama-3.2-3B-Instruct",)),
        ("shapes", ()),
        ("shapes", ("VM.GPU.A10.1",)),
        ("workloads", ()),
    ],
)
def test_commands_that_need_no_data(command: str, arguments: tuple[str, ...]) -> None:
    validate(command, printed(command, *arguments))


def test_scaling(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text(CURVE, encoding="utf-8")
    validate("scaling", printed("scaling", str(tmp_path / "curve.csv")))


def test_doctor(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", "--json", "--data", str(tmp_path)])
    validate("doctor", json.loads(result.stdout))


def test_a_level(tmp_path: Path) -> None:
    validate("measure", as_printed(level_object(level(tmp_path, 2, closed_loop(2)))))


def outcome_of(data: Path, *, search: Search | None = None) -> tuple[Any, Outcome]:
    """Store a run with a failed expectation and a published file, and return its spec and outcome."""
    begun = run(data)
    begun = replace(begun, spec=begun.spec.model_copy(update={"search": search}))
    levels = [clean(data, n) for n in (1, 2)]
    finding = Finding(RUN_ID, 1, "no_errors", "suspect", False, "1 of 100 requests failed.", "Each is worth a look.")
    suspect = Verdict("suspect", verdict(levels).levels, (finding,))
    conclusion = Conclusion("Suits at least 2 users", ("It does.",))
    file = database.load(data, RUN_ID, tables(begun, FACTS, levels, suspect, conclusion))
    artifact = Artifact(RUN_ID, "index.html", "file:///index.html", 1, "md5", "text/html", STARTED_AT)
    return begun.spec, Outcome(RUN_ID, suspect, conclusion, file, data / "index.html", [artifact])


def test_a_run(tmp_path: Path) -> None:
    content = as_printed(result_object(*outcome_of(tmp_path)))
    validate("run", content)
    validate("resume", content)
    validate("publish", content["published"])


def test_a_search(tmp_path: Path) -> None:
    validate("capacity", as_printed(search_object(*outcome_of(tmp_path, search=Search()))))


def test_a_report(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "build_report", lambda folder, run_id: folder / run_id)
    validate("report", printed("report", RUN_ID, "--data", str(data)))
