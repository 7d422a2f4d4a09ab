"""What each switch changes in the routes: which requests are refused, in which words, and what else is there."""

from typing import Any, get_args

import orjson
import pytest

from shapebench.test_servers.odd.http import Reply, Request
from shapebench.test_servers.odd.oddities import Oddities, RefusalForm, Timing
from shapebench.test_servers.odd.routes import Routes

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "How are you?"}], "max_tokens": 4}


def routes(**switches: Any) -> Routes:
    return Routes(Oddities(**switches), Timing())


def ask(
    server: Routes, target: str = "/v1/chat/completions", headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    return server.respond(Request("POST", target, headers or {}, orjson.dumps(BODY | more)))


def get(server: Routes, target: str) -> Reply:
    return server.respond(Request("GET", target))


def body(reply: Reply) -> Any:
    return orjson.loads(reply.pieces[0][1])


def message(reply: Reply) -> str:
    return reply.pieces[0][1].decode()


def test_the_usual_server_has_health_models_and_answers() -> None:
    server = routes()
    assert get(server, "/health").status == 200
    assert body(get(server, "/v1/models"))["data"][0]["id"] == "m"
    assert body(ask(server))["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert ask(server, stream=True).streamed
    assert ask(server, "/tokenize").status == 404


@pytest.mark.parametrize(
    ("models", "status", "content"),
    [("empty", 200, '"data":[]'), ("bare_array", 200, '[{"id":"m"'), ("404", 404, "Not Found"), ("500", 500, "Error")],
)
def test_models_are_listed_otherwise(models: str, status: int, content: str) -> None:
    reply = get(routes(models=models), "/v1/models")
    assert reply.status == status
    assert content in message(reply)


def test_the_owner_of_a_model_is_told() -> None:
    assert body(get(routes(owned_by="vllm"), "/v1/models"))["data"][0]["owned_by"] == "vllm"


@pytest.mark.parametrize("status", [404, 500])
def test_health_fails_though_the_api_works(status: int) -> None:
    server = routes(health_status=status)
    assert (get(server, "/health").status, ask(server).status) == (status, 200)


@pytest.mark.parametrize(("text", "count"), [("a b c", 3), ("", 0), (" tick é", 3)])
def test_tokenize_counts_as_usage_does(text: str, count: int) -> None:
    reply = routes(tokenize=True).respond(Request("POST", "/tokenize", body=orjson.dumps({"prompt": text})))
    assert body(reply)["count"] == count


def test_routes_are_below_another_path() -> None:
    server = routes(base_path="/v3")
    assert [ask(server, f"/{base}/chat/completions").status for base in ("v1", "v3")] == [404, 200]
    assert get(server, "/v3/models").status == 200


def test_a_parameter_is_needed() -> None:
    server = routes(required_query="api-version")
    path = "/v1/chat/completions"
    assert [ask(server, target).status for target in (path, f"{path}?api-version=2026-10-01")] == [404, 200]


@pytest.mark.parametrize(
    ("switches", "headers", "status"),
    [
        ({"required_header": "opc-compartment-id"}, {}, 400),
        ({"required_header": "opc-compartment-id"}, {"opc-compartment-id": "ocid1"}, 200),
        ({"api_key": "k"}, {}, 401),
        ({"api_key": "k"}, {"authorization": "Bearer x"}, 401),
        ({"api_key": "k"}, {"authorization": "Bearer k"}, 200),
        ({"api_key": "k", "key_header": "api-key"}, {"authorization": "Bearer k"}, 401),
        ({"api_key": "k", "key_header": "api-key"}, {"api-key": "k"}, 200),
        ({"key_header": "api-key"}, {}, 401),
        ({"key_header": "api-key"}, {"api-key": "any"}, 200),
    ],
    ids=str,
)
def test_headers_are_needed(switches: dict[str, Any], headers: dict[str, str], status: int) -> None:
    assert ask(routes(**switches), headers=headers).status == status


REFUSED: dict[str, dict[str, Any]] = {
    "stream_options": {"stream_options": {"include_usage": True}},
    "temperature_0": {"temperature": 0.0},
    "max_tokens": {"max_tokens": 4},
    "max_completion_tokens": {"max_completion_tokens": 4},
    "ignore_eos": {"ignore_eos": True},
    "min_tokens": {"min_tokens": 4},
    "chat_template_kwargs": {"chat_template_kwargs": {}},
    "seed": {"seed": 1},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_is_refused_by_its_name(name: str) -> None:
    reply = ask(routes(refuses=(name,), refusal_status=422), **REFUSED[name])
    assert reply.status == 422
    assert name.removesuffix("_0") in message(reply)


def test_a_temperature_above_zero_is_taken() -> None:
    assert ask(routes(refuses=("temperature_0",)), temperature=1).status == 200


def test_a_refused_limit_names_the_other_one() -> None:
    reply = ask(routes(refuses=("max_tokens",)))
    assert body(reply)["error"]["message"].endswith("Use 'max_completion_tokens' instead.")
    assert body(reply)["error"]["param"] == "max_tokens"


FORMS: dict[RefusalForm, str] = {
    "openai": '{"error":{"message":"Unsupported parameter: \'min_tokens\'',
    "fastapi": '{"detail":[{"type":"extra_forbidden","msg":"Extra inputs are not permitted","loc":["body",',
    "mistral": '{"object":"error","message":{"detail":[{"type":"extra_forbidden"',
    "tgi": '{"error":"Input validation error: unknown field `min_tokens`"',
    "oci": '{"code":"400","message":"Unsupported parameter: \'min_tokens\'',
    "text": "Unsupported parameter: 'min_tokens'",
}


@pytest.mark.parametrize("form", get_args(RefusalForm))
def test_a_refusal_has_this_form(form: RefusalForm) -> None:
    assert message(ask(routes(refuses=("min_tokens",), refusal_form=form), min_tokens=4)).startswith(FORMS[form])


@pytest.mark.parametrize(("form", "named"), [("openai", 1), ("text", 1), ("fastapi", 2), ("mistral", 2)])
def test_several_fields_are_refused_one_by_one_or_all_at_once(form: str, named: int) -> None:
    reply = ask(routes(refuses=("ignore_eos", "min_tokens"), refusal_form=form), ignore_eos=True, min_tokens=4)
    assert sum(field in message(reply) for field in ("ignore_eos", "min_tokens")) == named


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("seconds", {"retry-after": "2"}),
        ("milliseconds", {"retry-after-ms": "1500"}),
        ("none", {}),
    ],
)
def test_the_first_requests_are_too_many(form: str, headers: dict[str, str]) -> None:
    server = routes(limited_requests=2, retry_after=form, retry_after_s=1.5)
    replies = [ask(server) for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 429, 200]
    assert replies[0].headers == headers


def test_the_time_to_retry_is_a_date() -> None:
    assert ask(routes(limited_requests=1, retry_after="date")).headers["retry-after"].endswith(" GMT")


@pytest.mark.parametrize("more", [{"max_tokens": 0}, {"max_tokens": "x"}, {"messages": None, "prompt": 1}])
def test_a_malformed_request_is_refused(more: dict[str, Any]) -> None:
    assert ask(routes(), **more).status in (200, 400)
    assert routes().respond(Request("POST", "/v1/completions", body=b"{")).status == 400


def test_an_unknown_route_is_not_found() -> None:
    assert get(routes(), "/v2/models").status == 404
