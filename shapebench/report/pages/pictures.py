"""Pictures of charts as SVG and PNG, drawn by several processes, since vl-convert holds the interpreter.

Each process reads {"name": …, "spec": …} from stdin, one chart per line, and writes NAME.svg and NAME.png.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import orjson
import vl_convert

VEGA_LITE = "6.4"  # importing it from altair would be slow
MAX_PROCESSES = 4  # each takes a third of a second to start Vega
PIXELS = 2  # of a PNG per pixel of the chart


class Painters:
    """Processes that draw charts, round robin."""

    def __init__(self, folder: Path, inboxes: list[IO[bytes]]) -> None:
        self._folder = folder
        self._inboxes = cycle(inboxes)

    def draw(self, name: str, spec: dict[str, Any]) -> Path:
        """Queue a Vega-Lite chart; returns the path of its SVG, which exists once the painters have ended."""
        inbox = next(self._inboxes)
        inbox.write(orjson.dumps({"name": name, "spec": spec}, option=orjson.OPT_APPEND_NEWLINE))
        inbox.flush()
        return self._folder / f"{name}.svg"


@contextmanager
def start_painters(folder: Path) -> Iterator[Painters]:
    """Start a process per core, up to MAX_PROCESSES; raises RuntimeError where one of them fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        count = min(os.cpu_count() or 1, MAX_PROCESSES)
        yield Painters(folder, [stack.enter_context(_painter(folder)) for _ in range(count)])


@contextmanager
def _painter(folder: Path) -> Iterator[IO[bytes]]:
    # -P keeps the working directory out of sys.path.
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    with tempfile.TemporaryFile() as errors:
        # A process that has failed closes its pipe; its error is raised below.
        with (
            suppress(BrokenPipeError),
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as process,
        ):
            assert process.stdin
            yield process.stdin
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"The pictures could not be drawn: {errors.read().decode('utf-8', 'replace')}")


def main() -> None:
    """Draw charts from stdin until it ends."""
    folder = Path(sys.argv[1])
    for line in sys.stdin.buffer:
        _draw(folder, **orjson.loads(line))


def _draw(folder: Path, name: str, spec: dict[str, Any]) -> None:
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / f"{name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=PIXELS))


if __name__ == "__main__":
    main()
