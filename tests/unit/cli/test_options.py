"""Options say of a field what the field says of itself, and set it."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from cli.options import FIELDS, FLAGS, FieldOption, _field, _unwrapped, default_text, spec_from

COMMANDS = ("run", "measure", "capacity", "choose")
ENDPOINT = {"url": "http://h", "model": "m"}


def options(command: str) -> dict[str, FieldOption]:
    found = cli.get_command(click.Context(cli), command)
    assert found
    return {option.opts[0]: option for option in found.params if isinstance(option, FieldOption)}


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "400"}).invoke(cli, arguments)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_sets_a_field_that_is_there_and_has_help(flag: str) -> None:
    entry = FLAGS[flag]
    field = _field(entry.model, entry.field)
    assert FieldOption([flag], entry=entry).help
    assert field.description


def test_every_flag_is_one_of_a_command() -> None:
    assert {flag for command in COMMANDS for flag in options(command)} == set(FLAGS)


@pytest.mark.parametrize(
    ("flag", "shown"),
    [
        ("--ready-timeout", "[default: 60; 0 < x ≤ 7,200]"),
        ("--levels", "[default: 1,2,4,8,16,32]"),
        ("--input-tokens", "[default: 200,40]"),
        ("--seed", "[default: new prompts; 0 ≤ x < 9,007,199,254,740,992]"),
        ("--until-precise", "[0.001 ≤ x ≤ 0.5]"),
        ("--requests", "[default: 30 for each stream, at least 100; 1 ≤ x ≤ 10,000,000]"),
        ("--when-busy", "[default: wait]"),
    ],
)
def test_default_and_bounds_are_shown(flag: str, shown: str) -> None:
    [_, words] = options("run")[flag].get_help_record(click.Context(cli)) or ("", "")
    assert words.endswith(shown)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if FLAGS[flag].model.__name__ == "Spec"])
def test_a_default_is_what_the_field_takes(flag: str) -> None:
    """A default that is shown means the same when it is typed."""
    field = _field(FLAGS[flag].model, FLAGS[flag].field)
    text = default_text(field)
    kind, _ = _unwrapped(field)
    if kind is bool or not text:
        return
    name = flag[2:].replace("-", "_")
    assert spec_from(None, {**ENDPOINT, name: text}) == spec_from(None, {**ENDPOINT, name: field.default})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--processes", "257"), "257 is not in the range 1<=x<=256"),
        (("--ready-timeout", "0"), "0.0 is not in the range 0<x<=7200"),
        (("--api", "gopher"), "'gopher' is not one of 'chat', 'completions'"),
        (("--on-invalid", "cry"), "'cry' is not one of 'mark', 'fail'"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_flag(arguments: tuple[str, str], complaint: str) -> None:
    done = run("run", "--url", "http://h", "--model", "m", *arguments)
    assert (done.exit_code, complaint in done.stderr, arguments[0] in done.stderr) == (2, True, True)


def test_a_flag_counts_for_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("endpoint: {url: 'http://h', model: m}\nload: {levels: [1], requests: 7}\n", encoding="utf-8")
    spec = spec_from(file, {"levels": "2,3", "requests": None, "data": tmp_path})
    assert (spec.load.levels, spec.load.requests, spec.data) == ((2, 3), 7, tmp_path)


def test_a_switch_that_is_not_given_leaves_the_file_alone() -> None:
    switches = {name: options("run")[name] for name in ("--calibrate", "--on-this-machine")}
    assert [switch.get_default(click.Context(cli)) for switch in switches.values()] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "section", "field", "value"),
    [
        (["--insecure"], "endpoint", "verify_tls", False),
        ([], "endpoint", "verify_tls", True),
        (["--ca-file", "ca.pem"], "endpoint", "ca_file", Path("ca.pem")),
        (["--path", "/v3/chat/completions"], "endpoint", "path", "/v3/chat/completions"),
        (["--query", "api-version=1"], "endpoint", "query", "api-version=1"),
        (["--header", "a=A", "--header", "b=B"], "endpoint", "headers", {"a": "A", "b": "B"}),
        (["--tokenizer", "t.json"], "endpoint", "tokenizer", Path("t.json")),
        (["--extra-body", '{"top_p": 0.9}'], "workload", "extra_body", {"top_p": 0.9}),
        (["--temperature", "1"], "workload", "temperature", 1),
        (["--enforce-output-tokens"], "workload", "enforce_output_tokens", True),
        (["--no-enforce-output-tokens"], "workload", "enforce_output_tokens", False),
        ([], "workload", "enforce_output_tokens", None),
    ],
)
@pytest.mark.parametrize("command", ["run", "measure"])
def test_how_requests_are_made_can_be_set(
    command: str, arguments: list[str], section: str, field: str, value: object
) -> None:
    found = cli.get_command(click.Context(cli), command)
    assert found
    given = ["--concurrency", "1"] if command == "measure" else []
    flags = found.make_context(command, ["--url", "http://h", "--model", "m", *given, *arguments]).params
    known = {name: flag for name, flag in flags.items() if name in FIELDS}
    assert getattr(getattr(spec_from(None, known), section), field) == value
