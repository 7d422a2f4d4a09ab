"""Which tool wrote a file, which files belong together, and which levels are one sweep."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.results.imports import aiperf, files, genai_bench, guidellm, llmperf, vllm_bench
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import ImportFileError
from shapebench.results.imports.tool import Bundle, Level, Origin, Part, Tool

TOOLS: tuple[Tool, ...] = (llmperf.TOOL, vllm_bench.TOOL, guidellm.TOOL, aiperf.TOOL, genai_bench.TOOL)


class ImportRefusedError(ShapebenchError):
    """What was named cannot all be imported, so none of it was."""


@dataclass(frozen=True)
class Sweep:
    """Levels that one tool measured of one thing: they become a run."""

    tool: Tool
    origin: Origin
    levels: tuple[Level, ...]  # by concurrency, no two of the same

    @property
    def documents(self) -> list[Document]:
        return list(dict.fromkeys(document for level in self.levels for document in level.documents))


def sweeps(paths: Iterable[Path]) -> list[Sweep]:
    """All that the files hold; raises ImportRefusedError with everything that is wrong with any of them."""
    problems: list[str] = []
    found = files.find(paths, _is_beside, problems)
    levels = _levels(_bundles(_read(found, problems), problems), problems)
    grouped = _grouped(levels)
    problems += [problem for sweep in grouped for problem in _twice(sweep)]
    if problems:
        raise ImportRefusedError(
            f"Nothing was imported, since of {len(found)} files some cannot be:\n    " + "\n    ".join(problems),
            f"Name only results of {', '.join(tool.label for tool in TOOLS)}, whole and with what belongs to them.",
        )
    return grouped


def _is_beside(path: Path) -> bool:
    return any(tool.beside(path) for tool in TOOLS)


def _read(paths: Sequence[Path], problems: list[str]) -> list[Document]:
    documents = []
    for path in paths:
        try:
            documents.append(files.read(path))
        except ImportFileError as refusal:
            problems.append(f"{path}: {refusal}")
    return documents


def _bundles(documents: Sequence[Document], problems: list[str]) -> list[tuple[Tool, Bundle]]:
    parts: dict[tuple[str, Hashable], list[Part]] = defaultdict(list)
    tools: dict[str, Tool] = {tool.source: tool for tool in TOOLS}
    for document in documents:
        written = _written(document)
        if written is None:
            problems.append(f"{document.path}: none of the tools writes such a file")
            continue
        tool, part = written
        parts[tool.source, tool.together(document)].append(part)
    return [(tools[source], Bundle(tuple(found))) for (source, _), found in parts.items()]


def _written(document: Document) -> tuple[Tool, Part] | None:
    kinds = ((tool, name, is_such) for tool in TOOLS for name, is_such in tool.parts.items())
    return next(((tool, Part(name, document)) for tool, name, is_such in kinds if is_such(document)), None)


def _levels(bundles: Iterable[tuple[Tool, Bundle]], problems: list[str]) -> list[tuple[Tool, Level]]:
    found: list[tuple[Tool, Level]] = []
    for tool, bundle in bundles:
        try:
            found += [(tool, level) for level in tool.read(bundle)]
        except ImportFileError as refusal:
            problems.append(f"{bundle.documents[0].path}: looks like a result of {tool.label}, but {refusal}")
    return found


def _grouped(levels: Sequence[tuple[Tool, Level]]) -> list[Sweep]:
    """By what was measured with which tool, and by where it lies.

    Files of a sweep lie in one folder, or each level in a folder of its own, and these in one.
    """
    in_folder = Counter((tool.source, level.origin, level.documents[0].folder) for tool, level in levels)
    groups: dict[tuple[str, Origin, Path], list[tuple[Tool, Level]]] = defaultdict(list)
    for tool, level in levels:
        folder = level.documents[0].folder
        alone = in_folder[tool.source, level.origin, folder] == 1
        groups[tool.source, level.origin, folder.resolve().parent if alone else folder.resolve()].append((tool, level))
    return [
        Sweep(found[0][0], origin, tuple(sorted((level for _, level in found), key=lambda level: level.concurrency)))
        for (_, origin, _), found in groups.items()
    ]


def _twice(sweep: Sweep) -> list[str]:
    """Which of two results of a concurrency belongs to the rest nobody can tell: each import is one run."""
    counted = Counter(level.concurrency for level in sweep.levels)
    return [
        f"{', '.join(str(level.documents[0].path) for level in sweep.levels if level.concurrency == concurrency)}: "
        f"{times} results of concurrency {concurrency}; import each repetition by itself"
        for concurrency, times in counted.items()
        if times > 1
    ]
