"""Is the endpoint fit to be measured? Each way in which it is not has its own error with its remedy."""

import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shapebench.analysis.level_samples import read
from shapebench.apis.target import Credentials, Target
from shapebench.load import workers
from shapebench.load.plan import LevelPlan
from shapebench.load.prompts import RequestMix
from shapebench.probe.endpoint_errors import (
    ConnectionDroppedError,
    ContextTooSmallError,
    EndpointError,
    EndpointTimeoutError,
    EndpointUnreachableError,
    NeverHealthyError,
    RouteNotFoundError,
    UnauthorizedError,
    WrongModelError,
)
from shapebench.probe.launch import LaunchFailedError, launched
from shapebench.probe.probe import is_transient, probe
from shapebench.runs.prompt_sizing import candidate_words
from shapebench.runs.records import ServerFacts
from shapebench.spec.model import Spec, parse
from shapebench.test_servers.simulator.process import running_simulator
from tests.route_server import MODEL, NOT_FOUND, UNKNOWN_MODEL, Reply, answer, healthy, raw, serving, table

KEY = "SHAPEBENCH_API_KEY"
SHORT_S = 0.3


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    with running_simulator("fast") as url:
        yield url


def spec(url: str, workload: dict[str, Any] | None = None, **endpoint: Any) -> Spec:
    known = {"url": url, "model": MODEL, "ready_timeout_s": 30, **endpoint}
    return parse({"endpoint": known, "workload": workload or {}})


def failure(kind: type[EndpointError], asked: Spec) -> EndpointError:
    with pytest.raises(kind) as raised:
        probe(asked)
    assert type(raised.value) is kind
    assert raised.value.remedy
    return raised.value


def probed(routes: dict[str, Reply], **changes: Any) -> ServerFacts:
    with serving(table(routes)) as served:
        return probe(spec(served.url, **changes))


def test_of_vllm_all_is_learned(simulator: str) -> None:
    facts = probe(spec(simulator))
    assert (facts.server, facts.is_vllm, facts.version) == ("vllm", True, "0.32.0")
    assert (facts.max_model_len, facts.models) == (4096, (MODEL,))
    assert facts.fingerprint is not None
    assert facts.sizing.exact
    assert facts.probe_e2e_s > 0


def test_of_another_server_its_owner_is_known() -> None:
    facts = probed(healthy())
    assert (facts.server, facts.is_vllm, facts.version) == ("someone", False, None)


def test_a_server_without_a_health_route_is_asked_for_its_models() -> None:
    assert probed(healthy(GET_health=NOT_FOUND)).models == (MODEL,)


@pytest.mark.parametrize("status", [301, 401, 403, 405])
def test_a_health_route_that_is_closed_to_us_says_nothing(status: int) -> None:
    assert probed(healthy(GET_health=(status, ""))).models == (MODEL,)


def test_nothing_listens_until_the_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure(EndpointUnreachableError, spec(f"http://127.0.0.1:{port}", ready_timeout_s=SHORT_S))


def test_something_that_hangs_up_until_the_time_is_up() -> None:
    with raw(b"") as url:
        assert not is_transient(failure(ConnectionDroppedError, spec(url, ready_timeout_s=SHORT_S)))


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        (EndpointUnreachableError, True),
        (ConnectionDroppedError, True),
        (EndpointTimeoutError, True),
        (WrongModelError, False),
    ],
)
def test_silence_after_the_server_was_found_healthy_may_pass(kind: type[EndpointError], may: bool) -> None:
    assert is_transient(kind("problem", "remedy")) is may


def test_a_server_that_is_never_healthy() -> None:
    with serving(table(healthy(GET_health=(503, ""), POST_v1__chat__completions=(503, "loading")))) as served:
        error = failure(NeverHealthyError, spec(served.url, ready_timeout_s=SHORT_S))
    assert "answers with HTTP 503" in error.problem
    assert "endpoint.ready_timeout_s" in error.remedy


def test_a_server_that_becomes_healthy_is_waited_for() -> None:
    asked = iter(range(100))

    def answers(route: str, content: Any) -> Reply:
        routes = healthy(GET_health=(503, "")) if route == "GET /health" and next(asked) < 3 else healthy()
        return table(routes)(route, content)

    with serving(answers) as served:
        assert probe(spec(served.url)).models == (MODEL,)
    assert [route for route, _ in served.asked].count("GET /health") == 4


