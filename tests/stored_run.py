"""A data folder with a run of two clean levels in its results file, made once and copied."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from shapebench.results import database
from tests.level_sample import RUN_ID, run_tables


def store_run(data: Path) -> Path:
    """Make a folder what it is after a load of `run_tables(data)`."""
    shutil.copytree(_made().name, data, dirs_exist_ok=True)
    return data


@cache
def _made() -> "TemporaryDirectory[str]":
    folder = TemporaryDirectory()
    database.load(Path(folder.name), RUN_ID, run_tables(Path(folder.name)))
    return folder
