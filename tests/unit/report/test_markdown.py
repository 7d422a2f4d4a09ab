"""What the Prefect UI shows of a run: all that was found, and no text of a server or a person as anything but text."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.conclusion import Conclusion
from shapebench.report.markdown import (
    LONGEST_NAME,
    LONGEST_TEXT,
    Picture,
    comparison_artifact,
    report_artifact,
    text,
    verdict_artifact,
)
from shapebench.runs.records import Artifact, Finding, Verdict
from shapebench.support.wording import money
from tests import level_sample

CONCLUSION = Conclusion("Suits 16 concurrent users, but not 32", ("With 16 users, 43 tokens/s.", "It grew by 9%."))
FINDING = Finding(
    "r", 4, "no_errors", "invalid", False, "3 requests failed. See their messages.", "They would be missed."
)


@pytest.mark.parametrize("harmless", ["Llama-3.2-3B", "40 tokens/s, 95% (all)", 'it\'s "so"; or: not?', "10.5 ms"])
def test_ordinary_text_stays_as_it_is(harmless: str) -> None:
    assert text(harmless) == harmless


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("<script>", r"\<script\>"),
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("**b** _i_ ~s~", r"\*\*b\*\* \_i\_ \~s\~"),
        ("[a](javascript:x)", r"\[a\](javascript:x)"),
        ("&lt;", r"\&lt;"),
        ("\\", "\\\\"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("1. item", r"1\. item"),
        ("123) item", r"123\) item"),
        ("===", r"\==="),
        ("http://a", "http:<!-- -->//a"),
        ("www.a.b", "www<!-- -->.a.b"),
        ("a@b.c", "a<!-- -->@b.c"),
        ("a\n# b\r\n\tc", r"a \# b c"),
        ("a\u202eb\x00\x1b[2J", r"a b \[2J"),
    ],
)
def test_hostile_text_loses_its_meaning(hostile: str, harmless: str) -> None:
    assert text(hostile) == harmless


def test_long_text_is_cut() -> None:
    assert text("x" * 10_000) == "x" * LONGEST_TEXT + "…"


def test_secrets_are_covered() -> None:
    assert "hunter2" not in text("http://user:hunter2@a --api-key hunter2")


def picture() -> Picture:
    return Picture("throughput-query", "Throughput of each query", "data:image/svg+xml;base64,AAAA")


def page(tmp_path: Path, *findings: Finding, **endpoint: Any) -> str:
    run = level_sample.run(tmp_path)
    changed = run.spec.model_copy(update={"endpoint": run.spec.endpoint.model_copy(update=endpoint)})
    standing = "invalid" if findings else "valid"
    verdict = Verdict(standing, {4: standing}, (*findings, level_passed()))
    return verdict_artifact(level_sample.replace(run, spec=changed), verdict, CONCLUSION, [picture()])


def level_passed() -> Finding:
    return Finding("r", 4, "enough_requests", "suspect", True, "At least 30 requests completed.", "Few say little.")


def test_the_verdict_page_has_answer_grounds_and_figure(tmp_path: Path) -> None:
    assert page(tmp_path).split("\n\n") == [
        "# Suits 16 concurrent users, but not 32",
        f"**valid** · m on VM.GPU.A10.1 at http:<!-- -->//127.0.0.1:8000 · run {level_sample.RUN_ID}",
        "- With 16 users, 43 tokens/s.\n- It grew by 9%.",
        "All 1 checks passed.",
        "![Throughput of each query](data:image/svg+xml;base64,AAAA)",
    ]


def test_it_says_what_speaks_against_the_numbers(tmp_path: Path) -> None:
    shown = page(tmp_path, FINDING)
    assert "1 of 2 checks failed:\n\n- invalid at concurrency 4: 3 requests failed." in shown


def test_it_says_that_a_run_was_broken_off(tmp_path: Path) -> None:
    resumed = level_sample.replace(level_sample.run(tmp_path), resumed_at=(datetime(2026, 11, 25, tzinfo=UTC),))
    shown = verdict_artifact(resumed, Verdict("valid", {}, ()), CONCLUSION, [])
    assert f"run {level_sample.RUN_ID}, interrupted and resumed" in shown


def test_a_model_with_a_hostile_name_adds_no_line_to_it(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\n# h\n| a | `b` |\n![x](http://evil/x.png)" * 500
    lines = page(tmp_path, model=hostile).splitlines()
    assert len(lines) == len(page(tmp_path).splitlines())
    assert max(map(len, lines)) < 2 * LONGEST_TEXT


def test_a_picture_is_all_in_its_address(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>", encoding="utf-8")
    assert Picture.read("a", "A", tmp_path / "a.svg").url == "data:image/svg+xml;base64,PHN2Zy8+"


# Runs side by side

RANKS = [
    {
        "shape": shape,
        "greatest": greatest,
        "system_tokens_per_s": 3634.2,
        "price_per_hour": 3.05,
        "per_million_output_tokens": 0.2331,
        "per_user_hour": 0.0545,
        "instances": None,
        "fleet_per_hour": None,
    }
    for shape, greatest in (("BM.GPU4.8", 56), ("a|b", None))
]
ANSWER = {
    "view": "shapes",
    "runs": ["r1", "r2"],
    "headline": "BM.GPU4.8 is the cheapest that meets the SLOs",
    "sentences": ("It sustains 56 users.",),
    "ranking": RANKS,
    "page": "/data/comparisons/shapes/index.html",
}


NONE = money(None, 0)
HEADS = ("shape", "users", "tok/s", "price per hour", "cost per 1M output tokens", "cost per user-hour", "machines")
TABLE = (
    f"| {' | '.join(HEADS)} | fleet cost per hour |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    f"| BM.GPU4.8 | 56 | 3,634 | $3.05 | $0.233 | $0.0545 | {NONE} | {NONE} |",
    f"| a\\|b | {NONE} | 3,634 | $3.05 | $0.233 | $0.0545 | {NONE} | {NONE} |",
)


def test_the_page_of_a_comparison_has_its_answer_its_ranking_and_where_all_of_it_is() -> None:
    assert comparison_artifact(ANSWER).split("\n\n") == [
        "# BM.GPU4.8 is the cheapest that meets the SLOs",
        "shapes · runs r1, r2",
        "- It sustains 56 users.",
        "\n".join(TABLE),
        "Page with all plots: /data/comparisons/shapes/index.html, on the client machine",
    ]


@pytest.mark.parametrize("view", ["changes", "history"])
def test_that_of_others_has_no_ranking(view: str) -> None:
    answer = {**ANSWER, "view": view, "ranking": None}
    assert "| ---" not in comparison_artifact(answer)


# Where the report is

REPORT = Path("/data/reports/r/index.html")
BUCKET = "https://objectstorage.eu-frankfurt-1.oraclecloud.com/n/ns/b/reports/o/shapebench/r/index.html"


def sent(url: str, name: str = "index.html", error: str | None = None) -> Artifact:
    return Artifact("r", name, url, 1, "0", "text/html", datetime(2026, 7, 14, tzinfo=UTC), error)


def places(*published: Artifact) -> list[str]:
    return report_artifact(REPORT, published).splitlines()


HERE = "- /data/reports/r/index.html, on the client machine"


def test_a_report_that_was_sent_to_a_web_address_is_linked() -> None:
    assert places(sent(BUCKET)) == [f"- [{text(BUCKET, LONGEST_NAME)}]({BUCKET})", HERE]


def test_pictures_are_not_linked_each() -> None:
    assert places(sent(BUCKET), sent(BUCKET, "a.png")) == [f"- [{text(BUCKET, LONGEST_NAME)}]({BUCKET})", HERE]


def test_a_report_in_a_folder_is_named_and_not_linked() -> None:
    assert places(sent("file:///srv/www/r/index.html")) == ["- file:<!-- -->///srv/www/r/index.html", HERE]


def test_a_report_that_did_not_arrive_is_not_linked() -> None:
    assert places(sent(BUCKET, error="403")) == [HERE]


@pytest.mark.parametrize(
    "url",
    ["https://a.b/p/secret/n/ns/b/x/o/index.html", "https://a.b/index.html?token=s", "https://u:p@a.b/index.html"],
)
def test_an_address_that_lets_anybody_in_is_not_shown(url: str) -> None:
    assert places(sent(url)) == [HERE]


def test_an_address_cannot_end_the_link() -> None:
    shown, link = r"https:<!-- -->//a.b/x) \[y\](javascript:z)", "https://a.b/x%29%20%5By%5D%28javascript:z%29"
    assert places(sent("https://a.b/x) [y](javascript:z)"))[0] == f"- [{shown}]({link})"
