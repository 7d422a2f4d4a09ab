"""Every API over a real socket: its documented stream is replayed to a level, whose signed requests are verified."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shapebench.apis.table import APIS
from shapebench.apis.target import AuthName, PlannedRequest, Target
from shapebench.load.level import PreparedRequests
from tests import oci_lookalike
from tests.aws_signatures import is_signed
from tests.oci_lookalike import TENANCY, USER, fingerprint, new_key, write_config
from tests.recorded_streams import content_type, stream_pieces
from tests.scripted_server import Played, Script, chunk, error, head, pause, send, served
from tests.unit.load.test_level import Kept, kinds, plan

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
STREAMS = {
    "responses": ("openai_responses", 11),
    "messages": ("anthropic_messages", 15),
    "tgi": ("tgi_generate_stream", 10),
    "oci": ("oci_generic_reasoning", 5),
    "vertex": ("vertex_stream_generate_content", 14),
    "sagemaker": ("sagemaker_chat", 4),
    "bedrock": ("bedrock_converse_stream", 20),
}
OPTIONS = {"compartment": "ocid1.compartment.oc1..x", "project": "p", "location": "l", "region": "eu-central-1"}


def replayed(name: str) -> Script:
    """Send a stream as a server does, its pieces a millisecond apart."""
    opening = head("200 OK", "Transfer-Encoding: chunked", f"Content-Type: {content_type(name)}")
    pieces = [action for piece in stream_pieces(name) for action in (pause(0.001), send(chunk(piece)))]
    return [send(opening), *pieces, send(chunk(b""))]


def target(api: str, auth: AuthName = "key", **options: str) -> Target:
    return Target(url="", model="m", api=api, auth=auth, auth_options=OPTIONS | options)


def measure(api: str, given: Target | None = None, script: Script | None = None) -> tuple[Kept, Played]:
    with served(lambda _: script or replayed(STREAMS[api][0])) as played:
        to = replace(given or target(api), url=played.url)
        of_level = plan(played.url, concurrency=2, requests=6, warmup_requests=2, target=to)
        return Kept(of_level).measure(), played


def last_request(played: Played) -> oci_lookalike.Request:
    first, *lines = played.heads[-1].decode().strip().split("\r\n")
    method, path, _ = first.split()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return oci_lookalike.Request(method, path, headers, played.requests[-1])


def test_every_api_is_replayed() -> None:
    assert set(APIS) == {"chat", "completions", *STREAMS}


@pytest.mark.parametrize("api", STREAMS)
def test_a_level_counts_the_tokens_of_every_api(api: str) -> None:
    level, _ = measure(api)
    assert kinds(level.samples) == {None: 8}
    assert {sample.output_tokens for sample in level.samples} == {STREAMS[api][1]}
    assert all(sample.first_answer_s and sample.chunk_offsets_s for sample in level.samples)
    assert {sample.has_end_marker for sample in level.samples} == {True}


@pytest.mark.parametrize(
    ("api", "name", "words"),
    [
        ("bedrock", "bedrock_converse_stream_error", "modelStreamErrorException: The model stopped."),
        ("sagemaker", "sagemaker_error", "ModelStreamError: Your model did not finish in time."),
        ("messages", "anthropic_messages_error", "Overloaded"),
        ("responses", "openai_responses_failed", "The model failed to generate a response."),
    ],
)
def test_an_error_in_a_stream_is_a_failed_sample_with_the_servers_words(api: str, name: str, words: str) -> None:
    level, _ = measure(api, script=replayed(name))
    assert {(sample.error_kind, sample.error_message) for sample in level.samples} == {("stream_error", words)}


@pytest.mark.parametrize(
    ("api", "status", "body", "words"),
    [
        ("oci", "404 Not Found", {"code": "NotAuthorizedOrNotFound", "message": "No such model"}, "No such model"),
        ("bedrock", "403 Forbidden", {"message": "The security token is expired"}, "The security token is expired"),
        ("sagemaker", "424 Failed Dependency", {"ErrorCode": "X", "Message": "Model failed"}, "Model failed"),
        ("tgi", "429 Too Many Requests", {"error": "Model is overloaded", "error_type": "overloaded"}, "overloaded"),
        ("vertex", "429 Too Many Requests", [{"error": {"code": 429, "message": "exhausted"}}], "HTTP 429: exhausted"),
        ("messages", "529 Overloaded", {"type": "error", "error": {"message": "Overloaded"}}, "HTTP 529: Overloaded"),
        ("bedrock", "200 OK", {"message": "no luck"}, "no luck"),
    ],
)
def test_a_refusal_is_a_failed_sample_with_the_servers_words(api: str, status: str, body: object, words: str) -> None:
    level, _ = measure(api, script=[send(error(status, body))])
    assert all(sample.error_kind and words in (sample.error_message or "") for sample in level.samples)


def test_an_event_stream_that_ends_early_is_incomplete() -> None:
    opening = head("200 OK", "Transfer-Encoding: chunked")
    level, _ = measure(
        "bedrock", script=[send(opening), send(chunk(stream_pieces("bedrock_converse_stream")[0])), send(chunk(b""))]
    )
    assert {sample.error_message for sample in level.samples} == {"the stream ended without metadata"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("api", ["bedrock", "sagemaker"])
def test_what_aws_receives_is_signed(api: str) -> None:
    _, played = measure(api, target(api, "aws"))
    request = last_request(played)
    assert is_signed(request.method, request.target, request.headers, request.body, SECRET)


def test_what_oci_receives_is_signed(tmp_path: Path) -> None:
    key = new_key()
    _, played = measure("oci", target("oci", "oci", config_file=str(write_config(tmp_path, key))))
    oci_lookalike.verify(
        last_request(played), {f"{TENANCY}/{USER}/{fingerprint(key)}": key.public_key()}, datetime.now(UTC)
    )


@pytest.mark.usefixtures("aws")
def test_no_secret_is_in_the_plan_or_the_samples() -> None:
    level, _ = measure("bedrock", target("bedrock", "aws"))
    kept = repr(level.samples) + level._plan.to_json().decode()
    assert not any(secret in kept for secret in (SECRET, "session-token", "Signature"))


@pytest.mark.parametrize(("max_age_s", "written"), [(60.0, [0, 1, 2, 3]), (-1.0, [0, 1, 2, 3, 0, 1])])
def test_a_signature_that_got_old_while_it_waited_is_made_again(max_age_s: float, written: list[int]) -> None:
    signed: list[int] = []

    def write(request: PlannedRequest) -> bytes:
        signed.append(request.index)
        return b"%d" % request.index

    requests = PreparedRequests(plan("http://h", concurrency=2), write, max_age_s)
    assert [taken[1] for taken in (requests.take(), requests.take()) if taken] == [b"0", b"1"]
    assert signed == written
