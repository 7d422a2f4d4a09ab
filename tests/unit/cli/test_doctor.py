"""The doctor shows how an endpoint wants to be asked."""

from pathlib import Path

import pytest

from cli.doctor import NothingToCheckError, endpoint_healthy, model_served, requests_answered
from shapebench.spec.model import Spec, parse
from shapebench.test_servers.odd.oddities import Oddities, Timing
from tests.odd_server import odd_server

QUICK = Timing(0.001, 0.002, 0.001)


def spec(url: str, model: str = "m") -> Spec:
    return parse({"endpoint": {"url": url, "model": model}})


def test_the_profile_of_the_server_is_told(tmp_path: Path) -> None:
    with odd_server(Oddities(refuses=("stream_options",), no_done=True), QUICK) as server:
        found = requests_answered(spec(server.url), tmp_path)
    assert "Requests to /v1/chat/completions are answered; tokens are counted by chunks" in found
    assert "The server refuses stream_options" in found
    assert "Streams end without [DONE]" in found


def test_a_server_that_answers_though_it_is_not_healthy_is_no_fault(tmp_path: Path) -> None:
    with odd_server(Oddities(health_status=500), QUICK) as server:
        assert "It answers requests all the same." in endpoint_healthy(spec(server.url), tmp_path)


def test_a_model_that_is_not_listed_is_left_to_the_requests(tmp_path: Path) -> None:
    with odd_server(Oddities(models="empty"), QUICK) as server, pytest.raises(NothingToCheckError, match="Requests"):
        model_served(spec(server.url), tmp_path)
