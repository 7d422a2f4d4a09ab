"""Pages whose plots have blank pictures: drawing them takes most of the time of a page, and few tests look at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shapebench.report.pages import kit, run
from shapebench.report.pages.pictures import Painters

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300"></svg>'


class BlankPainters(Painters):
    """Writes the files that are expected, with nothing in them."""

    def draw(self, name: str, spec: dict[str, Any]) -> Path:
        del spec
        picture = self._folder / f"{name}.svg"
        picture.write_text(SVG, encoding="utf-8")
        picture.with_suffix(".png").touch()
        return picture


@contextmanager
def _start_painters(folder: Path) -> Iterator[Painters]:
    folder.mkdir(parents=True, exist_ok=True)
    yield BlankPainters(folder, [])


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Write pages with blank pictures while the block runs."""
    with patch.object(kit, "start_painters", _start_painters), patch.object(run, "start_painters", _start_painters):
        yield
