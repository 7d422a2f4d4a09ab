"""How does a server want to be asked? Found out with streamed requests, from servers that differ from OpenAI's."""

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme

from shapebench.apis.profile import ServerProfile
from shapebench.probe.endpoint_errors import (
    BadAddressError,
    EndpointError,
    RateLimitedError,
    RefusedError,
    RouteNotFoundError,
    TlsError,
    UnauthorizedError,
)
from shapebench.probe.probe import probe, quick_profile
from shapebench.runs.records import ServerFacts
from shapebench.spec.model import Spec, parse
from shapebench.test_servers.odd.oddities import Oddities, RefusalForm, Timing
from tests.odd_server import odd_server
from tests.route_server import MODEL, MODELS, Reply, healthy, serving, streamed, table

QUICK = Timing(0.001, 0.002, 0.001)
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def spec(url: str, workload: dict[str, Any] | None = None, **endpoint: Any) -> Spec:
    tokens = {"input_tokens": "100,0", "output_tokens": "20,0"}
    return parse({"endpoint": {"url": url, "model": "m", **endpoint}, "workload": {**tokens, **(workload or {})}})


@contextmanager
def odd(**switches: Any) -> Iterator[str]:
    with odd_server(Oddities(**switches), QUICK) as server:
        yield server.url


def facts(endpoint: dict[str, Any] | None = None, **switches: Any) -> ServerFacts:
    with odd(**switches) as url:
        return probe(spec(url, **(endpoint or {})))


def profile(
    workload: dict[str, Any] | None = None, endpoint: dict[str, Any] | None = None, **switches: Any
) -> ServerProfile:
    with odd(**switches) as url:
        return quick_profile(spec(url, workload, **(endpoint or {})))


def failure(kind: type[EndpointError], endpoint: dict[str, Any] | None = None, **switches: Any) -> EndpointError:
    with pytest.raises(kind) as raised:
        profile(None, endpoint, **switches)
    assert type(raised.value) is kind
    return raised.value


def said(found: ServerProfile) -> str:
    return " ".join(found.notes)


def test_a_usual_server_needs_nothing() -> None:
    assert profile() == ServerProfile(path=CHAT, tokens_per_chunk=1.0)


def test_completions_are_asked_as_completions() -> None:
    assert profile(endpoint={"api": "completions"}).path == COMPLETIONS


def test_a_stream_without_an_end_marker_is_complete_and_noted() -> None:
    found = profile(no_done=True)
    assert not found.end_marker
    assert "Streams end without [DONE]" in said(found)


def test_a_server_without_usage_counts_with_its_own_tokenizer() -> None:
    found = profile(usage_place="nowhere", tokenize=True)
    assert (found.usage, found.token_source, found.tokens_per_chunk) == ("none", "tokenize", 1.0)
    assert "counted with the server's own tokenizer" in said(found)


def test_without_usage_and_tokenizer_chunks_are_counted_and_the_remedy_is_named() -> None:
    found = profile(usage_place="nowhere")
    assert (found.token_source, found.tokens_per_chunk) == ("chunks", None)
    assert "endpoint.tokenizer (--tokenizer)" in said(found)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("form", get_args(RefusalForm))
def test_refused_stream_options_are_left_out(form: str, status: int) -> None:
    found = profile(refuses=("stream_options",), refusal_form=form, refusal_status=status)
    assert (found.dropped_fields, found.usage) == (("stream_options",), "none")
    assert "The server refuses stream_options" in said(found)


@pytest.mark.parametrize("form", ["openai", "oci", "text"])
def test_the_other_name_of_the_limit_is_used(form: str) -> None:
    found = profile(refuses=("max_tokens",), refusal_form=form)
    assert found.renamed_fields == {"max_tokens": "max_completion_tokens"}
    assert "takes max_completion_tokens in place of max_tokens" in said(found)


def test_the_other_name_of_the_limit_is_tried_where_the_server_does_not_say_it() -> None:
    assert profile(refuses=("max_tokens",), refusal_form="fastapi").renamed_fields


def test_a_server_that_refuses_both_names_of_the_limit_cannot_be_measured() -> None:
    assert "max_tokens" in failure(RefusedError, refuses=("max_tokens", "max_completion_tokens")).problem


def test_several_refused_fields_are_left_out_one_by_one() -> None:
    found = profile({"enforce_output_tokens": True}, refuses=("stream_options", "temperature_0", "min_tokens"))
    assert set(found.dropped_fields) == {"stream_options", "temperature", "min_tokens"}


def test_a_temperature_that_is_refused_is_left_out() -> None:
    assert profile(refuses=("temperature_0",), refusal_status=422).dropped_fields == ("temperature",)


def test_the_probe_asks_with_the_temperature_of_the_workload() -> None:
    assert profile({"temperature": 1}, refuses=("temperature_0",)).dropped_fields == ()


