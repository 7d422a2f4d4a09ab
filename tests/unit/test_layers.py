"""Imports: the contracts of import-linter notice what breaks them, and light modules stay light."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOWS = sorted((ROOT / "flows").glob("*.py"))
PACKAGES = ("cli", "flows", "tasks", "expectations", "shapebench")


def imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over a copy of the project."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [*command, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "added", "contract"),
    [
        ("shapebench/spec/model.py", "import flows.benchmark", "The layers of the project"),
        ("shapebench/spec/slo.py", "import shapebench.analysis.metrics", "The stages inside the core"),
        ("shapebench/analysis/metrics.py", "import duckdb", "The home of duckdb"),
        ("shapebench/load/plan.py", "import shapebench.load.workers", "No import circles"),
    ],
)
def test_an_import_that_breaks_a_contract_is_found(copied: Path, file: str, added: str, contract: str) -> None:
    with (copied / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{added}\n")
    done = linted(copied)
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert done.returncode == 1
    assert [line for line in broken if line.startswith(contract)], done.stdout + done.stderr


def test_a_flow_that_is_an_entrypoint_is_not_imported_by_another() -> None:
    importers = [file.name for file in FLOWS if "flows.benchmark" in imports(file) and "prefect.flow" in imports(file)]
    assert importers == []


def test_no_flow_has_the_name_of_a_package_or_of_a_stdlib_module() -> None:
    """Prefect puts flows/ first on sys.path, where its files would take the place of those."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) | set(PACKAGES) | {"tests", "bench"}
    assert not {file.stem for file in FLOWS} - {"__init__"} & taken


HEAVY = ("pandas", "numpy", "pyarrow", "prefect", "pydantic", "great_expectations", "duckdb", "altair", "oci", "httpx")


def loaded_by(module: str) -> set[str]:
    """List the modules that are loaded in a fresh process once it has imported one."""
    show = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    shown = subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


def test_the_command_line_is_light_to_import() -> None:
    assert not loaded_by("cli.main") & set(HEAVY)


def test_the_measuring_process_imports_only_what_it_measures_with() -> None:
    assert not loaded_by("shapebench.load.__main__") & set(HEAVY)


@pytest.mark.nightly
def test_what_the_later_stages_need_is_imported_with_the_flow_and_not_while_it_measures() -> None:
    assert {"great_expectations", "altair", "vl_convert"} <= loaded_by("flows.benchmark")
