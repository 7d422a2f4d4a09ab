"""`shapebench …`: the command line, whose commands are in `commands/`.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage.
"""

import sys

import click

from cli.commands import (
    capacity,
    choose,
    compare,
    doctor,
    estimate,
    measuring,
    reports,
    results,
    scaling,
    workloads,
)
from shapebench.errors import ShapebenchError

COMMANDS = (
    measuring.run,
    measuring.resume,
    measuring.measure,
    measuring.simulate,
    capacity.capacity,
    workloads.workloads,
    reports.report,
    reports.publish,
    choose.choose,
    compare.compare,
    compare.site,
    estimate.estimate,
    estimate.shapes,
    scaling.scaling,
    results.list_runs,
    results.query,
    results.import_results,
    results.export,
    results.prune,
    doctor.doctor,
)


def main() -> None:
    """Run the command line; errors that a user can mend are shown without a traceback."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("Stopped. What was measured so far is kept; `shapebench resume RUN_ID` goes on.", 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ShapebenchError as error:
        _fail(str(error), 2 if type(error).__name__ == "SpecError" else 1)


def _fail(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shapebench")
def cli() -> None:
    """Measure how an LLM server behaves as more people use it at once."""


for command in COMMANDS:
    cli.add_command(command)


if __name__ == "__main__":
    main()