def test_without_a_temperature_none_is_sent() -> None:
    assert profile({"temperature": None}, refuses=("temperature_0",)).dropped_fields == ()


@pytest.mark.parametrize(
    ("models", "note"),
    [("bare_array", ""), ("empty", "lists no model"), ("404", "not known"), ("500", "not known")],
)
def test_a_list_of_models_that_is_odd_is_only_noted(models: str, note: str) -> None:
    found = profile(models=models)
    assert note in said(found) if note else not found.notes


def test_a_server_that_lists_other_models_and_answers_all_the_same_is_measured() -> None:
    assert "lists m, not other" in said(profile(endpoint={"model": "other"}))


def test_the_api_has_the_last_word_where_health_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapebench.probe.probe.HEALTH_COUNTS_FOR_S", 0.2)
    found = facts(health_status=500).server_profile
    assert found
    assert "answers with HTTP 500, not 200. It answers requests all the same." in said(found)


def test_a_launched_server_that_is_not_healthy_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shapebench.probe.probe.HEALTH_COUNTS_FOR_S", 0.0)
    begun_s = time.monotonic()
    facts(endpoint={"launch": "server", "ready_timeout_s": 1}, health_status=500)
    assert time.monotonic() - begun_s > 0.6


@pytest.mark.parametrize("base", ["/v3", "/openai/v1", ""])
def test_the_path_of_the_api_is_found_and_noted(base: str) -> None:
    found = facts(base_path=base)
    assert found.models == ("m",)
    assert found.server_profile
    assert found.server_profile.path == f"{base}/chat/completions"
    assert f"The API is at {base}/chat/completions" in said(found.server_profile)


def test_the_path_that_the_spec_names_is_used() -> None:
    found = facts(endpoint={"path": "/own/place/chat/completions"}, base_path="/own/place")
    assert found.server_profile
    assert (found.server_profile.notes, found.models) == ((), ("m",))


@pytest.mark.parametrize("switches", [{"base_path": "/elsewhere"}, {"required_query": "api-version"}])
def test_an_api_that_is_not_found_names_path_and_query_and_no_secrets(switches: dict[str, Any]) -> None:
    error = failure(RouteNotFoundError, **switches)
    assert "Also tried: /v3/chat/completions" in error.problem
    assert "endpoint.path (--path)" in error.remedy
    assert "endpoint.query (--query)" in error.remedy
    assert "key" not in str(error)


def test_the_query_of_the_spec_is_sent() -> None:
    assert profile(endpoint={"query": "api-version=2024-10-21"}, required_query="api-version").notes == ()


def test_a_header_that_is_missing_is_named() -> None:
    error = failure(RefusedError, required_header="opc-compartment-id")
    assert "Missing required header: opc-compartment-id" in error.problem
    assert "--header opc-compartment-id=MY_VARIABLE" in error.remedy
    assert "endpoint.headers" in error.remedy


def test_headers_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPARTMENT", "ocid1.compartment.oc1..aaaa")
    headers = {"opc-compartment-id": "COMPARTMENT"}
    assert profile(endpoint={"headers": headers}, required_header="opc-compartment-id").notes == ()


def test_a_key_that_is_expected_in_a_header_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "geheim-1234")
    switches = {"api_key": "geheim-1234", "key_header": "api-key"}
    assert "--header api-key" in failure(UnauthorizedError, **switches).remedy
    assert profile(endpoint={"headers": {"api-key": "AZURE_KEY"}}, **switches).notes == ()


def test_variables_of_headers_that_are_not_set_are_all_named() -> None:
    assert not {"NOT_SET_1", "NOT_SET_2"} & os.environ.keys()
    error = failure(BadAddressError, {"headers": {"a": "NOT_SET_1", "b": "NOT_SET_2"}})
    assert "a (the variable NOT_SET_1 is not set); b (the variable NOT_SET_2 is not set)" in error.problem


def test_fields_of_the_workload_are_sent() -> None:
    assert profile(thinks_unless_disabled=True).reasoning
    body = {"chat_template_kwargs": {"enable_thinking": False}}
    assert not profile({"extra_body": body}, thinks_unless_disabled=True).reasoning


def test_a_field_of_the_user_that_is_refused_is_an_error() -> None:
    workload = {"extra_body": {"seed": 7}}
    with odd(refuses=("seed",)) as url, pytest.raises(RefusedError) as raised:
        quick_profile(spec(url, workload))
    assert "workload.extra_body" in str(raised.value)


@pytest.mark.parametrize("field", ["ignore_eos", "min_tokens"])
def test_one_of_the_fields_that_enforce_lengths_is_enough(field: str) -> None:
    found = profile(refuses=(field,), owned_by="vllm")
    assert (found.dropped_fields, found.enforces_output) == ((field,), True)


