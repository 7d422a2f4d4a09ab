"""When /metrics is asked for, what is kept of the answers, and what becomes of a server that gives none."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest

from shapebench.errors import ShapebenchError
from shapebench.probe.client import Client, target
from shapebench.server_metrics import scraper as scrape
from shapebench.server_metrics.exposition import known_values
from shapebench.server_metrics.scraper import Scraper
from shapebench.spec.model import Endpoint
from shapebench.support.timestamps import clock_ns
from shapebench.test_servers.reference import process as metronome
from shapebench.test_servers.simulator import process as simulator
from shapebench.test_servers.simulator.presets import LLAMA
from tests.route_server import Reply, healthy, serving, table

RECORDED = Path(__file__).parents[2] / "contract" / "recorded" / "metrics.txt"
GONE = ShapebenchError("It is gone.", "Start it.")
PATIENCE_S = 20


def page(prompt_tokens: int = 0, running: int = 0, waiting: int = 0) -> str:
    return (
        f"vllm:prompt_tokens_total {prompt_tokens}\n"
        f"vllm:num_requests_running {running}\n"
        f"vllm:num_requests_waiting {waiting}\n"
    )


class Pages:
    """A server that says one after the other, and the last for ever; what is an error is raised."""

    def __init__(self, said: Iterable[str | Exception]) -> None:
        self._said, self.asked = iter(said), 0
        self._last: str | Exception = ""

    def __call__(self) -> str:
        self.asked += 1
        self._last = next(self._said, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def wait_until_asked(self, times: int) -> None:
        wait_until(lambda: self.asked >= times)


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def said_by(scraper: Scraper, folder: Path) -> pd.DataFrame:
    """What is on disk, a row for each moment and a column for each metric without labels."""
    path = scraper.write(folder / "server.parquet")
    assert path is not None
    series = pd.read_parquet(path)
    assert list(series.columns) == ["at_ns", "metric", "label", "value"]
    return series[series["label"] == ""].pivot_table(index="at_ns", columns="metric", values="value")


def looked_at(pages: Pages) -> Scraper:
    with Scraper(pages) as scraper:
        scraper.scrape_at_end()
    return scraper


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "EVERY_S", 0.005)


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look that stays is always the last."""
    monkeypatch.setattr(scrape, "EVERY_S", 600)
    monkeypatch.setattr(scrape, "IDLE_PAUSE_S", 0.001)
    monkeypatch.setattr(scrape, "IDLE_TIMEOUT_S", PATIENCE_S)


def test_a_server_is_asked_before_the_block_again_and_again_within_and_at_its_end(often: None, tmp_path: Path) -> None:
    pages = Pages(page(n) for n in range(1, 1_000_000))
    before_ns = clock_ns()
    with Scraper(pages) as scraper:
        begun_ns, asked_before = clock_ns(), pages.asked
        pages.wait_until_asked(5)
        end_ns = clock_ns()
        scraper.scrape_at_end()
    said = said_by(scraper, tmp_path)
    assert asked_before == 1
    assert list(said["prompt_tokens"]) == list(range(1, pages.asked + 1))
    assert said.index.is_monotonic_increasing
    assert before_ns <= said.index[0] <= begun_ns
    assert (said.index[1:4] >= begun_ns).all()
    assert end_ns <= said.index[-1] <= clock_ns()


def test_within_the_block_it_is_asked_each_second() -> None:
    assert scrape.EVERY_S == 1.0


@pytest.mark.parametrize("leave", [RuntimeError, KeyboardInterrupt])
def test_after_the_block_nothing_is_asked_however_it_was_left(often: None, leave: type[BaseException]) -> None:
    pages = Pages([page()])

    def level() -> None:
        with Scraper(pages):
            pages.wait_until_asked(3)
            raise leave

    with pytest.raises(leave):
        level()
    asked = pages.asked
    time.sleep(0.05)
    assert pages.asked == asked


def test_after_the_last_look_nothing_is_asked(often: None) -> None:
    pages = Pages([page()])
    with Scraper(pages) as scraper:
        scraper.scrape_at_end()
        asked = pages.asked
        time.sleep(0.05)
        assert pages.asked == asked


@pytest.mark.parametrize("busy", [page(7, running=1), page(7, waiting=2)])
def test_the_last_look_waits_until_nothing_runs_or_waits(seldom: None, busy: str, tmp_path: Path) -> None:
    said = said_by(looked_at(Pages([page(), busy, busy, busy, page(9)])), tmp_path)
    assert list(said["prompt_tokens"]) == [0, 9]


def test_the_first_look_waits_for_what_was_aborted_before(seldom: None, tmp_path: Path) -> None:
    said = said_by(looked_at(Pages([page(7, running=1), page(8, running=1), page(9), page(20)])), tmp_path)
    assert list(said["prompt_tokens"]) == [9, 20]


def test_a_server_that_is_never_idle_is_not_waited_for_for_ever(
    seldom: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "IDLE_TIMEOUT_S", 0.05)
    pages = Pages(page(n, running=1) for n in range(1_000_000))
    begun_s = time.monotonic()
    scraper = looked_at(pages)
    assert time.monotonic() - begun_s < PATIENCE_S
    assert scraper.error is None
    last = said_by(scraper, tmp_path).iloc[-1]
    assert (last["prompt_tokens"], last["running_requests"]) == (pages.asked - 1, 1)