def test_a_key_that_is_missing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with running_simulator("fast", api_key="secret") as url:
        assert KEY in failure(UnauthorizedError, spec(url, ready_timeout_s=7200)).remedy
        monkeypatch.setenv(KEY, "secret")
        assert probe(spec(url)).is_vllm


def test_an_address_without_the_api_is_not_waited_for() -> None:
    with serving(table({})) as served:
        failure(RouteNotFoundError, spec(served.url, ready_timeout_s=7200))


def test_a_wrong_model_names_those_that_are_served(simulator: str) -> None:
    error = failure(WrongModelError, spec(simulator, model="gpt-5"))
    assert "'gpt-5'" in error.problem
    assert MODEL in error.remedy


def test_a_server_without_models_says_so() -> None:
    routes = healthy(GET_v1__models=(200, {"data": []}), POST_v1__chat__completions=UNKNOWN_MODEL)
    with serving(table(routes)) as served:
        assert "endpoint.model" in failure(WrongModelError, spec(served.url)).remedy


def test_a_workload_that_cannot_fit_says_all_that_is_wrong_at_once(simulator: str) -> None:
    workload = {"input_tokens": {"mean": 12, "stddev": 0}, "output_tokens": {"mean": 4000, "stddev": 100}}
    error = failure(ContextTooSmallError, spec(simulator, workload))
    assert "up to 12 input and 4400 output tokens exceed the model's 4096" in error.problem
    assert "12 input tokens are too few" in error.problem
    assert "workload.input_tokens" in error.remedy


@pytest.mark.parametrize("tokens", [19, 3996])
def test_a_workload_that_just_fits_is_taken(tokens: int, simulator: str) -> None:
    workload = {"input_tokens": {"mean": tokens, "stddev": 0}, "output_tokens": {"mean": 100, "stddev": 0}}
    assert probe(spec(simulator, workload)).sizing.min_tokens <= tokens


@pytest.mark.parametrize("tokens", [18, 3997])
def test_a_workload_that_just_does_not_fit_is_refused(tokens: int, simulator: str) -> None:
    workload = {"input_tokens": {"mean": tokens, "stddev": 0}, "output_tokens": {"mean": 100, "stddev": 0}}
    failure(ContextTooSmallError, spec(simulator, workload))


def test_where_the_context_is_not_known_every_length_is_taken() -> None:
    unknown: Reply = (200, {"data": [{"id": MODEL}]})
    assert probed(healthy(GET_v1__models=unknown), workload={"input_tokens": {"mean": 10**6}}).max_model_len is None


def measured(url: str, facts: ServerFacts, api: str, tmp_path: Path) -> Any:
    """A small level with the sizing that was learned."""
    asked = spec(url).workload
    level = LevelPlan(
        target=Target(url=url, model=MODEL, api=api, enforce_output_tokens=True),
        mix=RequestMix(facts.sizing, asked.input_tokens.lengths, asked.output_tokens.lengths, seed=5),
        concurrency=4,
        requests=60,
        warmup_requests=8,
        request_timeout_s=60,
        samples=str(tmp_path / "level.parquet"),
    )
    outcome = workers.run_workers(level, Credentials(), lambda _: None)
    assert outcome.samples is not None
    return read(outcome.samples)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_with_the_server_s_tokenizer_every_request_has_exactly_the_length_that_was_planned(
    api: str, simulator: str, tmp_path: Path
) -> None:
    samples = measured(simulator, probe(spec(simulator, api=api)), api, tmp_path).requests
    assert len(samples) == 68
    assert samples["error_kind"].isna().all()
    assert (samples["input_tokens"] == samples["planned_input_tokens"]).all()
    assert (samples["output_tokens"] == samples["planned_output_tokens"]).all()


TEMPLATE_TOKENS, TOKENS_PER_WORD = 36, 1.25


def counted(prompt: str) -> int:
    """What a server counts to which every fourth word is two tokens."""
    return TEMPLATE_TOKENS + round(TOKENS_PER_WORD * len(prompt.split()))


def answering(
    tokenizer: Callable[[Any], Reply], counted: Callable[[str], int] = counted
) -> Callable[[str, Any], Reply]:
    def answers(route: str, content: Any) -> Reply:
        if route == "POST /v1/chat/completions":
            return 200, answer(counted(content["messages"][0]["content"]))
        return tokenizer(content) if route == "POST /tokenize" else table(healthy())(route, content)

    return answers


