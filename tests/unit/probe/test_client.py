"""What a server's control plane says, and an error with its remedy for each way in which it does not."""

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from shapebench.apis.profile import ServerProfile
from shapebench.probe import endpoint_errors as errors
from shapebench.probe.client import Client, Model, target
from shapebench.probe.endpoint_errors import EndpointError
from shapebench.server_metrics.exposition import known_values
from shapebench.spec.model import Endpoint, Workload
from shapebench.test_servers.simulator.process import running_simulator
from tests.route_server import MODEL, MODELS, Reply, healthy, raw, serving, table

KEY = "SHAPEBENCH_API_KEY"


def at(url: str, **changes: Any) -> Endpoint:
    return Endpoint(**{"url": url, "model": MODEL, **changes})


def failure(
    kind: type[EndpointError],
    url: str,
    ask: Callable[[Client], object] = Client.models,
    timeout_s: float = 10,
    **changes: Any,
) -> EndpointError:
    """The error, which has to be of this very kind, and has to say what to do."""
    with pytest.raises(kind) as raised, Client(at(url, **changes), timeout_s) as client:
        ask(client)
    assert type(raised.value) is kind
    assert raised.value.remedy
    return raised.value


@contextmanager
def asking(routes: dict[str, Reply], **changes: Any) -> Iterator[Client]:
    with serving(table(routes)) as served, Client(at(served.url, **changes)) as client:
        yield client


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure(errors.EndpointUnreachableError, f"http://127.0.0.1:{port}")
    assert "Connection refused" in error.problem
    assert "server runs" in error.remedy


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".example", "xn--0.example"])
def test_a_name_without_an_address(host: str) -> None:
    error = failure(errors.HostNotFoundError, f"http://{host}")
    assert host in error.problem
    assert "DNS" in error.remedy or "Correct" in error.remedy


@pytest.mark.parametrize("url", ["http://\N{SNOWMAN}.example", "http://exam\x01ple"])
def test_a_url_that_is_none(url: str) -> None:
    assert url in failure(errors.BadAddressError, url).problem


def certificates(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    context, _ = certificates(tmp_path)
    with serving(table(healthy()), context) as served:
        error = failure(errors.TlsError, served.url)
    assert "certificate verify failed" in error.problem
    assert "endpoint.ca_file" in error.remedy


def test_a_certificate_of_the_authority_that_the_spec_names(tmp_path: Path) -> None:
    context, ca_file = certificates(tmp_path)
    with serving(table(healthy()), context) as served, Client(at(served.url, ca_file=ca_file)) as client:
        assert client.health() == 200


def test_a_certificate_that_is_not_to_be_checked(tmp_path: Path) -> None:
    context, _ = certificates(tmp_path)
    with serving(table(healthy()), context) as served, Client(at(served.url, verify_tls=False)) as client:
        assert client.health() == 200


def test_https_to_a_server_that_speaks_plain_http() -> None:
    with serving(table(healthy())) as served:
        error = failure(errors.TlsError, served.url.replace("http:", "https:"))
    assert "http://" in error.remedy


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_read(content: str | None, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    if content:
        ca_file.write_text(content)
    error = failure(errors.BadAddressError, "https://127.0.0.1:1", ca_file=ca_file)
    assert str(ca_file) in error.problem
    assert "endpoint.ca_file" in error.remedy


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nless"]
)
def test_something_that_hangs_up_or_speaks_no_http(answer: bytes) -> None:
    with raw(answer) as url:
        error = failure(errors.ConnectionDroppedError, url)
    assert "closed the connection" in error.problem
    assert "still starting" in error.remedy


def test_a_server_that_does_not_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(errors.EndpointTimeoutError, f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
    assert "in time" in error.problem


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    reply: Reply = (status, {"error": "Unauthorized"})
    with serving(table(healthy(GET_v1__models=reply))) as served:
        error = failure(errors.UnauthorizedError, served.url)
    assert f"HTTP {status}" in error.problem
    assert f"{KEY} (it is not set)" in error.remedy


def test_a_cloud_that_refuses_what_was_signed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    reply: Reply = (403, {"message": "The security token included in the request is invalid."})
    with serving(table(healthy(GET_v1__models=reply))) as served:
        error = failure(errors.UnauthorizedError, served.url, api="bedrock", auth_options={"region": "eu-central-1"})
    assert "credentials for aws (HTTP 403: The security token included in the request is invalid.)" in error.problem
    assert "Check the region and the profile" in error.remedy


def test_a_server_that_takes_the_key_in_another_form_than_the_api_has() -> None:
    reply: Reply = (401, {"error": "Unauthorized"})
    with serving(table(healthy(GET_v1__models=reply))) as served:
        assert "--auth bearer" in failure(errors.UnauthorizedError, served.url, api="messages").remedy
        assert "--auth bearer" not in failure(errors.UnauthorizedError, served.url, api="chat").remedy


def test_a_server_that_wants_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "wrong")
    with serving(table(healthy(GET_v1__models=(401, "")))) as served:
        error = failure(errors.UnauthorizedError, served.url, api_key_env="MY_KEY")
    assert "MY_KEY (its key was rejected)" in error.remedy
    assert "wrong" not in str(error)


def test_the_key_is_sent_without_the_space_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, " secret\n")
    with serving(table(healthy())) as served, Client(at(served.url)) as client:
        client.models()
    assert served.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("key", ["two\nlines", "sch\N{LATIN SMALL LETTER U WITH DIAERESIS}ssel"])