def client(url: str, timeout_s: float = PATIENCE_S) -> Client:
    return Client(Endpoint(url=url, model=LLAMA), timeout_s)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((404, {"detail": "Not Found"}), "/metrics answers with HTTP 404."),
        ((200, "<html>"), "/metrics has none of the metrics of vLLM, "),
        ((200, "vllm:prompt_tokens_total many\n"), "/metrics cannot be read: "),
        ((200, 'vllm:prompt_tokens_total{engine="0", ="1"} 1\n'), "/metrics cannot be read: "),
    ],
)
def test_a_server_without_metrics_that_can_be_read_leaves_an_error_and_no_file(
    reply: Reply, why: str, tmp_path: Path
) -> None:
    with (
        serving(table(healthy(GET_metrics=reply))) as served,
        client(served.url) as asks,
        Scraper(asks.metrics) as scraper,
    ):
        scraper.scrape_at_end()
    assert scraper.error is not None
    assert why in scraper.error
    assert scraper.write(tmp_path / "server.parquet") is None
    assert list(tmp_path.iterdir()) == []
    assert [route for route, _ in served.asked] == ["GET /metrics"]  # once: it will not have any later either


def test_a_server_that_is_not_there_leaves_an_error_and_nothing_is_raised() -> None:
    with serving(table(healthy())) as served:
        url = served.url
    with client(url) as asks, Scraper(asks.metrics) as scraper:
        scraper.scrape_at_end()
    assert scraper.error is not None
    assert "No connection" in scraper.error


def test_an_answer_that_fails_in_between_leaves_a_gap_and_no_error(often: None, tmp_path: Path) -> None:
    broken = "vllm:prompt_tokens_total many\n"
    pages = Pages([page(1), page(2), GONE, broken, *(page(n) for n in range(5, 1_000_000))])
    with Scraper(pages) as scraper:
        pages.wait_until_asked(6)
        scraper.scrape_at_end()
    assert scraper.error is None
    assert list(said_by(scraper, tmp_path)["prompt_tokens"]) == [1, 2, *range(5, pages.asked + 1)]


def test_where_the_last_look_fails_there_is_an_error_and_what_was_said_before(seldom: None, tmp_path: Path) -> None:
    scraper = looked_at(Pages([page(1), GONE]))
    assert scraper.error == "It is gone."
    assert list(said_by(scraper, tmp_path)["prompt_tokens"]) == [1]


def test_leaving_the_block_on_an_exception_does_not_wait_for_an_answer_that_hangs(often: None) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def answers(route: str, _: object) -> Reply:
        if len(served.asked) > 1:
            hangs.set()
            go_on.wait(PATIENCE_S)
        return 200, page()

    def level() -> None:
        with client(served.url) as asks, Scraper(asks.metrics) as scraper:
            scrapers.append(scraper)
            assert hangs.wait(PATIENCE_S)
            raise KeyboardInterrupt

    scrapers: list[Scraper] = []
    with serving(answers) as served:
        begun_s = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            level()
        took_s = time.monotonic() - begun_s
        go_on.set()
        scrapers[0]._thread.join(PATIENCE_S)
    assert took_s < PATIENCE_S / 2
    assert not scrapers[0]._thread.is_alive()


def test_a_metric_that_the_server_names_only_later_has_its_own_rows(seldom: None, tmp_path: Path) -> None:
    later = 'vllm:request_success_total{finished_reason="length"} 3\n'
    path = looked_at(Pages([page(1), page(2) + later])).write(tmp_path / "server.parquet")
    assert path is not None
    series = pd.read_parquet(path)
    first_ns, last_ns = series["at_ns"].unique()
    assert (series["at_ns"] == first_ns).sum() == 3
    assert series[series["label"] == "length"].to_dict("list") == {
        "at_ns": [last_ns],
        "metric": ["finished_requests"],
        "label": ["length"],
        "value": [3.0],
    }


def read_back(path: Path | None) -> list[dict[tuple[str, str], float]]:
    assert path is not None
    return [
        dict(zip(zip(moment["metric"], moment["label"], strict=True), moment["value"], strict=True))
        for _, moment in pd.read_parquet(path).groupby("at_ns")
    ]


@pytest.mark.slow
def test_what_real_vllm_said_reads_back_whole_from_a_folder_that_was_not_there(seldom: None, tmp_path: Path) -> None:
    with (
        metronome.running_reference_server(metrics=RECORDED) as url,
        client(url) as asks,
        Scraper(asks.metrics) as scraper,
    ):
        scraper.scrape_at_end()
    path = scraper.write(tmp_path / "runs" / "a" / "server-0001.parquet")
    assert read_back(path) == [known_values(RECORDED.read_text(encoding="utf-8"))] * 2


@pytest.mark.slow
def test_the_metronome_counts_by_names_of_its_own() -> None:
    with metronome.running_reference_server() as url, client(url) as asks, Scraper(asks.metrics) as scraper:
        scraper.scrape_at_end()
    assert scraper.error is not None
    assert "/metrics has none of the metrics of vLLM, " in scraper.error


@pytest.mark.slow
def test_the_simulator_s_account_grows_by_what_it_was_asked(tmp_path: Path) -> None:
    with simulator.running_simulator("fast") as url, client(url) as asks, Scraper(asks.metrics) as scraper:
        asked = target(asks._endpoint)
        answers = [asks.stream(asked, "the " * words, 5).reading for words in (10, 20, 30)]
        scraper.scrape_at_end()
    first, *_, last = read_back(scraper.write(tmp_path / "server.parquet"))
    grown = {key: last[key] - first[key] for key in last}
    assert scraper.error is None
    assert grown["finished_requests", "stop"] + grown["finished_requests", "length"] == 3
    assert grown["ttft_s_count", ""] == grown["ttft_s_bucket", "+Inf"] == 3
    assert grown["prompt_tokens", ""] == sum(answer.input_tokens or 0 for answer in answers)
    assert grown["generation_tokens", ""] == sum(answer.output_tokens or 0 for answer in answers)
