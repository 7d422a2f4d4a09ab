"""`python -m shapebench.test_servers.reference`."""

import argparse
import sys
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.test_servers.reference.pace import Pace
from shapebench.test_servers.reference.server import serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shapebench.test_servers.reference", description="Answer at a known pace."
    )
    parser.add_argument("--ttft-s", type=float, default=0.2, help="from a request to its first token (%(default)s)")
    parser.add_argument("--gap-s", type=float, default=0.02, help="from each token to the next (%(default)s)")
    parser.add_argument("--jitter", type=float, default=0.0, help="how far times are off, relative (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (%(default)s)")
    parser.add_argument("--log", type=Path, help="a file to append one JSON line to for each request")
    parser.add_argument("--metrics", type=Path, help="a file that /metrics serves, as a real server would")
    parser.add_argument("--stop-at-eof", action="store_true", help="stop when standard input is closed")
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    pace = Pace(arguments.ttft_s, arguments.gap_s, arguments.jitter)
    try:
        serve(pace, arguments.port, arguments.log, arguments.metrics, until_eof=arguments.stop_at_eof)
    except ShapebenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