def test_a_key_that_no_header_can_hold(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, key)
    error = failure(errors.BadAddressError, "http://127.0.0.1:1")
    assert KEY in error.problem
    assert key not in str(error)


def test_an_address_without_the_api() -> None:
    with serving(table({})) as served:
        error = failure(errors.RouteNotFoundError, f"{served.url}/wrong")
    assert "/wrong/v1/models does not exist (404)" in error.problem
    assert "base address" in error.remedy


def test_a_page_that_says_that_models_are_missing_is_no_server_without_the_model() -> None:
    with serving(table(healthy(GET_v1__models=(404, "Cannot GET /v1/models")))) as served:
        failure(errors.RouteNotFoundError, served.url)


def test_a_redirect_says_where_it_leads() -> None:
    moved: Reply = (307, "", {"Location": "https://example.org/v1/models"})
    with serving(table(healthy(GET_v1__models=moved))) as served:
        error = failure(errors.RedirectedError, served.url)
    assert "redirects to https://example.org/v1/models" in error.problem


@pytest.mark.parametrize(
    "reply",
    [
        (200, "<html>"),
        (200, {"data": None}),
        (200, {"data": [{"name": "m"}]}),
        (200, {"data": ["m"]}),
        (500, {"error": {"message": "boom"}}),
        (503, "draining"),
    ],
)
def test_models_that_are_no_list_of_models(reply: Reply) -> None:
    with serving(table(healthy(GET_v1__models=reply))) as served:
        error = failure(errors.BadAnswerError, served.url)
    assert f"{served.url}/v1/models" in error.problem


def test_an_address_with_a_path_prefix_is_asked_below_it() -> None:
    with serving(lambda *_: (200, MODELS)) as served, Client(at(f"{served.url}/api/x/v1/")) as client:
        client.models()
        client.health()
    assert [route for route, _ in served.asked] == ["GET /api/x/v1/models", "GET /api/x/health"]


def test_an_error_names_the_whole_address_once() -> None:
    with serving(lambda *_: (200, "<html>")) as served:
        error = failure(errors.BadAnswerError, f"{served.url}/api")
    assert f"{served.url}/api/v1/models returned" in error.problem


