"""The search for the greatest concurrency that keeps all SLOs: in place of the levels that a spec would name.

It is a part of the main flow, which does with its levels as with any others.
"""

from shapebench.analysis.capacity.search import next_step
from shapebench.analysis.capacity.steps import as_asked, begin
from shapebench.runs.records import LevelRun, Run, ServerFacts
from shapebench.runs.run_file import RunFile
from tasks.calibrate import calibrate
from tasks.capacity import weigh
from tasks.measure import measure
from tasks.prefect.progress import progress_shown


def searched(begun: RunFile, facts: ServerFacts) -> tuple[Run, ServerFacts, list[LevelRun]]:
    """Measure one level after another, each where those before it point to; of one measured twice the second counts."""
    run, levels = begun.run, [*begun.measured]
    search = run.spec.search
    assert search
    said = [weigh(run, level) for level in levels]
    while step := next_step(said, search.min_level, search.max_level):
        run = begin(run, step)
        level = _measured(as_asked(run, step), facts, step.concurrency)
        levels.append(level)
        if level.stopped:
            break
        said.append(weigh(run, level))
    return run, facts, [*{level.concurrency: level for level in levels}.values()]


def _measured(run: Run, facts: ServerFacts, concurrency: int) -> LevelRun:
    calibration = calibrate.submit(run, concurrency).result()
    with progress_shown(run):
        level = measure.submit(run, facts, calibration).result()
    assert level  # a search leaves out none
    return level
