"""Recognition of a file's tool, and grouping of files into levels and of levels into sweeps."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shapebench.errors import ShapebenchError
from shapebench.results.imports import (
    aiperf,
    files,
    genai_bench,
    genai_perf,
    guidellm,
    inference_perf,
    inferencex,
    llmperf,
    sglang,
    vllm_bench,
)
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import ImportFileError
from shapebench.results.imports.not_known import leave_out_not_known
from shapebench.results.imports.not_read import tool_that_is_not_read
from shapebench.results.imports.tool import FileSet, Level, Origin, Tool, ToolFile

TOOLS: tuple[Tool, ...] = (
    llmperf.TOOL,
    vllm_bench.TOOL,
    sglang.TOOL,
    inferencex.TOOL,
    guidellm.TOOL,
    aiperf.TOOL,
    genai_perf.TOOL,
    genai_bench.TOOL,
    inference_perf.TOOL,
)


class ImportRefusedError(ShapebenchError):
    """Some of the files cannot be imported, so none was."""


@dataclass(frozen=True)
class Sweep:
    """Levels of one tool, endpoint and workload, which become a run."""

    tool: Tool
    origin: Origin
    levels: tuple[Level, ...]  # by concurrency, no two of the same

    @property
    def documents(self) -> list[Document]:
        return list(dict.fromkeys(document for level in self.levels for document in level.documents))


def sweeps(paths: Iterable[Path]) -> list[Sweep]:
    """Read all sweeps in the files; raises ImportRefusedError with all problems of all files."""
    problems: list[str] = []
    found = files.find(paths, _is_ignored, problems)
    levels = _levels(_bundles(_read(found, problems), problems), problems)
    grouped = _grouped(levels)
    problems += [problem for sweep in grouped for problem in _twice(sweep)]
    if problems:
        raise ImportRefusedError(
            f"Nothing was imported, since some of the {len(found)} files cannot be:\n    " + "\n    ".join(problems),
            f"Import only complete results of {', '.join(tool.label for tool in TOOLS)}, with all their files.",
        )
    return grouped


def _is_ignored(path: Path) -> bool:
    return any(tool.ignores(path) for tool in TOOLS)


def _read(paths: Sequence[Path], problems: list[str]) -> list[Document]:
    documents = []
    for path in paths:
        try:
            documents.append(files.read(path))
        except ImportFileError as refusal:
            problems.append(f"{path}: {_not_read(path) or refusal}")
    return documents


def _not_read(path: Path) -> str | None:
    tool = tool_that_is_not_read(path)
    return f"was written by {tool}, whose results are not read" if tool else None


def _bundles(documents: Sequence[Document], problems: list[str]) -> list[tuple[Tool, FileSet]]:
    parts: dict[tuple[str, Hashable], list[ToolFile]] = defaultdict(list)
    tools: dict[str, Tool] = {tool.source: tool for tool in TOOLS}
    for document in documents:
        written = _written(document)
        if written is None:
            problems.append(f"{document.path}: {_not_read(document.path) or 'none of the tools writes such a file'}")
            continue
        tool, part = written
        parts[tool.source, tool.group_key(document)].append(part)
    return [(tools[source], FileSet(tuple(found))) for (source, _), found in parts.items()]


def _written(document: Document) -> tuple[Tool, ToolFile] | None:
    kinds = ((tool, name, is_such) for tool in TOOLS for name, is_such in tool.kinds.items())
    return next(((tool, ToolFile(name, document)) for tool, name, is_such in kinds if is_such(document)), None)


def _levels(bundles: Iterable[tuple[Tool, FileSet]], problems: list[str]) -> list[tuple[Tool, Level]]:
    found: list[tuple[Tool, Level]] = []
    for tool, file_set in bundles:
        try:
            found += [(tool, leave_out_not_known(level)) for level in tool.read(file_set)]
        except ImportFileError as refusal:
            problems.append(f"{file_set.documents[0].path}: looks like a result of {tool.label}, but {refusal}")
    return found


def _grouped(levels: Sequence[tuple[Tool, Level]]) -> list[Sweep]:
    """Group levels by tool, origin and folder.

    Files of a sweep are in one folder, or in sibling folders, one for each level.
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
    """List concurrencies with two results: it is unknown which belongs to the run."""
    counted = Counter(level.concurrency for level in sweep.levels)
    return [
        f"{', '.join(str(level.documents[0].path) for level in sweep.levels if level.concurrency == concurrency)}: "
        f"{times} results of concurrency {concurrency}; import each repetition separately"
        for concurrency, times in counted.items()
        if times > 1
    ]
