"""What a tool's module gives, and what it makes of that tool's files."""

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
class Part:
    """A file, and which of those that its tool writes it is."""

    name: str
    document: Document


@dataclass(frozen=True)
class Bundle:
    """Files of one tool that belong together."""

    parts: tuple[Part, ...]

    def all(self, name: str) -> list[Document]:
        return [part.document for part in self.parts if part.name == name]

    def one(self, name: str, why: str) -> Document:
        """The only one of its kind; raises ImportFileError where there is none, or more, and says what it is for."""
        found = self.all(name)
        if len(found) != 1:
            raise ImportFileError(
                f"the {name} that belongs to it is missing: {why}" if not found else f"has more than one {name}"
            )
        return found[0]

    @property
    def documents(self) -> tuple[Document, ...]:
        return tuple(part.document for part in self.parts)


@dataclass(frozen=True)
class Origin:
    """Which sweep a level is of; what the tool does not say is None or empty."""

    version: str | None = None
    model: str = UNKNOWN_MODEL
    workload: str = UNKNOWN_WORKLOAD
    url: str = ""
    server: str = UNKNOWN_SERVER
    server_version: str | None = None


@dataclass(frozen=True)
class Level:
    """One concurrency level as another tool measured it, in our terms."""

    origin: Origin
    documents: tuple[Document, ...]
    concurrency: int
    completed: int
    failed: int
    numbers: Sequence[Number]
    answers: Sequence[Answer] = ()
    differs: Differs = field(default_factory=dict)  # of the answers
    planned: int | None = None
    started_at: datetime | None = None
    wall_s: float | None = None
    configuration: Mapping[str, object] = field(default_factory=dict)  # the tool's own


@dataclass(frozen=True)
class Tool:
    """A load generator whose results can be imported."""

    source: str  # as the results file has it
    label: str  # as people write it
    parts: Mapping[str, Callable[[Document], bool]]  # what it writes -> is this such a file?
    together: Callable[[Document], Hashable]  # files for which this is the same belong together
    read: Callable[[Bundle], list[Level]]  # raises ImportFileError
    beside: Callable[[Path], bool] = lambda _: False  # written by it too, but no result: passed over in a folder


def at_concurrency(concurrency: int | None) -> int:
    """The streams of a level; raises ImportFileError where requests did not come in a closed loop."""
    if not concurrency:
        raise ImportFileError("its requests did not come from a fixed number of streams, so it is no concurrency level")
    return concurrency
