"""A run, or a comparison, in Markdown, as the Prefect UI shows it: what a server or a person wrote is text only."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from shapebench.analysis.comparison.table import COLUMNS, cells
from shapebench.analysis.conclusion import Conclusion
from shapebench.runs.records import Artifact, Run, Verdict
from shapebench.support.redact import one_line

LONGEST_TEXT = 400
LONGEST_NAME = 120
_IN_LINKS = "/:%&=+~,;@$!-._"
_MARKS = re.compile(r"[\\`*_\[\]#|<>&~]")
_FIRST_MARKS = re.compile(r"^(\d*)([-+=.)])(?=[-=\s]|$)")  # which mean something at the beginning only
# What GitHub's Markdown makes a link of by itself: an empty comment inside it keeps it text.
_SELF_MADE_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A plot that is shown without fetching anything."""

    name: str
    words: str
    url: str  # with all of the picture in it

    @classmethod
    def read(cls, name: str, words: str, svg: Path) -> "Picture":
        return cls(name, words, f"data:image/svg+xml;base64,{b64encode(svg.read_bytes()).decode('ascii')}")


def text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Any text as a piece of a line of Markdown that shows it as it is, cut where it is too long to be read."""
    marked = _MARKS.sub(r"\\\g<0>", one_line(value, longest))
    return _SELF_MADE_LINK.sub("<!-- -->", _FIRST_MARKS.sub(r"\1\\\2", marked))


def verdict_page(run: Run, verdict: Verdict, conclusion: Conclusion, pictures: Sequence[Picture]) -> str:
    """The answer, how far it can be trusted, and the figure."""
    endpoint = run.spec.endpoint
    model, shape, url = (text(name, LONGEST_NAME) for name in (endpoint.model, endpoint.shape, endpoint.url))
    resumed = ", which was broken off and taken up again" if run.resumed_at else ""
    about = f"**{verdict.status}** · {model} on {shape} at {url} · run {text(run.run_id)}{resumed}"
    return "\n\n".join(
        [
            f"# {text(conclusion.headline)}",
            about,
            _list(conclusion.sentences),
            _doubts(verdict),
            *(f"![{text(picture.words)}]({picture.url})" for picture in pictures),
        ]
    )


def report_page(report: Path, published: Sequence[Artifact]) -> str:
    """Where the report is: a link that a browser can open, paths to the rest."""
    pages = [artifact.url for artifact in published if artifact.name == report.name and not artifact.error]
    links = [f"[{text(url, LONGEST_NAME)}]({quote(url, safe=_IN_LINKS)})" for url in pages if _may_be_linked(url)]
    copies = [text(url) for url in pages if urlsplit(url).scheme == "file"]
    places = [*links, *copies, f"{text(str(report))}, on the machine that measured"]
    return "\n".join(f"- {place}" for place in places)


def comparison_page(answer: Mapping[str, Any]) -> str:
    """The answer that `shapebench compare --json` prints: in words, with the ranking where there is one."""
    ranking = _ranking(answer["ranking"]) if answer.get("ranking") else ""
    about = f"{answer['view']} · runs {', '.join(map(text, answer['runs']))}"
    page = f"The page with all plots: {text(answer['page'])}, on the machine that measured"
    parts = f"# {text(answer['headline'])}", about, _list(answer.get("sentences", ())), ranking, page
    return "\n\n".join(filter(None, parts))


def _ranking(ranks: Sequence[Mapping[str, Any]]) -> str:
    heads = ["shape", *(heading.replace("\n", " ") for heading in COLUMNS)]
    rows = [[text(rank["shape"], LONGEST_NAME), *map(text, cells(rank))] for rank in ranks]
    rule = ["---", *("---:" for _ in COLUMNS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def _doubts(verdict: Verdict) -> str:
    if not verdict.failed:
        return f"All {len(verdict.findings)} expectations hold."
    found = [f"{f.severity} with concurrency {f.concurrency}: {f.sentence}" for f in verdict.failed]
    return f"{len(found)} of {len(verdict.findings)} expectations do not hold:\n\n{_list(found)}"


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {text(sentence)}" for sentence in sentences)


def _may_be_linked(url: str) -> bool:
    """A web address, and none that lets anybody in who has it, as one with a password or a token does."""
    parts = urlsplit(url)
    lets_anybody_in = parts.query or "@" in parts.netloc or parts.path.startswith("/p/")
    return parts.scheme in ("http", "https") and not lets_anybody_in
