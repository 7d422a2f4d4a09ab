"""Refusals: which field of a request a server refuses, in the forms in which servers say so."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import orjson

from shapebench.apis.api import Json
from shapebench.apis.reading import error_text

Topic = Literal["context", "model", "query", "header"]

_INSTEAD = re.compile(r"\buse\s+(?:the\s+)?[`'\"]?(\w+)[`'\"]?(?:\s+\w+)?\s+instead", re.IGNORECASE)
_IN_PLACE = re.compile(r"\binstead,?\s+use\s+(?:the\s+)?[`'\"]?(\w+)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_][A-Za-z0-9]+)+")

# What only the user can correct, by the words of the message; the first row that matches applies.
_TOPICS: tuple[tuple[Topic, re.Pattern[str]], ...] = (
    (
        "context",
        re.compile(
            r"context (?:length|window|size)|maximum (?:model|input|sequence) length|prompt is too long", re.IGNORECASE
        ),
    ),
    ("query", re.compile(r"\bapi-version\b|query (?:string|parameter)", re.IGNORECASE)),
    ("header", re.compile(r"(?<![<\w/-])headers?\b(?!>)", re.IGNORECASE)),
    (
        "model",
        re.compile(
            r"model_not_found|unknown model|no such model|invalid model|not a valid model|model identifier is invalid"
            r"|(?<![\w/])models/\S+ is not found"
            r"|\b(?:model|deployment)\b.{0,200}?(?:not (?:be )?(?:found|exist|available|loaded)|unknown|doesn't exist)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
)


@dataclass(frozen=True)
class Refusal:
    """A refusal: the field of the body that it is about, the name to use instead, and what else it may be about."""

    message: str
    field: str | None = None  # a dotted path, such as "stream_options.include_usage"
    instead: str | None = None
    topic: Topic | None = None  # what only the user can correct, unless the field is one that can be left out

    @property
    def header(self) -> str | None:
        """The header that the message asks for."""
        found = _HEADER_NAME.search(self.message) if self.topic == "header" else None
        return found[0] if found else None


def read_refusal(answer: bytes, body: Json) -> Refusal:
    """Read the refusal of a request with this body."""
    message, sent = error_text(answer), [*paths(body)]
    topic = next((topic for topic, words in _TOPICS if words.search(message)), None)
    if topic == "context":
        return Refusal(message, topic=topic)
    field = _stated(answer, sent) or _mentioned(message, sent)
    if field is None:
        return Refusal(message, topic=topic)
    found = _INSTEAD.search(message) or _IN_PLACE.search(message)
    instead = found[1] if found and found[1] != field.rpartition(".")[2] else None
    return Refusal(message, field, instead, topic)


def paths(body: Json, within: str = "") -> Iterator[str]:
    """List the fields of a body at any depth of objects."""
    for name, value in body.items():
        yield within + name
        if isinstance(value, dict):
            yield from paths(value, f"{within}{name}.")


def _stated(answer: bytes, sent: list[str]) -> str | None:
    """Find the field that the answer names in `param` (OpenAI) or `loc` (FastAPI)."""
    try:
        content = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    for named in _named(content):
        names = [part for part in named if part in {name for path in sent for name in path.split(".")}]
        for end in range(len(names), 0, -1):  # the innermost that we have sent
            if (path := ".".join(names[:end])) in sent:
                return path
    return None


def _named(content: object) -> Iterator[list[str]]:
    """List the places that an error names, at any depth."""
    if isinstance(content, dict):
        if isinstance(param := content.get("param"), str) and param:
            yield re.split(r"[.\[\]]+", param)
        if isinstance(loc := content.get("loc"), list):
            yield [part for part in loc if isinstance(part, str)]
        for value in content.values():
            yield from _named(value)
    elif isinstance(content, list):
        for item in content:
            yield from _named(item)


def _mentioned(message: str, sent: Iterable[str]) -> str | None:
    """Find the field that a text mentions first: later ones are often a list of what is allowed."""
    mentions = []
    for path in sent:
        name = path.rpartition(".")[2]
        if found := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message):
            mentions.append((found.start(), len(path), path))
    return min(mentions)[2] if mentions else None
