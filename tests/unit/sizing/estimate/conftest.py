"""No catalogue of the person's who runs the tests."""

from pathlib import Path

import pytest

from shapebench.sizing.catalogue.reading import VARIABLE


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own catalogue files, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "config" / "shapebench" / "shapes"
    folder.mkdir(parents=True)
    return folder
