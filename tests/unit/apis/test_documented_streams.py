"""Each API's stream in the form that its documentation gives: tokens, usage, end, reasoning and errors."""

import re
from dataclasses import dataclass

import pytest

from shapebench.apis.reading import Reading, StreamError
from shapebench.apis.stream_reader import Piece, read
from shapebench.apis.table import APIS
from tests.recorded_streams import DOCUMENTED, stream_pieces


@dataclass(frozen=True)
class Expected:
    """What is in a stream; `first_answer` is the index of the first chunk that is not reasoning."""

    text: str
    chunk_tokens: list[int]
    usage: tuple[int | None, int | None, int | None]
    finish_reason: str
    token_counts: str = "counted"
    first_answer: int = 0
    response_id: str | None = None


RESPONSE = "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad8e5eb654"
MESSAGE = "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY"
GREETING = "Hi there! How can I assist you today?"
STREAMS = {
    "openai_responses": Expected(
        GREETING, [1, 1, 1, 1, 1, 1, 1, 1, 2, 1], (37, 11, 0), "completed", "apportioned", 0, RESPONSE
    ),
    "openai_responses_call": Expected(
        '{"location":"Paris, France"}', [1, 4, 2, 3, 1, 3, 2], (69, 16, 0), "completed", "apportioned", 0, RESPONSE
    ),
    "anthropic_messages": Expected("Hello!", [12, 3], (25, 15, None), "end_turn", "apportioned", 0, MESSAGE),
    "tgi_generate_stream": Expected(
        "\nDeep learning is a subset of machine learning</s>", [1] * 10, (5, 10, None), "eos_token"
    ),
    "oci_generic": Expected("Hello there!", [1, 1, 1], (17, 3, 0), "stop"),
    "oci_generic_reasoning": Expected("The user greets.Hello!", [1] * 5, (17, 5, 3), "length", first_answer=3),
    "oci_cohere": Expected("Hello! How can I help?", [1] * 7, (18, 7, None), "COMPLETE"),
    "bedrock_converse_stream_reasoning": Expected(
        "The user asks for songs.Here are three", [1, 2, 2, 1, 1, 2], (40, 9, None), "end_turn", "apportioned", 3
    ),
    "sagemaker_chat": Expected("Deep learning is a", [1] * 4, (12, 4, None), "length", response_id="chatcmpl-0"),
    "sagemaker_lmi": Expected("Deep learning is a", [1] * 4, (None, 4, None), "length"),
    "sagemaker_tgi": Expected("Deep learning", [1, 1], (6, 2, None), "length"),
}


def api_of(name: str) -> str:
    """Return the API of a file: most begin with its name."""
    word = name.split("_", maxsplit=1)[0]
    return {"openai": "responses", "anthropic": "messages"}.get(word, word)


def pieces_of(name: str) -> list[Piece]:
    """Return the pieces of a stream, which arrive at 0, 1, 2, …"""
    return [(at, piece, len(piece)) for at, piece in enumerate(stream_pieces(name))]


def read_stream(name: str, pieces: list[Piece] | None = None) -> Reading:
    reading = Reading(keeps_text=True)
    read(APIS[api_of(name)], pieces or pieces_of(name), reading)
    return reading


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_tokens_and_the_usage_that_it_states(name: str) -> None:
    reading, expected = read_stream(name), STREAMS[name]
    assert reading.text == expected.text
    assert (reading.chunk_tokens, reading.token_counts) == (expected.chunk_tokens, expected.token_counts)
    input_tokens, output_tokens, reasoning_tokens = expected.usage
    assert (reading.input_tokens, reading.output_tokens) == (input_tokens, output_tokens)
    if reasoning_tokens is not None:
        assert reading.reasoning_tokens == reasoning_tokens


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_why_it_ended_and_that_it_did(name: str) -> None:
    reading, expected = read_stream(name), STREAMS[name]
    assert (reading.finish_reason, reading.response_id) == (expected.finish_reason, expected.response_id)
    assert reading.done


