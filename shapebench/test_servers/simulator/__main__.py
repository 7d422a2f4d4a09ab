"""`python -m shapebench.test_servers.simulator`."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.test_servers.simulator.faults import parse_faults
from shapebench.test_servers.simulator.presets import PRESETS, preset_named, with_settings
from shapebench.test_servers.simulator.server import serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shapebench.test_servers.simulator", description="Serve what vLLM serves."
    )
    parser.add_argument("--preset", default="a10-llama-3.2-3b", help=f"one of {', '.join(PRESETS)} (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free port (%(default)s)")
    parser.add_argument("--log", type=Path, help="a file to append one JSON line to for each request")
    parser.add_argument("--api-key", help="what /v1/* wants as a bearer token")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change the preset; repeatable"
    )
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=VALUE", help="do it wrong; repeatable")
    parser.add_argument("--stop-at-eof", action="store_true", help="stop when standard input is closed")
    return parser


def _stop_at_eof() -> None:
    while os.read(0, 4096):  # not sys.stdin, whose lock this thread would still hold when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.stop_at_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()
    try:
        preset = with_settings(preset_named(arguments.preset), arguments.set)
        serve(preset, arguments.port, arguments.log, arguments.api_key, parse_faults(arguments.fault))
    except ShapebenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
