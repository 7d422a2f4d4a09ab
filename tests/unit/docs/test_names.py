"""Names in the pages are those of the code: metrics, expectations, commands, flags, fields, paths, targets."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache

import click
import pytest
import yaml
from pydantic import BaseModel

from cli.main import cli
from expectations.expectations import ANSWERS, LEVEL
from shapebench.spec.metric_definitions import COLUMNS, METRICS
from shapebench.spec.model import Spec
from shapebench.spec.multi_endpoint import Choice
from tests.unit.docs.pages import PAGES, ROOT, blocks, read, spans

CODE = ("shapebench", "cli", "flows", "tasks", "expectations", "sql", "bench", "examples", "vllm")
SUFFIXES = {".py", ".sql", ".yaml", ".toml", ".sh", ".c"}
IDENTIFIER = re.compile(r"[A-Za-z]\w+")
PATH = re.compile(r"(?:\.?/)?[\w.-]+(?:/[\w.-]+)+/?")
PAGES_OF_NOW = [page for page in PAGES if page != "CHANGELOG.md"]  # which speaks of what was, too

# Names of other programs, and placeholders for the reader's own, in pages.
OTHERS = {
    *("rsync", "ExecStop", "kubernetes", "setuptools", "allow_private_urls", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"),
    "PYTHONSAFEPATH",
    *("mean_output_throughput_token_per_s", "num_completed_requests_per_min"),  # of LLMPerf, without their prefix
}


@cache
def words() -> frozenset[str]:
    """All identifiers in the code."""
    files = [path for folder in CODE for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    files += [ROOT / name for name in ("Makefile", "pyproject.toml", "prefect.yaml", "requirements.lock")]
    written = {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    return frozenset({*written, *COLUMNS, *(one.name for one in (*LEVEL, *ANSWERS))})


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_identifiers_exist_in_the_code(page: str) -> None:
    named = {span for span in spans(page) if IDENTIFIER.fullmatch(span)}
    assert sorted(named - words() - OTHERS) == []


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_paths_exist(page: str) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"data"}
    named = {span for span in spans(page) if PATH.fullmatch(span) and span.split("/")[0] in folders}
    assert not {path for path in named if not (ROOT / path).exists()}


def commands(page: str) -> Iterator[list[str]]:
    """Yield the command lines that begin with shapebench, split into words, comments removed."""
    lines = [
        line for block in blocks(page) if block.language in ("", "sh", "bash") for line in block.content.splitlines()
    ]
    for text in (*lines, *spans(page)):
        if match := re.match(r"\s*(?:\.venv/bin/)?shapebench ((?:[a-z]|-).*)$", text):
            for part in match[1].split(" | "):
                yield _words(part.removeprefix("shapebench "))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # a quote that does not end, as in a line that is broken in two
        return text.split()


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_commands_and_flags_exist(page: str) -> None:
    context = click.Context(cli)
    wrong = []
    for name, *rest in filter(None, commands(page)):
        command = cli.get_command(context, name) if not name.startswith("-") else cli
        if command is None:
            wrong.append(name)
            continue
        flags = {flag for option in command.get_params(context) for flag in (*option.opts, *option.secondary_opts)}
        given = {re.split(r"[=\]…]", word.strip("[].,;:()"))[0] for word in rest if re.match(r"\[?--[a-z]", word)}
        wrong += [f"{name} {flag}" for flag in given - flags - {"--help"}]
    assert not wrong


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    text = [*spans(page), *(line.strip() for block in blocks(page) for line in block.content.splitlines())]
    named = {match[1] for one in text if (match := re.match(r"make (?:-C \S+ )?([a-z][\w-]*)", one))}
    assert sorted(named - targets) == []


def _exists(model: type[BaseModel], path: list[str]) -> bool:
    """Look a dotted name up in the schema of a spec."""
    schema = model.model_json_schema()
    node = schema
    for name in path:
        options = [node, *node.get("anyOf", ()), *node.get("allOf", ())]
        options = [schema["$defs"][one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in options]
        found = next((one["properties"][name] for one in options if name in one.get("properties", {})), None)
        if found is None:
            return False
        node = found
    return True


def _is_field(path: list[str]) -> bool:
    return _exists(Spec, path) or _exists(Choice, path)


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_fields_of_a_spec_exist(page: str) -> None:
    sections = {*Spec.model_fields, *Choice.model_fields} - {"data"}
    dotted = [span.split(":")[0].split(".") for span in spans(page) if re.match(r"[a-z_]+(\.[a-z_]+)+(:|$)", span)]
    wrong = [".".join(path) for path in dotted if path[0] in sections and path[-1] not in SUFFIX_NAMES]
    assert not [name for name in wrong if not _is_field(name.split("."))]


SUFFIX_NAMES = {suffix.removeprefix(".") for suffix in (*SUFFIXES, ".json", ".md", ".duckdb", ".parquet")}


def _keys(content: object, above: tuple[str, ...] = ()) -> Iterator[list[str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield [*above, str(key)]
            yield from _keys(value, (*above, str(key)))


@pytest.mark.parametrize("page", PAGES_OF_NOW)
def test_yaml_blocks_of_a_spec_have_its_fields(page: str) -> None:
    contents = [
        yaml.safe_load(block.content)
        for block in blocks(page)
        if block.language == "yaml" and "---" not in block.content
    ]
    of_specs = [
        one for one in contents if isinstance(one, dict) and {*one} <= {*Spec.model_fields, *Choice.model_fields}
    ]
    wrong = [".".join(path) for one in of_specs for path in _keys(one) if path[0] != "prices" and not _is_field(path)]
    assert not wrong


def test_every_metric_is_defined_in_the_method() -> None:
    assert not {metric.name for metric in METRICS} - {*spans("docs/method.md")}


def test_every_expectation_is_listed() -> None:
    assert not {one.name for one in (*LEVEL, *ANSWERS)} - {*spans("docs/validation.md")}


def test_the_design_has_the_layers_that_imports_are_checked_for() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    checked = next(one["layers"] for one in contracts if one.get("containers") == ["shapebench"])
    table = read("docs/design.md").partition("| package | holds |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert [sorted(re.findall(r"`(\w+)`", cell)) for cell in cells] == [sorted(layer.split(" | ")) for layer in checked]