def test_without_a_tokenizer_lengths_are_estimated_from_the_usage_of_real_answers() -> None:
    with serving(answering(lambda _: NOT_FOUND)) as served:
        sizing = probe(spec(served.url)).sizing
    assert not sizing.exact
    assert sizing.tokens_per_word == pytest.approx(TOKENS_PER_WORD, rel=0.01)
    assert sizing.fixed_tokens == pytest.approx(TEMPLATE_TOKENS, abs=2)


def test_estimated_prompts_have_about_the_length_that_was_planned() -> None:
    with serving(answering(lambda _: NOT_FOUND)) as served:
        asked = spec(served.url)
        mix = RequestMix(
            probe(asked).sizing, asked.workload.input_tokens.lengths, asked.workload.output_tokens.lengths, seed=5
        )
    for ask in (mix.request(index, 1, warmup=0) for index in range(50)):
        assert counted(ask.prompt) == pytest.approx(ask.input_tokens, abs=3)


def test_a_server_that_counts_every_prompt_alike_can_be_measured_all_the_same() -> None:
    sizing = probed(healthy()).sizing
    assert sizing.tokens_per_word > 0
    assert not sizing.exact


def test_common_words_are_no_measure_of_all_words() -> None:
    """The list begins with common ones, which many tokenizers have as one token each."""
    common = set(candidate_words()[:150])

    def counted(prompt: str) -> int:
        return sum(1 if word in common else 2 for word in prompt.split())

    with serving(answering(lambda _: NOT_FOUND, counted)) as served:
        sizing = probe(spec(served.url)).sizing
    mean = sum(counted(word) for word in candidate_words()) / len(candidate_words())
    assert sizing.tokens_per_word == pytest.approx(mean, rel=0.02)


def of_words(content: Any) -> Reply:
    """A tokenizer of plain text, to which a word is a token."""
    return (200, {"count": len(content["prompt"].split())}) if "prompt" in content else (400, {})


def test_a_tokenizer_that_knows_no_messages_counts_words_and_answers_tell_of_the_template() -> None:
    with serving(answering(of_words, lambda prompt: TEMPLATE_TOKENS + len(prompt.split()))) as served:
        sizing = probe(spec(served.url)).sizing
    assert sizing.exact
    assert sizing.fixed_tokens == TEMPLATE_TOKENS + 1


def test_a_tokenizer_that_usage_contradicts_is_not_used() -> None:
    """A gateway's may be of another model: LiteLLM's is OpenAI's, whatever it serves."""
    with serving(answering(of_words)) as served:
        sizing = probe(spec(served.url)).sizing
    assert not sizing.exact
    assert sizing.tokens_per_word == pytest.approx(TOKENS_PER_WORD, rel=0.01)


def test_a_tokenizer_to_which_hardly_any_word_is_one_token_is_not_used() -> None:
    with serving(answering(lambda content: (200, {"count": 3 * len(str(content).split())}))) as served:
        assert not probe(spec(served.url)).sizing.exact


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_server_that_dies_while_it_is_waited_for_ends_the_waiting_with_its_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked = spec(f"http://127.0.0.1:{port}", ready_timeout_s=7200)
    command = python("import time; time.sleep(0.5); raise SystemExit('no GPU found')")
    with (
        launched(command, tmp_path / "server.log") as still_starting,
        pytest.raises(LaunchFailedError, match="no GPU found"),
    ):
        probe(asked, still_starting)


def test_a_server_that_died_is_not_mistaken_for_another_on_its_port(simulator: str, tmp_path: Path) -> None:
    with launched(python("raise SystemExit('address already in use')"), tmp_path / "server.log") as still_starting:
        with pytest.raises(LaunchFailedError):
            all(still_starting() is None for _ in iter(int, 1))  # for ever
        with pytest.raises(LaunchFailedError, match="address already in use"):
            probe(spec(simulator), still_starting)


def test_a_launched_server_is_waited_for_and_measured(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = shlex.join(
        [sys.executable, "-m", "shapebench.test_servers.simulator", "--preset", "fast", "--port", str(port)]
    )
    with launched(command, tmp_path / "server.log") as still_starting:
        assert probe(spec(f"http://127.0.0.1:{port}"), still_starting).is_vllm
    failure(EndpointUnreachableError, spec(f"http://127.0.0.1:{port}", ready_timeout_s=SHORT_S))
