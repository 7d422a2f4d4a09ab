"""Charts as SVG and PNG, drawn by several processes: vl-convert holds the interpreter while it draws.

Each process reads {"name": …, "spec": …} from stdin, a line a chart, and writes NAME.svg and NAME.png to its folder.
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

VEGA_LITE = "6.4"  # of the charts; altair, which knows it, takes long to import
MOST_PROCESSES = 4  # each takes a third of a second to start Vega
PIXELS = 2  # of a PNG, for one of the chart's


class Painters:
    """Processes that draw, in turns."""

    def __init__(self, folder: Path, inboxes: list[IO[bytes]]) -> None:
        self._folder = folder
        self._turns = cycle(inboxes)

    def draw(self, name: str, spec: dict[str, Any]) -> Path:
        """Have a chart in Vega-Lite drawn; gives where the SVG will be, at the latest when the painters have ended."""
        inbox = next(self._turns)
        inbox.write(orjson.dumps({"name": name, "spec": spec}, option=orjson.OPT_APPEND_NEWLINE))
        inbox.flush()
        return self._folder / f"{name}.svg"


@contextmanager
def painters(folder: Path) -> Iterator[Painters]:
    """As many as there are cores, up to MOST_PROCESSES; raises RuntimeError where one of them fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        count = min(os.cpu_count() or 1, MOST_PROCESSES)
        yield Painters(folder, [stack.enter_context(_painter(folder)) for _ in range(count)])


@contextmanager
def _painter(folder: Path) -> Iterator[IO[bytes]]:
    # -P keeps the working directory out of sys.path.
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    with tempfile.TemporaryFile() as complaints:
        # One that has ended reads no more, and says below why.
        with (
            suppress(BrokenPipeError),
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints) as process,
        ):
            assert process.stdin
            yield process.stdin
        if process.returncode:
            complaints.seek(0)
            raise RuntimeError(f"The pictures could not be drawn: {complaints.read().decode('utf-8', 'replace')}")


def main() -> None:
    """Draw what comes, until no more does."""
    folder = Path(sys.argv[1])
    for line in sys.stdin.buffer:
        _draw(folder, **orjson.loads(line))


def _draw(folder: Path, name: str, spec: dict[str, Any]) -> None:
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / f"{name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=PIXELS))


if __name__ == "__main__":
    main()
