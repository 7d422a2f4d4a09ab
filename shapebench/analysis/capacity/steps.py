"""A level of a search, from the step that requests it to the run that is measured."""

import random
from dataclasses import replace

from shapebench.analysis.capacity.search import Step
from shapebench.runs import run_file
from shapebench.runs.records import LevelRun, Run
from shapebench.spec.model import Load, Spec

AGAIN = 4  # times as long, which halves an interval
FIRST = "first"  # what a level's files are named that was measured again


def begin(run: Run, step: Step) -> Run:
    """Add a level to run.json, and rename its files if it was measured before."""
    content = run_file.load(run.spec.data, run.run_id)
    levels = tuple(_aside(run, level) if level.concurrency == step.concurrency else level for level in content.levels)
    spec = _with_level(run.spec, [level.concurrency for level in content.levels], step.concurrency)
    begun = replace(content.run, spec=spec)
    run_file.save(replace(content, run=begun, levels=levels))
    return begun


def run_for_step(run: Run, step: Step) -> Run:
    """Return the run for this level: one that is measured again gets prompts that the server has not seen."""
    if not step.again:
        return run
    load = longer(run.spec.load, step.concurrency) if step.longer else run.spec.load
    seed = random.Random(f"{run.seed}/again").getrandbits(48)
    return replace(run, seed=seed, spec=run.spec.model_copy(update={"load": load}))


def longer(load: Load, concurrency: int) -> Load:
    """Return a load whose intervals are half as wide, at this level."""
    requests, duration_s = load.requests_at(concurrency), load.duration_at(concurrency)
    changes = {
        "requests": AGAIN * requests if requests else None,
        "duration_s": AGAIN * duration_s if duration_s else None,
        "until_precise": load.until_precise / 2 if load.until_precise else None,
    }
    return load.model_copy(update=changes)


def _with_level(spec: Spec, measured: list[int], concurrency: int) -> Spec:
    levels = dict.fromkeys((*measured, concurrency))
    enough = {"requests": max(spec.load.requests, *levels)} if spec.load.requests else {}
    load = Load.model_validate({**spec.load.model_dump(), "levels": [*levels], **enough})
    return spec.model_copy(update={"load": load})


def _aside(run: Run, level: LevelRun) -> LevelRun:
    """Rename a level's files; they stay, though another measurement takes the level's place."""
    found = {"samples": run.samples_at(level.concurrency), "server_metrics": run.server_metrics_at(level.concurrency)}
    named = {name: file.with_stem(f"{file.stem}.{FIRST}") for name, file in found.items() if file.exists()}
    for name, file in named.items():
        found[name].rename(file)
    return replace(level, samples=named.get("samples"), server_metrics=named.get("server_metrics"))
