"""Files to import, read as JSON, JSON lines or YAML."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from shapebench.results.imports.json_model import ImportFileError

SUFFIXES = (".json", ".jsonl")
CONFIGURATION, BESIDE = "config.yaml", "*_lifecycle_metrics.json"  # inference-perf's: it alone names the model
SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, eq=False)
class Document:
    """A file and its content; JSON lines, and concatenated objects, are a list."""

    path: Path
    content: object
    digest: str

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def objects(self) -> list[object]:
        return self.content if isinstance(self.content, list) else [self.content]


def find(paths: Iterable[Path], ignored: Callable[[Path], bool], problems: list[str]) -> list[Path]:
    """List the files at these paths and in these folders; a path without files is added to the problems."""
    files_by_path: dict[Path, Path] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(_in_folder(path, ignored))
        if not files:
            problems.append(f"{path}: {'contains no JSON file' if path.is_dir() else 'does not exist'}")
        files_by_path |= {file.resolve(): file for file in files}
    return list(files_by_path.values())


def _in_folder(folder: Path, ignored: Callable[[Path], bool]) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if _is_read(file) and file.is_file() and not hidden and not ignored(file):
            yield file


def _is_read(file: Path) -> bool:
    return file.suffix in SUFFIXES or (file.name == CONFIGURATION and any(file.parent.glob(BESIDE)))


def read(path: Path) -> Document:
    """Read a file; raises ImportFileError."""
    try:
        raw = path.read_bytes()
        is_yaml = path.suffix == ".yaml"
        text = raw.decode(json.detect_encoding(raw))  # what PowerShell redirects is UTF-16
        content = _of_yaml(text) if is_yaml else _parsed(text, lines=path.suffix == ".jsonl")
    except OSError as error:
        raise ImportFileError(f"cannot be read: {error.strerror}") from None
    except yaml.YAMLError:
        raise ImportFileError("is not YAML") from None
    except (ValueError, RecursionError) as error:  # not Unicode, not JSON, or deeper than anybody writes
        raise ImportFileError(f"is not JSON, or is truncated: {error}") from None
    return Document(path, content, hashlib.sha256(raw).hexdigest())


def _parsed(text: str, *, lines: bool) -> object:
    """Parse one value, or a list of all that follow each other."""
    decoder, at = json.JSONDecoder(parse_constant=_nothing), _past_space(text, 0)
    values: list[object] = []
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        values.append(value)
        at = _past_space(text, end)
    if not values:
        raise ValueError("it is empty")
    return values if lines or len(values) > 1 else values[0]


def _of_yaml(text: str) -> object:
    """Parse YAML with every value as a text, so that it can be written as JSON; what refers to itself cannot."""
    return json.loads(json.dumps(yaml.load(text, yaml.BaseLoader)))  # noqa: S506 - it makes texts, lists and maps only


def _nothing(_: str) -> None:
    """Read NaN and Infinity, which Python writes and JSON lacks, as None."""


def _past_space(text: str, at: int) -> int:
    space = SPACE.match(text, at)
    assert space
    return space.end()
