"""What the instrument reports, held against the log of the server that it measured: facts that hold on any machine."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from shapebench.analysis import level_samples
from shapebench.test_servers.reference.process import running_reference_server
from shapebench.test_servers.simulator.presets import LLAMA
from shapebench.test_servers.simulator.process import running_simulator

pytestmark = [pytest.mark.slow, pytest.mark.measures_time]
STREAMS, REQUESTS = 32, 64


@dataclass(frozen=True)
class Measured:
    """What was printed, and each sample beside what the server says of the same request."""

    printed: dict[str, Any]
    samples: pd.DataFrame
    truth: dict[str, dict[str, Any]]

    @property
    def matched(self) -> pd.DataFrame:
        truth = pd.DataFrame(self.truth.values()).add_prefix("true_")
        return self.samples.merge(truth, left_on="response_id", right_on="true_request_id", validate="1:1")


def measure(url: str, model: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """What is printed, and the samples."""
    load = ["--url", url, "--model", model, "--concurrency", str(STREAMS), "--requests", str(REQUESTS), *arguments]
    command = [sys.executable, "-m", "cli", "measure", *load, "--samples", str(folder), "--json"]
    printed = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    [file] = folder.glob("runs/*/level-0032.parquet")
    chunks = pq.read_table(file, columns=["chunk_offsets_s", "chunk_tokens"]).to_pandas()
    return printed, level_samples.read(file).requests.join(chunks)


def truth(log: Path) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, log.read_text().splitlines())
    return {line["request_id"]: line for line in lines}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("truth")
    log = folder / "truth.jsonl"
    with running_simulator("a10-llama-3.2-3b", log=log) as url:
        printed, samples = measure(url, LLAMA, folder)
    return Measured(printed, samples, truth(log))


@pytest.fixture(scope="module", params=["chat", "completions"])
def timed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Against the metronome, which logs when it sent each token; by two processes."""
    folder = tmp_path_factory.mktemp("timed")
    log = folder / "truth.jsonl"
    with running_reference_server(ttft_s=0.1, gap_s=0.01, jitter=0.5, log=log) as url:
        how = ("--api", request.param, "--processes", "2", "--output-tokens", "30,5")
        printed, samples = measure(url, "metronome", folder, *how)
    return Measured(printed, samples, truth(log))


def test_every_token_has_an_arrival(timed: Measured) -> None:
    both = timed.matched
    assert len(both) == REQUESTS + 2 * STREAMS
    assert (both["chunk_offsets_s"].map(len) == both["true_sent_ns"].map(len)).all()


def test_no_token_arrives_before_it_was_sent(timed: Measured) -> None:
    for row in timed.matched.itertuples():
        arrived_ns = [row.sent_at_ns + round(offset_s * 1e9) for offset_s in row.chunk_offsets_s]
        assert all(arrived >= sent for arrived, sent in zip(arrived_ns, row.true_sent_ns, strict=True))


def test_no_token_arrives_before_the_one_ahead_of_it(timed: Measured) -> None:
    assert all((offsets_s[1:] >= offsets_s[:-1]).all() for offsets_s in timed.samples["chunk_offsets_s"])


def test_no_request_reaches_the_metronome_before_it_was_sent(timed: Measured) -> None:
    assert (timed.matched["sent_at_ns"] <= timed.matched["true_received_ns"]).all()


def test_no_ttft_is_shorter_than_the_metronome_took(timed: Measured) -> None:
    both = timed.matched
    took_s = (both["true_sent_ns"].str[0] - both["true_received_ns"]) / 1e9
    assert (both["ttft_s"] >= took_s).all()


def test_all_requests_are_completed(measured: Measured) -> None:
    assert (measured.printed["completed"], measured.printed["failed"]) == (REQUESTS, 0)
    assert len(measured.samples) == REQUESTS + 2 * STREAMS


def test_every_sample_is_an_answer_that_the_server_gave(measured: Measured) -> None:
    assert len(measured.matched) == len(measured.samples)


def test_the_server_answered_nothing_but_the_samples_and_the_probe_s_one_request(measured: Measured) -> None:
    assert len(measured.truth) == len(measured.samples) + 1


def test_tokens_are_those_that_the_server_counted(measured: Measured) -> None:
    both = measured.matched
    assert (both["output_tokens"] == both["true_output_tokens"]).all()
    assert (both["input_tokens"] == both["true_prompt_tokens"]).all()
    assert (both["chunk_tokens"].map(sum) == both["true_output_tokens"]).all()


def test_requests_have_the_lengths_that_were_planned(measured: Measured) -> None:
    both = measured.matched
    assert (both["true_prompt_tokens"] == both["planned_input_tokens"]).all()
    assert (both["true_output_tokens"] == both["planned_output_tokens"]).all()


def test_no_request_is_received_before_it_was_sent(measured: Measured) -> None:
    both = measured.matched
    assert (both["sent_at_ns"] <= both["true_received_ns"]).all()


def test_no_ttft_is_shorter_than_the_server_took(measured: Measured) -> None:
    both = measured.matched
    took_s = (both["true_first_token_ns"] - both["true_received_ns"]) / 1e9
    assert (both["ttft_s"] >= took_s).all()


def test_no_last_token_arrives_before_the_server_sent_it(measured: Measured) -> None:
    both = measured.matched
    took_s = (both["true_last_token_ns"] - both["true_received_ns"]) / 1e9
    assert (both["e2e_s"] >= took_s).all()


def test_what_is_printed_is_the_mean_of_the_samples(measured: Measured) -> None:
    counted = measured.samples[~measured.samples["warmup"]]
    assert measured.printed["ttft_s"]["mean"] == pytest.approx(counted["ttft_s"].mean())
    assert measured.printed["output_tokens"]["mean"] == pytest.approx(counted["output_tokens"].mean())
