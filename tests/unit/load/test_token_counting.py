"""Answers without usage are counted once the load is over, and none is lost."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.level_samples import read
from shapebench.apis.reading import Reading
from shapebench.apis.target import Credentials, PlannedRequest, Target
from shapebench.load.http_connection import Answer
from shapebench.load.run_level import measure_level
from shapebench.load.token_counting import Uncounted, count_texts
from shapebench.probe.probe import probe
from shapebench.runs.records import Calibration
from shapebench.runs.run_file import begin
from shapebench.runs.samples_file import Sample
from shapebench.spec.model import parse
from shapebench.test_servers.odd.oddities import Oddities, Timing
from tests.odd_server import odd_server
from tests.route_server import Reply, serving

REQUEST = PlannedRequest(0, False, "one two three", 10, 4)
QUICK = Timing(0.002, 0.004, 0.001)


def answered(*texts: str) -> Uncounted:
    """An answer of these chunks, without usage."""
    reading = Reading(keeps_text=True)
    for at, text in enumerate(texts):
        reading.begin_event()
        reading.add_chunk(at + 1, text)
    reading.resolve()
    reading.output_tokens, reading.token_source = sum(reading.chunk_tokens), "chunks"
    return REQUEST, 0, Answer(0), reading


def words(_route: str, content: Any) -> Reply:
    return 200, {"count": len(content["prompt"].split())}


def counted(*uncounted: Uncounted, answers: Any = words, **how: Any) -> list[Sample]:
    with serving(answers) as served:
        target = Target(served.url, "m", "chat", token_source="tokenize")
        return list(count_texts(uncounted, target, Credentials(), **{"exact_prompts": True, **how}))


def test_tokens_are_apportioned_to_chunks_by_their_text() -> None:
    [sample] = counted(answered("a b c", " d e f"))
    assert (sample.output_tokens, sample.token_source, sample.token_counts) == (6, "tokenize", "apportioned")
    assert sum(sample.chunk_tokens) == 6


def test_a_chunk_for_each_token_is_counted() -> None:
    [sample] = counted(answered("a", " b", " c"))
    assert (sample.chunk_tokens, sample.token_counts) == ([1, 1, 1], "counted")


@pytest.mark.parametrize(("exact", "tokens"), [(True, 10), (False, 3)])
def test_a_prompt_has_its_planned_length_where_that_is_exact(exact: bool, tokens: int) -> None:
    [sample] = counted(answered("a"), exact_prompts=exact)
    assert sample.input_tokens == tokens


@pytest.mark.parametrize("how", [{"answers": lambda *_: (500, "")}, {"stopped": True}])
def test_what_cannot_be_counted_is_a_failed_sample(how: dict[str, Any]) -> None:
    samples = counted(answered("a"), answered("b"), **how)
    assert [(sample.error_kind, sample.output_tokens) for sample in samples] == [("no_usage", None)] * 2


def test_a_tokenizer_that_cannot_be_read_loses_no_sample(tmp_path: Path) -> None:
    target = Target("http://h", "m", "chat", token_source="tokenizer", tokenizer=str(tmp_path))
    [sample] = count_texts([answered("a")], target, Credentials(), exact_prompts=True)
    assert sample.error_kind == "no_usage"
    assert "endpoint.tokenizer" in str(sample.error_message)


@pytest.mark.slow
def test_a_level_of_a_server_without_usage_is_counted_with_its_tokenizer(tmp_path: Path) -> None:
    workload = {"input_tokens": "60,0", "output_tokens": "20,0"}
    with odd_server(Oddities(usage_place="nowhere", tokenize=True, tokens_per_chunk=5), QUICK) as server:
        endpoint = {"url": server.url, "model": "m"}
        run = begin(
            parse(
                {"endpoint": endpoint, "workload": workload, "load": {"levels": [2], "requests": 8}, "data": tmp_path}
            )
        )
        level = measure_level(run, probe(run.spec), Calibration(2, 1), lambda _: None)
    assert level.samples
    requests = read(level.samples).requests
    assert (requests["error_kind"].isna().all(), set(requests["token_source"])) == (True, {"tokenize"})
    assert set(requests.loc[~requests["warmup"], "output_tokens"]) == {20}
    assert (requests["input_tokens"] == requests["planned_input_tokens"]).all()
