"""Commands are listed without being imported, and the list is complete."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cli.commands
from cli.main import COMMANDS
from cli.main import cli as main

MODULES = sorted(path.stem for path in Path(cli.commands.__path__[0]).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_listed_command_loads_under_its_name(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command
    assert (command.name, bool(command.help)) == (name, True)


def test_every_command_is_listed() -> None:
    modules = [import_module(f"cli.commands.{name}") for name in MODULES]
    defined = {value.name for module in modules for value in vars(module).values() if isinstance(value, click.Command)}
    assert defined == set(COMMANDS)


def test_a_command_fits_on_a_line_of_the_help() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert [f"  {name:<{max(map(len, COMMANDS))}}  {text}\n" in shown for name, (_, text) in COMMANDS.items()] == [
        True
    ] * len(COMMANDS)


def test_the_help_loads_no_command() -> None:
    show = "import sys; from cli.main import cli; "
    show += "cli(['--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "pandas", "prefect", "duckdb", "cli.options", "shapebench.spec"}
    assert not heavy & set(done.stderr.split())


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    done = CliRunner().invoke(main, ["mesure"])
    assert (done.exit_code, "measure" in done.stderr) == (2, True)