def test_lengths_are_not_enforced_where_the_fields_for_it_are_refused() -> None:
    found = profile(refuses=("ignore_eos", "min_tokens"), owned_by="vllm")
    assert not found.enforces_output
    assert "Lengths of answers are not enforced" in said(found)


def test_an_answer_that_breaks_with_ignore_eos_is_asked_without() -> None:
    found = profile(ignore_eos_breaks=True, owned_by="vllm")
    assert not found.enforces_output
    assert set(found.dropped_fields) == {"ignore_eos", "min_tokens"}
    assert "Unexpected token 200002" in said(found)


def test_lengths_that_are_not_honoured_are_noted_with_the_switch() -> None:
    found = profile(stops_after_tokens=7, owned_by="vllm")
    assert found.enforces_output
    assert "answered 7 tokens where 16 were requested" in said(found)
    assert "--no-enforce-output-tokens" in said(found)


def test_chunks_of_several_tokens_are_noted() -> None:
    found = profile(tokens_per_chunk=5)
    assert found.tokens_per_chunk == pytest.approx(4, abs=1)
    assert "apportioned" in said(found)
    assert not found.continuous_usage


def speculating(_route: str, content: Any) -> Reply:
    """A server with two tokens in each chunk, which counts them where it is asked to."""
    if content is None:
        return 200, MODELS
    counts = bool(content["stream_options"].get("continuous_usage_stats"))
    chunks = [
        {"choices": [{"delta": {"content": " a b"}}]}
        | ({"usage": {"prompt_tokens": 64, "completion_tokens": 2 * n}} if counts else {})
        for n in range(1, 9)
    ]
    return 200, streamed(*chunks, {"choices": [], "usage": {"prompt_tokens": 64, "completion_tokens": 16}})


@pytest.mark.parametrize(("wanted", "asked"), [(None, True), (False, False), (True, True)])
def test_usage_in_each_chunk_is_asked_for_where_chunks_hold_several_tokens(wanted: bool | None, asked: bool) -> None:
    with serving(speculating) as served:
        found = quick_profile(spec(served.url, model=MODEL, continuous_usage=wanted))
    assert (found.continuous_usage, found.usage) == (asked, "running" if asked else "final")
    assert found.tokens_per_chunk == 2


def test_usage_in_each_chunk_that_is_refused_is_left_out_and_the_final_one_is_kept() -> None:
    def answers(route: str, content: Any) -> Reply:
        if content and "continuous_usage_stats" in content["stream_options"]:
            return 400, {"error": {"message": "Unknown parameter: 'stream_options.continuous_usage_stats'."}}
        return speculating(route, content)

    with serving(answers) as served:
        found = quick_profile(spec(served.url, model=MODEL, continuous_usage=True))
    assert found.dropped_fields == ("stream_options.continuous_usage_stats",)
    assert (found.continuous_usage, found.usage) == (False, "final")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "milliseconds"])
def test_a_rate_limit_is_waited_for_as_long_as_the_server_says(status: int, form: str) -> None:
    found = profile(limited_requests=1, limit_status=status, retry_after=form, retry_after_s=0.2)
    assert 0 < found.rate_limit_waited_s <= 1
    assert "limits the rate" in said(found)


def test_a_limit_that_takes_longer_than_the_spec_allows_is_an_error() -> None:
    error = failure(RateLimitedError, {"ready_timeout_s": 5}, limited_requests=1, retry_after_s=60)
    assert "asks to wait 60 s" in error.problem


def test_reasoning_is_seen() -> None:
    assert profile(reasoning="reasoning_content").reasoning


def test_a_certificate_of_its_own_names_the_flags(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with odd_server(Oddities(), QUICK, context) as server:
        with pytest.raises(TlsError) as raised:
            quick_profile(spec(server.url))
        assert quick_profile(spec(server.url, verify_tls=False)).notes == ()
    for name in ("endpoint.ca_file (--ca-file)", "endpoint.verify_tls: false (--insecure)"):
        assert name in raised.value.remedy


def test_a_server_without_the_api_is_told_that_there_are_others() -> None:
    with odd() as url, pytest.raises(RouteNotFoundError) as raised:
        quick_profile(spec(url, api="tgi"))
    assert "Also tried" not in raised.value.problem
    assert "(--api)" in raised.value.remedy


def test_an_answer_that_was_held_back_until_its_end_is_told() -> None:
    assert "arrived at once" in said(profile(tokens_per_chunk=20))


def test_a_list_of_models_that_redirects_is_no_fault() -> None:
    moved: Reply = (307, "", {"Location": "https://example.org/login"})
    with serving(table(healthy(GET_v1__models=moved))) as served:
        assert "redirects to https://example.org/login" in said(quick_profile(spec(served.url)))