@pytest.mark.parametrize("name", STREAMS)
def test_the_answer_begins_after_the_reasoning(name: str) -> None:
    reading, expected = read_stream(name), STREAMS[name]
    assert reading.first_answer_ns == reading.arrivals_ns[expected.first_answer]
    assert reading.has_reasoning == (expected.first_answer > 0)


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_means_the_same_wherever_it_is_cut(name: str, size: int) -> None:
    body = b"".join(stream_pieces(name))
    cut = [body[begin : begin + size] for begin in range(0, len(body), size)]
    reading = read_stream(name, [(at, piece, len(piece)) for at, piece in enumerate(cut)])
    assert (reading.text, reading.chunk_tokens) == (STREAMS[name].text, STREAMS[name].chunk_tokens)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai_responses_failed", "The model failed to generate a response."),
        ("openai_responses_error", "Something went wrong"),
        ("anthropic_messages_error", "Overloaded"),
        ("tgi_generate_stream_error", "CUDA out of memory"),
        ("oci_error", "Service request limit is exceeded"),
        ("vertex_stream_error", "Resource exhausted. Please try again later."),
        ("bedrock_converse_stream_error", "modelStreamErrorException: The model stopped."),
        ("sagemaker_error", "ModelStreamError: Your model did not finish in time."),
    ],
)
def test_an_error_in_a_stream_is_told_in_the_servers_words(name: str, words: str) -> None:
    with pytest.raises(StreamError) as raised:
        read_stream(name)
    assert raised.value.kind == "stream_error"
    assert words in raised.value.message


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_stops_before_its_end_is_incomplete(name: str) -> None:
    pieces = pieces_of(name)
    with pytest.raises(StreamError) as raised:
        read_stream(name, pieces[: max(len(pieces) // 3, 1)])
    assert raised.value.kind in ("incomplete", "empty")


def read_recorded(name: str, api: str) -> Reading:
    body = re.split(rb"\r?\n\r?\n", (DOCUMENTED.parent / f"{name}.txt").read_bytes(), maxsplit=1)[1]
    reading = Reading()
    read(APIS[api], [(0, body, len(body))], reading)
    return reading


@pytest.mark.parametrize(
    ("name", "api", "tokens", "finish_reason", "done"),
    [
        ("sse_messages", "messages", (15, 6), "max_tokens", True),
        ("litellm_sse_messages", "messages", (15, 6), "max_tokens", True),
        ("sse_responses", "responses", (15, 6), "max_output_tokens", True),
        ("litellm_sse_responses", "responses", (15, 16), "max_output_tokens", True),
        ("transformers_sse_responses", "responses", (15, 6), "completed", True),
        ("litellm_sse_chat", "chat", (15, 6), "length", True),
        ("litellm_sse_completions", "completions", (5, 6), "length", True),
        ("transformers_sse_chat", "chat", (15, 6), "length", False),
        ("transformers_sse_completions", "completions", (5, 6), "length", False),
    ],
)
def test_streams_of_real_servers_are_read(
    name: str, api: str, tokens: tuple[int, int], finish_reason: str, done: bool
) -> None:
    reading = read_recorded(name, api)
    assert (reading.input_tokens, reading.output_tokens) == tokens
    assert sum(reading.chunk_tokens) == tokens[1]
    assert (reading.finish_reason, reading.done) == (finish_reason, done)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_real_server_without_usage_has_its_end_read(api: str) -> None:
    reading = read_recorded(f"llama_cpp_python_sse_{api}", api)
    assert (reading.output_tokens, reading.finish_reason, reading.done) == (None, "length", True)


def test_every_file_is_read_by_some_test() -> None:
    files = {file.stem for file in DOCUMENTED.iterdir() if file.suffix != ".md"}
    elsewhere = {
        "openai_responses_reasoning",
        "anthropic_messages_thinking",
        "anthropic_messages_call",
        "vertex_stream_generate_content",
        "vertex_stream_thoughts",
        "bedrock_converse_stream",
    }
    errors = {name for name in files if "error" in name or name.endswith("failed")}
    assert files == set(STREAMS) | elsewhere | errors


def test_hidden_reasoning_is_not_divided_among_the_chunks_of_the_answer() -> None:
    """64 of the 75 tokens were thought, of which only a summary was sent: it says when, not how much."""
    reading = read_stream("openai_responses_reasoning")
    assert (reading.output_tokens, reading.reasoning_tokens) == (75, 64)
    assert sum(reading.chunk_tokens[4:]) == 11
    assert sum(reading.chunk_tokens[:4]) == 64
    assert reading.first_answer_ns == reading.arrivals_ns[4]
    assert reading.finish_reason == "max_output_tokens"


def test_thinking_is_counted_apart_and_cached_input_is_input() -> None:
    reading = read_stream("anthropic_messages_thinking")
    assert (reading.input_tokens, reading.output_tokens, reading.reasoning_tokens) == (170, 112, 90)
    assert sum(reading.chunk_tokens[:5]) == 90
    assert sum(reading.chunk_tokens[5:]) == 22


def test_the_name_and_the_arguments_of_a_call_are_made_of_tokens() -> None:
    reading = read_stream("anthropic_messages_call")
    assert reading.text == 'Okay, let\'s check the weather:get_weather{"location": "San Francisco, CA"}'
    assert reading.unaccounted_tokens is not None


def test_thoughts_are_output_that_vertex_counts_apart() -> None:
    reading = read_stream("vertex_stream_thoughts")
    assert (reading.input_tokens, reading.output_tokens, reading.reasoning_tokens) == (6, 47, 40)
    assert (reading.finish_reason, reading.fingerprint) == ("STOP", "gemini-2.5-flash")
    assert sum(reading.chunk_tokens[:2]) == 40
    assert sum(reading.chunk_tokens[2:]) == 7


def test_vertex_sends_several_tokens_in_a_chunk() -> None:
    reading = read_stream("vertex_stream_generate_content")
    assert (reading.output_tokens, sum(reading.chunk_tokens), reading.token_counts) == (14, 14, "apportioned")
    assert reading.arrivals_ns == [0, 1]


def test_bedrocks_input_includes_what_it_read_from_the_cache() -> None:
    reading = read_stream("bedrock_converse_stream")
    assert (reading.input_tokens, reading.output_tokens, reading.finish_reason) == (57, 20, "max_tokens")
    assert reading.text == "Here are three songs."


@pytest.mark.parametrize(("name", "api"), [("anthropic_messages", "messages"), ("tgi_generate_stream", "tgi")])
def test_an_end_marker_that_a_gateway_adds_is_no_fault(name: str, api: str) -> None:
    marker = b"data: [DONE]\n\n"
    reading = Reading()
    read(APIS[api], [*pieces_of(name), (1000, marker, len(marker))], reading)
    assert reading.done


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("anthropic_messages", b'data: {"detail": "boom"}\n\n'),
        ("openai_responses", b'data: {"code": 500, "message": "boom"}\n\n'),
        ("tgi_generate_stream", b'data: {"error_msg": "boom"}\n\n'),
        (
            "openai_responses",
            b'data: {"type": "response.completed", "response": {"status": "failed", "error": {"message": "boom"}}}\n\n',
        ),
    ],
)
def test_an_error_of_a_gateway_within_a_stream_of_types_is_told(name: str, event: bytes) -> None:
    *begun, end = pieces_of(name)
    with pytest.raises(StreamError) as raised:
        read(APIS[api_of(name)], [*begun, (1000, event, len(event)), end], Reading())
    assert raised.value.args == ("stream_error", "boom")
