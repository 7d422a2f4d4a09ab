"""The page and its pictures, as files."""

import base64
import hashlib
import json
import re
import struct
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from shapebench.apis.profile import ServerProfile
from shapebench.report.pages.columns import CLIENT_COLUMNS, COLUMNS, SCALING_COLUMNS
from shapebench.report.pages.run import PARTS, plots, write
from shapebench.report.pages.run_content import Report
from shapebench.spec import model as spec
from tests.blank_pictures import blank_pictures
from tests.report_sample import LEVELS, failures, finding, level, run, sample, unmeasured, whole

PLOTTED = ("curves", "scaling", "percentiles", "distributions", "timelines", "errors")
HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>{{ 7 * 7 }}&amp;"


class Page(HTMLParser):
    """What a browser would make of the page: its tags, and the text in each kind of element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in {*self._open}:
            self.texts[tag][-1] += data

    def values(self, *attributes: str) -> list[str]:
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in attributes and value]

    @property
    def words(self) -> str:
        return " ".join((self.texts["header"][0] + self.texts["main"][0]).split())


def page(folder: Path, report: Report, *drawn: str) -> Page:
    """Written without plots but those of the parts named, since these take most of the time."""
    made = plots(report if drawn else sample([], []))
    some = [(part, group if part in drawn else []) for part, group in made]
    with patch("shapebench.report.pages.run.plots", lambda _: some), nullcontext() if drawn else blank_pictures():
        return Page(write(report, folder))


def page_with_blank_pictures(folder: Path, report: Report) -> Page:
    with blank_pictures():
        return Page(write(report, folder))


def two_levels(**changes: Any) -> Report:
    """With a plot of each sort."""
    report = whole(sample([level(0), {**level(1), "failed": 3}], [finding(1)], **changes))
    return replace(report, detail=replace(report.detail, errors=failures((2, "timeout", 3))))


def names(report: Report) -> list[str]:
    return [plot.name for _, group in plots(report) for plot in group]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(whole(sample()), tmp_path_factory.mktemp("report") / "not" / "there" / "yet").parent


@pytest.fixture(scope="module")
def ordinary(folder: Path) -> Page:
    return Page(folder / "index.html")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_with_blank_pictures(tmp_path_factory.mktemp("small"), two_levels())


def test_the_page_the_sheet_and_two_pictures_of_each_plot_are_written(folder: Path) -> None:
    pictures = {f"{name}.{ending}" for name in names(whole(sample())) for ending in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == {"index.html", "summary.pdf", *pictures}


def test_there_is_a_plot_for_each_question(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.svg")} == {
        *("throughput-query", "throughput-ttft", "throughput-ttft-log", "scaling", "scaling-log"),
        *("ttft-percentiles", "ttft-percentiles-log", "inter-token-percentiles", "inter-token-percentiles-log"),
        *("ttft-distribution", "e2e-distribution", "tpot-distribution"),
        *(f"timeline-{level:04d}" for level in LEVELS),
    }


def test_a_png_has_twice_the_size_of_its_svg(folder: Path) -> None:
    svg = re.search(r'<svg[^>]* width="([\d.]+)"', (folder / "throughput-query.svg").read_text(encoding="utf-8"))
    (width,) = struct.unpack(">I", (folder / "throughput-query.png").read_bytes()[16:20])
    assert svg
    assert width == pytest.approx(2 * float(svg[1]), abs=1)


def test_the_page_stays_below_three_megabytes(folder: Path) -> None:
    assert (folder / "index.html").stat().st_size < 3_000_000


def test_the_page_is_titled_model_on_shape(ordinary: Page) -> None:
    title = "meta-llama/Llama-3.2-3B-Instruct on VM.GPU.A10.1"
    assert (ordinary.texts["title"], ordinary.texts["h1"]) == ([title], [title])


def test_the_page_names_no_address_but_its_own_pictures(ordinary: Page) -> None:
    outside = [value for value in ordinary.values("src", "href") if not value.startswith("data:")]
    beside = {"summary.pdf", *(f"{name}.{ending}" for name in names(whole(sample())) for ending in ("png", "svg"))}
    assert {address for address in outside if not address.startswith("#")} == beside


def test_every_way_within_the_page_leads_somewhere(ordinary: Page) -> None:
    ways = [value[1:] for value in ordinary.values("href") if value.startswith("#")]
    assert {*PARTS} <= {*ways}
    assert {*ways} <= {*ordinary.values("id")}


def test_no_two_things_have_one_name(ordinary: Page) -> None:
    ids = ordinary.values("id")
    assert len(ids) == len({*ids})


def test_the_policy_admits_exactly_the_scripts_and_the_style_of_the_page(ordinary: Page) -> None:
    (policy,) = (attrs["content"] for _, attrs in ordinary.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy
    _, *scripts = ordinary.texts["script"]  # the first one is data, and never run
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in [*scripts, *ordinary.texts["style"]]
    ]
    assert re.findall(r"'sha256-(.+?)'", policy) == hashes
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_hostile_model_name_changes_only_the_text(small: Page, tmp_path: Path) -> None:
    hostile = page_with_blank_pictures(tmp_path, two_levels(model=HOSTILE))
    assert [(tag, [*attrs]) for tag, attrs in hostile.tags] == [(tag, [*attrs]) for tag, attrs in small.tags]
    assert hostile.texts["h1"] == [f"{HOSTILE} on VM.GPU.A10.1"]


@pytest.mark.parametrize("name", ["m" * 10_000, "a\x00b\x1b[31m", HOSTILE], ids=["long", "unprintable", "hostile"])
def test_a_model_name_that_cannot_be_drawn_is_shown_in_full(tmp_path: Path, name: str) -> None:
    said = page(tmp_path, two_levels(model=name), "curves")
    assert said.texts["title"] == [f"{name} on VM.GPU.A10.1"]
    assert {tag for tag, attrs in said.tags if "onerror" in attrs} == set()
    assert (tmp_path / "throughput-query.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "summary.pdf").read_bytes().startswith(b"%PDF")


def test_every_string_of_a_server_or_a_person_is_escaped(tmp_path: Path) -> None:
    bad = {**finding(1, passed=False), "sentence": HOSTILE, "reason": HOSTILE, "expectation": HOSTILE}
    facts = {"server": HOSTILE, "version": HOSTILE, "models": [HOSTILE], "max_model_len": 1, "fingerprint": HOSTILE}
    levels = [level(1), {**unmeasured(0), "error": HOSTILE}]
    strange = {HOSTILE: HOSTILE}
    changes = {"facts": facts, "machine": strange, "versions": strange, "url": HOSTILE, "git_revision": HOSTILE}
    report = sample(levels, [bad], run_id=HOSTILE, **changes)
    failed = replace(report.detail, errors=failures((2, HOSTILE, 1)))
    said = page(tmp_path, replace(report, detail=failed), "errors")
    assert len(said.texts["script"]) == 3
    assert {tag for tag, attrs in said.tags if "onerror" in attrs} == set()


def test_the_charts_data_reads_back(ordinary: Page) -> None:
    charts = json.loads(ordinary.texts["script"][0])
    assert {*charts["specs"]} == {*names(whole(sample()))}


def test_the_answer_comes_first(ordinary: Page) -> None:
    assert ordinary.texts["h2"][0] == "Suits at least 32 concurrent users"


def test_headings_never_skip_a_rank(ordinary: Page) -> None:
    ranks = [int(tag[1]) for tag, _ in ordinary.tags if tag in ("h1", "h2", "h3", "h4")]
    assert ranks[0] == 1
    assert all(rank <= before + 1 for before, rank in pairwise(ranks))


def test_every_picture_says_what_it_shows(ordinary: Page) -> None:
    pictures = [attrs for tag, attrs in ordinary.tags if tag == "img"]
    live = [attrs for _, attrs in ordinary.tags if attrs.get("role") == "img"]
    assert [attrs["alt"] for attrs in pictures] == [attrs["aria-label"] for attrs in live]
    assert len(pictures) == len(names(whole(sample())))
    assert "from 73 tokens/s" in (pictures[0]["alt"] or "")


def test_every_table_has_a_caption_and_every_heading_a_scope(ordinary: Page) -> None:
    tags = [tag for tag, _ in ordinary.tags]
    assert tags.count("table") == tags.count("caption") > 0
    assert all("scope" in attrs for tag, attrs in ordinary.tags if tag == "th")


def test_a_level_is_a_row_of_numbers_in_milliseconds_and_tokens(ordinary: Page) -> None:
    cells = "960 0 1,400.0 1,442.0 44.0 90.0 88.2 126.0 144.0 22.3 36.4 valid"
    assert f"32 {cells}" in ordinary.words


def test_every_column_is_defined(ordinary: Page) -> None:
    assert {column.name for column in (*COLUMNS, *SCALING_COLUMNS, *CLIENT_COLUMNS)} <= {*ordinary.texts["dt"]}
    assert all(ordinary.texts["dd"])


def test_checks_are_listed_whether_or_not_they_passed(ordinary: Page) -> None:
    assert "6 of 6 checks passed." in ordinary.words
    assert ordinary.words.count("client kept up suspect The client's event loop lags by at most 5 ms") == len(LEVELS)


def test_without_a_failed_check_there_are_no_caveats(ordinary: Page) -> None:
    assert "Caveats" not in ordinary.words


def test_a_failed_check_is_a_caveat_near_the_top(tmp_path: Path) -> None:
    said = page(tmp_path, sample(findings=[finding(1), finding(16, passed=False)], verdict="suspect"))
    assert said.texts["h2"][1] == "Caveats"
    assert "suspect at 16: The client's event loop lags by at most 5 ms; it lagged by 31 ms." in " ".join(
        said.texts["ul"][1].split()
    )
    assert "1 of 2 checks passed." in said.words


def test_a_level_that_ended_early_stands_in_the_table_with_its_error(tmp_path: Path) -> None:
    said = page(tmp_path, sample([level(0), unmeasured(1)], verdict="invalid"))
    assert "Level 2 ended early: the server closed every connection" in said.words
    assert "2 – – – – – – – – – – – invalid" in said.words  # noqa: RUF001 - the dashes of the page


@pytest.mark.parametrize("rows", [[], [unmeasured(at) for at in range(6)]], ids=["no level", "no numbers"])
def test_a_run_without_numbers_still_has_its_page(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    said = page(tmp_path, sample(rows, [], verdict="invalid"), *PLOTTED)
    assert said.texts["h2"][0] == "No answer: no level has usable numbers"
    assert "No checks were run." in said.words


@pytest.mark.parametrize(
    "what",
    [
        "2026-07-14 09:30 UTC",
        "2 min 31 s",
        "0123abc",
        "4711",
        "vllm",
        "0.11.0",
        "8,192",
        "mean 200, stddev 40",
    ],
)
def test_the_page_says_what_was_run(ordinary: Page, what: str) -> None:
    assert what in ordinary.words


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    naive: dict[str, Any] = {"started_at": datetime(2026, 7, 14, 9, 30), "finished_at": datetime(2026, 7, 14, 9, 31)}  # noqa: DTZ001
    assert "2026-07-14 09:30 UTC at http://127.0.0.1:8000, in 1 min 0 s" in page(tmp_path, sample(**naive)).words


def test_a_run_that_never_finished_has_no_duration(tmp_path: Path) -> None:
    assert "in –" in page(tmp_path, sample(finished_at=None)).words  # noqa: RUF001 - the dash of the page


def test_the_recipe_is_a_spec_with_the_seed_of_the_run(ordinary: Page) -> None:
    repeated = spec.parse(yaml.safe_load(ordinary.texts["pre"][-1]))
    assert repeated.workload.seed == 4711
    assert repeated.load.levels == LEVELS


@pytest.mark.parametrize(
    "endpoint",
    [
        {"url": "https://me:hunter2@host"},
        {"launch": "HF_TOKEN=hunter2 vllm serve --max-num-batched-tokens 2048"},
        {"launch": "vllm serve --api-key 'hunter2 hunter2'"},
        {"launch": "vllm serve --api-key=hunter2"},
    ],
)
def test_secrets_in_the_spec_are_not_shown(tmp_path: Path, endpoint: dict[str, str]) -> None:
    asked = run()["spec"]
    report = sample(
        spec={**asked, "endpoint": {**asked["endpoint"], **endpoint}}, url=endpoint.get("url", "http://host")
    )
    page(tmp_path, report)
    assert "hunter2" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_an_option_that_only_sounds_like_a_secret_is_shown(tmp_path: Path) -> None:
    asked = run()["spec"]
    launch = "vllm serve --max-num-batched-tokens 2048"
    assert launch in page(tmp_path, sample(spec={**asked, "endpoint": {**asked["endpoint"], "launch": launch}})).words


def test_great_expectations_pages_are_linked_where_there_are_some(tmp_path: Path) -> None:
    report = sample([level(0)], [finding(1)])
    assert "validation/index.html" not in page(tmp_path, report).values("href")
    with_pages = replace(report, data_docs="validation/index.html")
    assert "validation/index.html" in page(tmp_path, with_pages).values("href")


SERVER_METRICS = {
    "server_ttft_s": 0.0375,
    "ttft_outside_server_s": 0.0025,
    "kv_cache_usage_max": 0.5,
    "preemptions": 3.0,
}


def test_server_metrics_are_shown(tmp_path: Path) -> None:
    report = sample([level(0)], [])
    words = page(tmp_path, replace(report, levels=report.levels.assign(**SERVER_METRICS))).words
    assert words.count("Server metrics") == 2  # the table and its query
    assert all(shown in words for shown in ("37.5", "2.5", "50.0", "3"))


def test_without_server_metrics_there_is_no_table_of_them(ordinary: Page) -> None:
    assert "Server metrics" not in ordinary.texts["h3"]


def test_a_percentile_that_is_withheld_is_a_dash(tmp_path: Path) -> None:
    cell = next(column.cell for column in COLUMNS if column.name == "Time to first token (ms), p99")
    assert cell(level(0) | {"ttft_s_p99": None}) == "–"  # noqa: RUF001 - as it is shown


def test_a_run_that_another_tool_measured_has_its_page_and_no_recipe(tmp_path: Path) -> None:
    words = page(tmp_path, sample([level(0)], [], spec={}, facts={}, versions={}, machine={}, seed=None)).words
    assert "Reproduce this run" not in words
    assert "Suits" in words


def test_the_server_profile_is_a_table_with_its_notes(tmp_path: Path) -> None:
    profile = ServerProfile("/v3/chat/completions", ("stream_options",), usage="none", notes=("It is odd.",))
    shown = page(tmp_path, sample([level(0)], [], facts={"server_profile": asdict(profile)}))
    assert "Server profile" in shown.words
    for words in ("/v3/chat/completions", "stream_options", "the server's usage", "It is odd."):
        assert words in shown.words


def test_several_servers_that_answered_are_named(tmp_path: Path) -> None:
    report = sample([level(0)], [])
    several = replace(report, detail=replace(report.detail, servers=("10.0.0.1:80", "10.0.0.2:80")))
    assert (
        "2 servers answered at the name of the endpoint: 10.0.0.1:80 and 10.0.0.2:80." in page(tmp_path, several).words
    )


def test_the_legend_of_a_plot_is_made_of_buttons(small: Page) -> None:
    pressed = [attrs for tag, attrs in small.tags if tag == "button"]
    assert all(attrs["aria-pressed"] == "false" for attrs in pressed)
    assert [attrs["value"] for attrs in pressed][:6] == ["p50", "p90", "p95", "p99", "1", "2"]


def test_a_plot_whose_legend_is_made_of_buttons_has_none_of_its_own(small: Page) -> None:
    specs = json.loads(small.texts["script"][0])["specs"]
    assert '"legend": {' not in json.dumps(specs["ttft-distribution"]["layer"])


def test_failed_requests_stand_with_kind_number_and_message(small: Page) -> None:
    assert "2 timeout 3 the server said: timeout" in small.words


def test_where_no_request_failed_it_says_so(ordinary: Page) -> None:
    assert "No request failed." in ordinary.words


def test_requests_that_failed_in_a_way_that_is_not_kept_are_counted(tmp_path: Path) -> None:
    said = page(tmp_path, sample([{**level(0), "failed": 7}], []))
    assert "7 requests failed; this run has no stored error kinds." in said.words


def test_where_single_requests_are_not_kept_the_page_says_so(tmp_path: Path) -> None:
    said = page(tmp_path, sample())
    assert "This run has no stored requests, so there are no distributions." in said.words
    assert "This run has no stored time series." in said.words


@pytest.mark.parametrize("view", ["level_summary", "scaling", "requests", "timeline", "server_timeline", "findings"])
def test_the_sql_behind_the_numbers_is_there_to_copy(ordinary: Page, view: str) -> None:
    commands = [text for text in ordinary.texts["pre"] if text.startswith("shapebench query ")]
    assert any(f"FROM {view} WHERE run_id = '20260714-093000-a1b2'" in command for command in commands)


def test_the_load_generators_health_is_shown(ordinary: Page) -> None:
    assert "32 kernel 1 3.0 0.40 0 0.02 45,000" in ordinary.words


def test_scaling_efficiency_is_a_table_and_a_sentence(ordinary: Page) -> None:
    assert "Scaling efficiency is 60% with 32 concurrent users." in ordinary.words
    assert "32 1,442.0 2,406.1 60 61" in ordinary.words


def test_a_run_that_was_interrupted_and_resumed_says_so(tmp_path: Path) -> None:
    again = [datetime(2026, 7, 14, 9, 31, tzinfo=UTC), datetime(2026, 7, 14, 9, 40, tzinfo=UTC)]
    words = page(tmp_path, sample(resumed_at=again, skipped_levels=[64, 128])).words
    assert "Interrupted and resumed 2 times; skipped levels: 64, 128." in words
    assert "2026-07-14 09:31 UTC, 2026-07-14 09:40 UTC" in words


def test_a_run_in_one_go_says_nothing_of_it(ordinary: Page) -> None:
    assert "resumed" not in ordinary.words.lower()


@pytest.mark.nightly
@pytest.mark.slow
def test_twenty_levels_stay_below_three_megabytes(tmp_path: Path) -> None:
    rows = [{**level(5), "concurrency": 16 * at, "completed": 500} for at in range(1, 21)]
    assert write(whole(sample(rows, [])), tmp_path).stat().st_size < 3_000_000