def test_a_plain_web_server_is_no_openai_server(tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        error = failure(errors.RouteNotFoundError, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert "base address" in error.remedy


def test_models_are_listed_with_what_is_known_of_them() -> None:
    models = {"data": [{"id": "a", "owned_by": "vllm", "max_model_len": 4096}, {"id": "b"}]}
    with asking(healthy(GET_v1__models=(200, models))) as client:
        assert client.models() == [Model("a", "vllm", 4096), Model("b", None, None)]


@pytest.mark.parametrize(
    ("reply", "version"),
    [
        ((200, {"version": "0.32.0"}), "0.32.0"),
        ((200, "<html>"), None),
        ((200, "1.2"), None),
        ((200, []), None),
        ((404, ""), None),
        ((403, ""), None),
    ],
)
def test_a_version_is_known_where_the_server_says_it(reply: Reply, version: str | None) -> None:
    with asking(healthy(GET_version=reply)) as client:
        assert client.version() == version


@pytest.mark.parametrize(
    "reply",
    [(404, ""), (200, "<html>"), (200, {"count": "3"}), (200, []), (401, ""), (422, {})],
)
def test_a_server_without_a_tokenizer_that_we_know_has_none(reply: Reply) -> None:
    with asking(healthy(POST_tokenize=reply)) as client:
        assert client.count_prompt("a b") is None
        assert client.count_request("a b") is None


def test_the_tokenizer_is_asked_as_the_server_will_count() -> None:
    with serving(table(healthy(POST_tokenize=(200, {"count": 3})))) as served:
        for api in ("chat", "completions"):
            with Client(at(served.url, api=api)) as client:
                assert client.count_request("a b") == 3
    chat, completion = [content for _, content in served.asked]
    assert chat == {"model": MODEL, "messages": [{"role": "user", "content": "a b"}]}
    assert completion == {"model": MODEL, "prompt": "a b"}


def test_the_target_of_requests_is_made_as_the_profile_says() -> None:
    profile = ServerProfile(
        "/v3/chat/completions", ("temperature",), {"max_tokens": "n"}, token_source="tokenize", continuous_usage=True
    )
    made = target(at("http://h"), profile=profile)
    assert (made.path, made.dropped_fields, made.renamed_fields) == (
        profile.path,
        ("temperature",),
        {"max_tokens": "n"},
    )
    assert (made.token_source, made.continuous_usage) == ("tokenize", True)


def test_the_target_of_the_load_is_the_endpoint_of_the_spec(tmp_path: Path) -> None:
    spec = at("http://127.0.0.1:1/api/", api="completions", ca_file=tmp_path / "ca.pem", verify_tls=False)
    made = target(spec, Workload(temperature=0.5), enforce_output_tokens=True)
    assert (made.url, made.model, made.api) == ("http://127.0.0.1:1/api", MODEL, "completions")
    assert (made.temperature, made.enforce_output_tokens, made.verify_tls) == (0.5, True, False)
    assert made.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.slow
def test_the_metrics_of_a_server_are_the_text_of_its_page() -> None:
    with running_simulator("fast") as url, Client(at(url)) as client:
        assert known_values(client.metrics())["finished_requests", "length"] == 0
        client.stream(target(client._endpoint), "a b c", 2)
        asked = [(metric, value) for (metric, _), value in known_values(client.metrics()).items()]
    assert sum(value for metric, value in asked if metric == "finished_requests") == 1


@pytest.mark.parametrize("status", [404, 401, 503])
def test_a_server_without_metrics_has_no_such_route(status: int) -> None:
    with serving(table(healthy(GET_metrics=(status, "")))) as served:
        error = failure(errors.RouteNotFoundError, served.url, Client.metrics)
    assert f"{served.url}/metrics answers with HTTP {status}." in error.problem


TRTLLM = "trtllm_num_requests_running 1\n"


def test_where_the_metrics_are_json_they_are_behind_another_path() -> None:
    """It is trtllm-serve, which has statistics of its own at /metrics; it is asked for them once."""
    answers = table(healthy(GET_metrics=(200, [{"iter": 1}]), GET_prometheus__metrics=(200, TRTLLM)))
    with serving(answers) as served, Client(at(served.url)) as client:
        assert (client.metrics(), client.metrics()) == (TRTLLM, TRTLLM)
    assert [route for route, _ in served.asked] == ["GET /metrics", *["GET /prometheus/metrics"] * 2]


def test_metrics_at_an_address_of_their_own_are_read_there_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    with (
        serving(table(healthy())) as served,
        serving(table({"GET /metrics?model=m": (200, TRTLLM)})) as other,
        Client(at(served.url, metrics_url=f"{other.url}/metrics?model=m")) as client,
    ):
        assert client.metrics() == TRTLLM
    assert served.asked == []
    assert "Authorization" not in other.headers[0]


def test_the_key_goes_to_metrics_of_the_same_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    with (
        serving(table({"GET /stats": (200, TRTLLM)})) as served,
        Client(at(served.url, metrics_url=f"{served.url}/stats")) as client,
    ):
        client.metrics()
    assert served.headers[0]["Authorization"] == "Bearer secret"


def test_a_server_that_hangs_up_on_its_metrics_has_another_error() -> None:
    with raw(b"") as url:
        failure(errors.ConnectionDroppedError, url, Client.metrics)


METRICS = 'process_start_time_seconds 1.5e9\nvllm:cache_config_info{block_size="16",engine="0"} 1.0\n'


def test_the_identity_is_all_that_a_server_says_of_itself() -> None:
    with asking(healthy(GET_version=(200, {"version": "0.32.0"}), GET_metrics=(200, METRICS))) as client:
        assert client.identity() == {
            "model": f"{MODEL} of 4096 tokens",
            "version": "0.32.0",
            "its start": "2017-07-14 02:40:00 UTC",
            "block_size": "16",
        }


@pytest.mark.parametrize(
    "reply", [(404, ""), (500, ""), (200, "<html>"), (200, "process_start_time_seconds late\n"), (200, "")]
)
def test_a_server_that_says_little_has_an_identity_of_its_models(reply: Reply) -> None:
    with asking(healthy(GET_metrics=reply)) as client:
        assert client.identity() == {"model": f"{MODEL} of 4096 tokens"}


def test_a_server_that_does_not_even_name_its_models_has_no_identity() -> None:
    with asking(healthy(GET_v1__models=(500, ""))) as client:
        assert client.identity() == {}


@pytest.mark.slow
def test_an_honest_server_stays_the_same_whatever_it_is_asked() -> None:
    with running_simulator("fast") as url, Client(at(url)) as client:
        before = client.identity()
        stream(url)
        client.stream(target(client._endpoint), "a b c", 2)
        assert client.identity() == before
        assert before["version"] == client.version()
        assert {"version", "gpu_memory_utilization", "model"} < set(before)


@pytest.mark.slow
def test_a_server_of_another_version_is_another_server() -> None:
    with running_simulator("fast", faults=["other_version_after=1"]) as url, Client(at(url)) as client:
        before = client.identity()
        stream(url)
        now = client.identity()
    assert {name for name in {*before, *now} if before.get(name) != now.get(name)} == {"version"}


def test_a_server_that_was_started_anew_is_another_server() -> None:
    with asking(healthy(GET_metrics=(200, METRICS))) as client:
        before = client.identity()
    with asking(healthy(GET_metrics=(200, METRICS.replace("1.5e9", "1500000060.25")))) as client:
        assert client.identity() == before | {"its start": "2017-07-14 02:41:00 UTC"}


def stream(url: str) -> None:
    request = {"model": MODEL, "messages": [{"role": "user", "content": "a b c"}], "max_tokens": 2, "stream": True}
    assert httpx.post(f"{url}/v1/chat/completions", json=request).text.endswith("data: [DONE]\n\n")


def test_fields_of_models_that_are_not_as_vllm_has_them_are_unknown() -> None:
    odd = {"id": MODEL, "max_model_len": "4096", "owned_by": {"name": "x"}, "root": 5}
    with asking(healthy(GET_v1__models=(200, {"data": [{"id": None}, odd]}))) as client:
        assert client.models() == [Model(MODEL, None, 4096)]
