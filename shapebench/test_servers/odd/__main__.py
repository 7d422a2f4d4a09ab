"""`python -m shapebench.test_servers.odd`."""

import argparse
import sys
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.test_servers.odd.oddities import Oddities, Timing
from shapebench.test_servers.odd.options import add_options, from_options
from shapebench.test_servers.odd.routes import Routes
from shapebench.test_servers.odd.server import serve, tls_context


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shapebench.test_servers.odd",
        description="Answer as servers do that differ from OpenAI's, each difference a switch.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (%(default)s)")
    parser.add_argument("--log", type=Path, help="a file to append one JSON line to for each request for tokens")
    parser.add_argument("--cert", type=Path, help="a PEM file with a certificate: the server speaks TLS")
    parser.add_argument("--key", type=Path, help="a PEM file with its key, if that is not in the same file")
    parser.add_argument("--stop-at-eof", action="store_true", help="stop when standard input is closed")
    add_options(parser, Timing)
    add_options(parser, Oddities)
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    try:
        oddities, timing = from_options(Oddities, arguments), from_options(Timing, arguments)
        tls = tls_context(arguments.cert, arguments.key) if arguments.cert else None
        serve(Routes(oddities, timing), arguments.port, arguments.log, tls, until_eof=arguments.stop_at_eof)
    except ShapebenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
