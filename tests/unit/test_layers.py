"""Arrows run one way: terminal -> flows -> tasks -> expectations -> shapebench."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("terminal", "flows", "tasks", "expectations", "shapebench")
ABOVE_THE_CORE = re.compile(rf"({'|'.join(LAYERS[:-1])})(\.\w+)+")
FILES = sorted(path.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))

# The only places that may import a library: the others know it through them.
HOMES = {
    "prefect": ("terminal", "flows", "tasks"),
    "great_expectations": ("expectations",),
    "duckdb": ("shapebench/results/database.py",),
    "oci": ("shapebench/stores/oci/",),
    "altair": ("shapebench/report/charts/", "shapebench/report/pages/"),
    "httptools": ("shapebench/load", "shapebench/metronome"),
}


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(file: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(file)}


def test_there_are_files_in_every_layer() -> None:
    assert {file.parts[0] for file in FILES} == set(LAYERS)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_imports_from_its_own_layer_or_below(file: Path) -> None:
    above = LAYERS[: LAYERS.index(file.parts[0])]
    assert not packages(file) & set(above)


def names(file: Path) -> Iterator[str]:
    """The texts in a file that are the name of a module above the core."""
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and re.fullmatch(
            r"(terminal|flows|tasks|expectations)(\.\w+)+", str(node.value)
        ):
            yield str(node.value)


def test_only_the_command_line_knows_the_layers_above_it_by_name() -> None:
    core = {file.parent.as_posix() for file in FILES if file.parts[0] == "shapebench" and [*names(file)]}
    assert core == {"shapebench/commands"}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_at_its_home_only(library: str) -> None:
    users = {file.as_posix() for file in FILES if library in packages(file)}
    assert users, f"nobody imports {library}"
    assert [user for user in users if not user.startswith(HOMES[library])] == []


def test_a_flow_that_is_an_entrypoint_is_not_imported_by_another() -> None:
    importers = [file for file in FILES if "flows.benchmark" in imports(file)]
    assert [file.as_posix() for file in importers if _has_a_flow(file)] == []


def _has_a_flow(file: Path) -> bool:
    return "prefect.flow" in imports(file)


def test_no_flow_has_the_name_of_a_package_or_of_a_stdlib_module() -> None:
    """Prefect puts flows/ first on sys.path, where its files would take the place of those."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) | set(LAYERS) | {"tests", "bench"}
    names = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert not names & taken


HEAVY = ("pandas", "numpy", "pyarrow", "prefect", "pydantic", "great_expectations", "duckdb", "altair", "oci", "httpx")


def loaded_by(module: str) -> set[str]:
    """The modules that are there in a fresh process once it has imported one."""
    show = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    shown = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


def test_the_command_line_is_light_to_import() -> None:
    assert not loaded_by("cli.main") & set(HEAVY)


def test_the_measuring_process_imports_only_what_it_measures_with() -> None:
    assert not loaded_by("shapebench.load.__main__") & set(HEAVY)


def test_what_the_later_stages_need_is_imported_with_the_flow_and_not_while_it_measures() -> None:
    assert {"great_expectations", "altair", "vl_convert"} <= loaded_by("flows.benchmark")
