"""Prefect artifacts in Markdown; texts of servers and people are escaped."""

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
_FIRST_MARKS = re.compile(r"^(\d*)([-+=.)])(?=[-=\s]|$)")  # with a meaning at the start of a line
# GitHub's Markdown turns these into links; an empty comment inside prevents it.
_AUTOLINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A plot as a data URL."""

    name: str
    title: str
    url: str

    @classmethod
    def read(cls, name: str, title: str, svg: Path) -> "Picture":
        """Read an SVG."""
        return cls(name, title, f"data:image/svg+xml;base64,{b64encode(svg.read_bytes()).decode('ascii')}")


def text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Escape a text for a line of Markdown, and cut it if it is very long."""
    marked = _MARKS.sub(r"\\\g<0>", one_line(value, longest))
    return _AUTOLINK.sub("<!-- -->", _FIRST_MARKS.sub(r"\1\\\2", marked))


def verdict_artifact(run: Run, verdict: Verdict, conclusion: Conclusion, pictures: Sequence[Picture]) -> str:
    """Return the conclusion, the failed checks and the plots of a run."""
    endpoint = run.spec.endpoint
    model, shape, url = (text(name, LONGEST_NAME) for name in (endpoint.model, endpoint.shape, endpoint.url))
    resumed = ", interrupted and resumed" if run.resumed_at else ""
    about = f"**{verdict.status}** · {model} on {shape} at {url} · run {text(run.run_id)}{resumed}"
    return "\n\n".join(
        [
            f"# {text(conclusion.headline)}",
            about,
            _list(conclusion.sentences),
            _checks(verdict),
            *(f"![{text(picture.title)}]({picture.url})" for picture in pictures),
        ]
    )


def report_artifact(report: Path, published: Sequence[Artifact]) -> str:
    """Return where the report is: links for web addresses, paths for files."""
    pages = [artifact.url for artifact in published if artifact.name == report.name and not artifact.error]
    links = [f"[{text(url, LONGEST_NAME)}]({quote(url, safe=_IN_LINKS)})" for url in pages if _is_public(url)]
    copies = [text(url) for url in pages if urlsplit(url).scheme == "file"]
    places = [*links, *copies, f"{text(str(report))}, on the client machine"]
    return "\n".join(f"- {place}" for place in places)


def comparison_artifact(answer: Mapping[str, Any]) -> str:
    """Return the result of `shapebench compare --json` as text, with the ranking where there is one."""
    ranking = _ranking(answer["ranking"]) if answer.get("ranking") else ""
    about = f"{answer['view']} · runs {', '.join(map(text, answer['runs']))}"
    page = f"Page with all plots: {text(answer['page'])}, on the client machine"
    parts = f"# {text(answer['headline'])}", about, _list(answer.get("sentences", ())), ranking, page
    return "\n\n".join(filter(None, parts))


def _ranking(ranks: Sequence[Mapping[str, Any]]) -> str:
    heads = ["shape", *(heading.replace("\n", " ") for heading in COLUMNS)]
    rows = [[text(rank["shape"], LONGEST_NAME), *map(text, cells(rank))] for rank in ranks]
    rule = ["---", *("---:" for _ in COLUMNS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def _checks(verdict: Verdict) -> str:
    if not verdict.failed:
        return f"All {len(verdict.findings)} checks passed."
    failed = [f"{f.severity} at concurrency {f.concurrency}: {f.sentence}" for f in verdict.failed]
    return f"{len(failed)} of {len(verdict.findings)} checks failed:\n\n{_list(failed)}"


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {text(sentence)}" for sentence in sentences)


def _is_public(url: str) -> bool:
    """Check for a web address without a password or token that grants access."""
    parts = urlsplit(url)
    grants_access = parts.query or "@" in parts.netloc or parts.path.startswith("/p/")
    return parts.scheme in ("http", "https") and not grants_access
