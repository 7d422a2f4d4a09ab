"""Runs `shapebench …`, whose commands are in `commands/`, each imported when it is called.

Results go to stdout, everything else to stderr. Exit 0: done; 1: failed; 2: wrong usage.
"""

import sys
from importlib import import_module

import click

from shapebench.errors import ShapebenchError

# Command: the function in `cli/commands/`, and its line in `--help`, which does not import it.
COMMANDS = {
    "run": ("run.run", "Run the whole pipeline and print the verdict."),
    "resume": ("run.resume", "Resume a run that was interrupted."),
    "measure": ("measure.measure", "Measure one level: no Prefect, no database."),
    "simulate": ("simulate.simulate", "Serve as vLLM does, with known timing, until stopped."),
    "capacity": ("capacity.capacity", "Search for the highest concurrency that meets all SLOs."),
    "workloads": ("workloads.workloads", "List the workload presets."),
    "report": ("report.report", "Build a run's report again from the database."),
    "publish": ("publish.publish", "Publish a run's report again, as its spec says."),
    "choose": ("choose.choose", "Measure several endpoints and rank their machines."),
    "compare": ("compare.compare", "Compare runs, machines, or an endpoint over time."),
    "site": ("compare.site", "Build static pages of all runs."),
    "estimate": ("estimate.estimate", "Estimate whether a model fits a shape, and its best speed."),
    "shapes": ("estimate.shapes", "List known compute shapes."),
    "scaling": ("scaling.scaling", "Find where throughput stops growing, from a CSV file."),
    "runs": ("results.list_runs", "List the runs in the database, newest first."),
    "query": ("results.query", "Print a view or the answer to a SQL query."),
    "import": ("results.import_results", "Import what other tools measured."),
    "export": ("results.export", "Write a run as LLMPerf's files, Parquet or CSV."),
    "prune": ("results.prune", "Drop single requests of old runs; summaries stay."),
    "doctor": ("doctor.doctor", "Check the set-up, and say how to repair it."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called: `--help` and each command load only what they need."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].rpartition(".")
        command = getattr(import_module(f"cli.commands.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # with what was probably meant, of the commands that are not loaded too
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="shapebench")
def cli() -> None:
    """Measure how an LLM server behaves as more people use it at once."""


def main() -> None:
    """Run the command line; errors that a user can correct are shown without a traceback."""
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("Stopped. What was measured so far is kept; `shapebench resume RUN_ID` continues.", 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ShapebenchError as error:
        _fail(str(error), error.exit_code)


def _fail(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
