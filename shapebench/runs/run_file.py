"""run.json: a run's identity, spec and levels, next to the samples of each level in the run's folder."""

import platform
import secrets
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import psutil
from pydantic import TypeAdapter

from shapebench.errors import ShapebenchError
from shapebench.runs.records import LevelRun, Run, ServerFacts
from shapebench.spec.model import Spec
from shapebench.support.atomic_file import atomic_write
from shapebench.support.redact import redact

REPORTED_PACKAGES = ("shapebench", "prefect", "great-expectations", "duckdb", "pandas", "altair", "uvloop", "httptools")


class RunNotFoundError(ShapebenchError):
    """The run is not in the data folder."""


def begin(spec: Spec, flow_run_id: str | None = None) -> Run:
    """Create a run and its folder; prompts come from its seed, which is new unless the spec gives one."""
    started_at = datetime.now(UTC)
    run = Run(
        run_id=f"{started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        started_at=started_at,
        spec=spec,
        seed=secrets.randbits(48) if spec.workload.seed is None else spec.workload.seed,
        versions={"python": platform.python_version(), **{name: version(name) for name in REPORTED_PACKAGES}},
        machine=machine(),
        git_revision=git_revision(),
        flow_run_id=flow_run_id,
    )
    _make_folder(run.folder)
    return run


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ShapebenchError(
            f"Cannot create the folder {folder}: {error.strerror}.", "Use another folder that can be written to."
        ) from None


def machine() -> dict[str, str | int | None]:
    """Describe the machine that measures, which is not the one that serves."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "cpus": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def git_revision() -> str | None:
    """Return the git revision of this code; None outside a git checkout."""
    return _git("rev-parse", "HEAD") if _git("ls-files", Path(__file__).name) else None


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return found.stdout.strip() if found.returncode == 0 else None


FORMAT = 2  # of run.json; `_upgraded` reads the earlier ones
RENAMED_IN_2 = {
    "run": {"left_out": "skipped_levels"},
    "search": {"least": "min_level", "most": "max_level"},
    "level": {"asked": "requested", "promised": "slo_bounds"},
}


@dataclass(frozen=True)
class RunFile:
    """The content of run.json: with the Parquet files, enough to redo all that follows the measurement."""

    run: Run
    facts: ServerFacts | None = None  # not probed yet
    levels: tuple[LevelRun, ...] = ()
    format: int = FORMAT

    @property
    def measured(self) -> tuple[LevelRun, ...]:
        """List the levels that ended, failed ones included; of a level measured twice, the second."""
        return tuple({level.concurrency: level for level in self.levels if not level.stopped}.values())

    @property
    def to_measure(self) -> tuple[int, ...]:
        done_or_skipped = {*(level.concurrency for level in self.measured), *self.run.skipped_levels}
        return tuple(n for n in self.run.spec.load.levels if n not in done_or_skipped)


Json = dict[str, Any]  # an object of run.json, not validated yet
RUN_FILE = TypeAdapter(RunFile)


def save(content: RunFile) -> None:
    """Write run.json to the run's folder, complete or not at all, redacted, with the names of files next to it."""
    run = replace(content.run, spec=redact_spec(content.run.spec))
    with atomic_write(content.run.folder / "run.json") as unfinished:
        unfinished.write_bytes(RUN_FILE.dump_json(_with_files_in(Path(), replace(content, run=run)), indent=2))


def redact_spec(spec: Spec) -> Spec:
    """Redact the launch command; nothing else in a spec may hold a secret."""
    if not spec.endpoint.launch:
        return spec
    endpoint = spec.endpoint.model_copy(update={"launch": redact(spec.endpoint.launch)})
    return spec.model_copy(update={"endpoint": endpoint})


def restore_secrets(saved: Spec, given: Spec) -> Spec:
    """Take the launch command of the spec that is given where run.json has the same one without its secrets."""
    if redact_spec(given).endpoint.launch != saved.endpoint.launch:
        return saved
    return saved.model_copy(update={"endpoint": saved.endpoint.model_copy(update={"launch": given.endpoint.launch})})


def keep(run: Run, level: LevelRun) -> None:
    """Add a level to run.json at once, so that it is kept whatever happens to the run."""
    content = load(run.spec.data, run.run_id)
    save(replace(content, levels=(*content.levels, level)))


def load(data: Path, run_id: str) -> RunFile:
    """Read a run from wherever the data folder is now; raises RunNotFoundError."""
    path = data / "runs" / run_id / "run.json"
    try:
        content = RUN_FILE.validate_python(_upgraded(orjson.loads(path.read_bytes())))
    except FileNotFoundError:
        known = sorted(p.parent.name for p in (data / "runs").glob("*/run.json"))
        raise RunNotFoundError(
            f"There is no run {run_id} in {data}.",
            f"The newest runs there: {', '.join(known[:-6:-1]) or 'none'}; use another folder with --data.",
        ) from None
    except (ValueError, LookupError, AttributeError, TypeError) as error:  # pydantic's and orjson's are ValueErrors
        raise RunNotFoundError(
            f"{path} cannot be read: {error}", "Check whether another version of shapebench wrote it."
        ) from None
    here = content.run.spec.model_copy(update={"data": data})
    return _with_files_in(path.parent, replace(content, run=replace(content.run, spec=here)))


def _upgraded(content: Json) -> Json:
    """Rename the fields of a run.json of format 1 to those of today."""
    if content.get("format", 1) >= FORMAT:
        return content
    run = _renamed(content["run"], "run")
    if search := run["spec"].get("search"):
        run = {**run, "spec": {**run["spec"], "search": _renamed(search, "search")}}
    return {**content, "run": run, "levels": [_renamed(level, "level") for level in content.get("levels", ())]}


def _renamed(fields: Json, kind: str) -> Json:
    return {RENAMED_IN_2[kind].get(name, name): value for name, value in fields.items()}


def _with_files_in(folder: Path, content: RunFile) -> RunFile:
    return replace(content, levels=tuple(_with_its_files_in(folder, level) for level in content.levels))


def _with_its_files_in(folder: Path, level: LevelRun) -> LevelRun:
    return replace(
        level,
        samples=level.samples and folder / level.samples.name,
        server_metrics=level.server_metrics and folder / level.server_metrics.name,
    )
