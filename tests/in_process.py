"""Commands in the process of the tests: a start of Python less for each answer and exit code.

What signals, a terminal or several processes have a part in is tested with `tests.conftest.Shell`.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from click.testing import CliRunner

from cli.main import main
from tests.conftest import Finished, Shell


class InProcess(Shell):
    """Runs `shapebench …` as its entry point does, and leaves environment and loggers as they were."""

    def run(self, *arguments: str, timeout_s: float = 240) -> Finished:
        del timeout_s  # pytest's own holds
        with (
            patch.dict(os.environ, self.environment),
            patch.object(sys, "argv", ["shapebench", *arguments]),
            _same_logger_afterwards(),
            CliRunner().isolation() as (stdout, stderr, _),
        ):
            code = _exit_code()
            sys.stdout.flush()
            sys.stderr.flush()
            return Finished(code, stdout.getvalue().decode(), stderr.getvalue().decode())


def _exit_code() -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@contextmanager
def _same_logger_afterwards() -> Iterator[None]:
    logger = logging.getLogger("shapebench")
    handlers, level, propagate = [*logger.handlers], logger.level, logger.propagate
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
