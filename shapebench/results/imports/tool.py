"""Importer of a tool's results, and the data that it reads from the tool's files."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from shapebench.results.imports.answers import Answer
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import ImportFileError
from shapebench.results.imports.numbers import Differs, Number

UNKNOWN_MODEL = "unknown model"
UNKNOWN_WORKLOAD = "unknown workload"
UNKNOWN_SERVER = "unknown"


@dataclass(frozen=True)
class ToolFile:
    """A file, and the name of its kind among those that the tool writes."""

    name: str
    document: Document


@dataclass(frozen=True)
class FileSet:
    """Files of one tool that belong together."""

    files: tuple[ToolFile, ...]

    def all(self, name: str) -> list[Document]:
        return [file.document for file in self.files if file.name == name]

    def one(self, name: str, why: str) -> Document:
        """Return the only file of a kind; raises ImportFileError, with `why`, unless there is exactly one."""
        documents = self.all(name)
        if len(documents) != 1:
            raise ImportFileError(f"its {name} is missing: {why}" if not documents else f"has more than one {name}")
        return documents[0]

    @property
    def documents(self) -> tuple[Document, ...]:
        return tuple(file.document for file in self.files)


@dataclass(frozen=True)
class Origin:
    """Measured system, the same for all levels of a sweep; None or empty where the tool does not report it."""

    version: str | None = None
    model: str = UNKNOWN_MODEL
    workload: str = UNKNOWN_WORKLOAD
    url: str = ""
    server: str = UNKNOWN_SERVER
    server_version: str | None = None
    shape: str | None = None
    variant: str = ""  # what else sets it apart from others, such as how many GPUs share the model


@dataclass(frozen=True)
class Caveat:
    """Something about a level's numbers that its reader must know; it becomes a finding."""

    name: str
    sentence: str
    reason: str


@dataclass(frozen=True)
class Level:
    """One concurrency level as another tool measured it, in our terms."""

    origin: Origin
    documents: tuple[Document, ...]
    concurrency: int
    completed: int | None  # None where the tool does not report it, as is `failed`
    failed: int | None
    numbers: Sequence[Number]
    answers: Sequence[Answer] = ()
    differs: Differs = field(default_factory=dict)  # of the answers
    caveats: tuple[Caveat, ...] = ()
    planned: int | None = None
    started_at: datetime | None = None
    wall_s: float | None = None
    configuration: Mapping[str, object] = field(default_factory=dict)  # the tool's own


@dataclass(frozen=True)
class Tool:
    """A load generator whose results can be imported."""

    source: str  # as the results file has it
    label: str  # as people write it
    kinds: Mapping[str, Callable[[Document], bool]]  # kind of file -> is this one?
    group_key: Callable[[Document], Hashable]  # equal for files that belong together
    read: Callable[[FileSet], list[Level]]  # raises ImportFileError
    ignores: Callable[[Path], bool] = lambda _: False  # written by it too, but no result: skipped in a folder


Spread = tuple[float | None, float | None]  # mean and standard deviation of a length in tokens


def name_lengths(sent: Spread, received: Spread) -> str | None:
    """Name a workload by the lengths of its prompts and answers; None if their means are not known."""
    if not sent[0] or not received[0] or min(sent[0], received[0]) < 0:
        return None
    names = (f"N({mean:g},{stddev or 0:g})" for mean, stddev in (sent, received))
    return "{} in, {} out".format(*names)


def at_concurrency(concurrency: int | None) -> int:
    """Return a level's streams; raises ImportFileError where it was not a closed loop."""
    if not concurrency:
        raise ImportFileError("it is not a concurrency level: the number of streams was not fixed")
    return concurrency
