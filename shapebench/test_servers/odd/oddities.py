"""Differences between servers, each a switch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from shapebench.errors import ShapebenchError

Texts = Literal["plain", "varied", "escaped"]
RoleChunk = Literal["empty_content", "no_content", "null_content", "none", "with_first_text", "every_chunk"]
ReasoningField = Literal[
    "none", "reasoning_content", "reasoning", "both", "reasoning_details", "details_and_text", "hidden"
]
Finish = Literal["own_chunk", "with_last_text", "with_empty_content", "twice", "missing"]
UsageInChunks = Literal["none", "zero", "running", "lagging", "every_other", "final"]
UsagePlace = Literal["own_chunk", "with_empty_choice", "finish_chunk", "last_text", "after_done", "twice", "nowhere"]
UsageValues = Literal[
    "true",
    "zero",
    "no_prompt_tokens",
    "null_completion_tokens",
    "no_completion_tokens",
    "with_cached",
    "without_cached",
    "anthropic",
    "without_reasoning",
    "as_text",
    "as_floats",
]
ReasoningCount = Literal["true", "missing", "zero"]
Key = Literal[
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "error",
    "system_fingerprint",
    "index",
    "delta",
    "finish_reason",
    "logprobs",
    "token_ids",
    "content",
    "role",
    "tool_calls",
    "function_call",
    "reasoning",
    "reasoning_content",
    "refusal",
]
Heartbeat = Literal[
    "empty_data",
    "null",
    "comment",
    "ping",
    "empty_object",
    "no_choices",
    "event_only",
    "blank_lines",
    "status_event",
]
HeartbeatPlace = Literal["before", "between", "both"]
LineEnd = Literal["lf", "crlf", "cr"]
Json = Literal["compact", "spaced", "several_lines"]
Segments = Literal["one_event", "cut_anywhere", "three_events", "whole_answer"]
ErrorForm = Literal[
    "none",
    "object",
    "string",
    "flat",
    "named_event",
    "named_text",
    "detail",
    "code_message",
    "error_list",
    "in_choice",
    "finish_reason",
    "without_data",
    "cut",
    "early_end",
    "json_body",
]
AfterError = Literal["nothing", "done", "usage_and_done"]
Refusable = Literal[
    "stream_options",
    "temperature_0",
    "max_tokens",
    "max_completion_tokens",
    "ignore_eos",
    "min_tokens",
    "chat_template_kwargs",
    "seed",
]
RefusalForm = Literal["openai", "fastapi", "mistral", "tgi", "oci", "text"]
RetryAfter = Literal["seconds", "date", "milliseconds", "none"]
Models = Literal["list", "bare_array", "empty", "404", "500"]


@dataclass(frozen=True)
class Timing:
    """Times of the parts of an answer, in seconds after the request was received."""

    role_s: Annotated[float, "when the chunk with the role comes"] = 0.03
    ttft_s: Annotated[float, "when the first token comes"] = 0.035
    gap_s: Annotated[float, "from each token to the next"] = 0.005

    def token_s(self, index: int) -> float:
        return self.ttft_s + index * self.gap_s


@dataclass(frozen=True)
class Oddities:
    """Everything in which a server differs from the usual one, which has none of it.

    The usual server sends a chunk with the role, a chunk for each token, a chunk with the finish reason, a chunk with
    the usage where it was asked for, and `[DONE]`.
    """

    # Which chunks carry which tokens
    tokens_per_chunk: Annotated[int, "tokens in each text chunk, which comes with the last of them"] = 1
    first_token_alone: Annotated[bool, "the first token has a chunk of its own (vLLM's --stream-interval)"] = False
    chunk_per_character: Annotated[bool, "a chunk for each character, spread until the next token"] = False
    half_characters: Annotated[bool, "every other token is half a character: its text is empty"] = False
    texts: Annotated[Texts, "words of equal length, of different lengths, or with quotes, escapes and emojis"] = "plain"
    leading_empty_chunks: Annotated[int, "text chunks with empty text, before prefill ends"] = 0
    empty_chunks_between: Annotated[bool, "a text chunk with empty text follows each text chunk"] = False
    stops_after_tokens: Annotated[int, "most tokens that the model makes, whatever is asked; 0: as asked"] = 0

    # What the text stands in
    role_chunk: Annotated[RoleChunk, "where the role stands, and with what beside it"] = "empty_content"
    reasoning: Annotated[
        ReasoningField, "the field of the first half of the tokens, which is reasoning; hidden: it is not sent"
    ] = "none"
    thinks_unless_disabled: Annotated[
        bool, "reasons, in reasoning_content, unless chat_template_kwargs.enable_thinking is false"
    ] = False
    tool_calls: Annotated[bool, "the answer is a tool call"] = False
    choice_index: Annotated[int, "index of the choice"] = 0
    second_choice: Annotated[bool, "there are two choices, each in chunks of its own; usage counts both"] = False

    # How the answer ends
    finish: Annotated[Finish, "where the finish reason stands"] = "own_chunk"
    finish_reason: Annotated[str, "the finish reason"] = "length"
    no_done: Annotated[bool, "no [DONE]"] = False

    # Usage
    usage_in_chunks: Annotated[UsageInChunks, "completion_tokens in each text chunk"] = "none"
    usage_place: Annotated[UsagePlace, "where the final usage stands"] = "own_chunk"
    usage_unasked: Annotated[bool, "sends usage without stream_options"] = False
    usage_values: Annotated[UsageValues, "what usage says"] = "true"
    reasoning_count: Annotated[ReasoningCount, "how many tokens are reasoning, by usage"] = "true"

    # Nothing where something is expected
    nulls: Annotated[tuple[Key, ...], "null for each of these keys, where it says nothing"] = ()
    missing: Annotated[tuple[Key, ...], "leaves out each of these keys, where it says nothing"] = ()

    # Server-sent events
    heartbeats: Annotated[tuple[Heartbeat, ...], "events that only keep the connection alive"] = ()
    heartbeats_at: Annotated[HeartbeatPlace, "before the first token, between tokens, or both"] = "both"
    line_end: Annotated[LineEnd, "line end of events"] = "lf"
    no_space: Annotated[bool, "no space after data:"] = False
    event_fields: Annotated[bool, "each event has `event: message` and an `id:`"] = False
    json: Annotated[Json, "how JSON is written"] = "compact"
    no_last_blank_line: Annotated[bool, "the last event is not ended by a blank line"] = False
    segments: Annotated[Segments, "what is sent at once"] = "one_event"

    # Errors
    error: Annotated[ErrorForm, "how an error in the middle of an answer is told"] = "none"
    error_after_tokens: Annotated[int, "tokens before the error"] = 5
    after_error: Annotated[AfterError, "what follows an error event"] = "nothing"
    ignore_eos_breaks: Annotated[bool, "with ignore_eos the answer ends in an error (gpt-oss in vLLM)"] = False

    # Requests that are refused
    limited_requests: Annotated[int, "first requests for tokens, which are refused for their rate"] = 0
    limit_status: Annotated[Literal[429, 503], "status of these refusals"] = 429
    retry_after: Annotated[RetryAfter, "form of the time after which to retry"] = "seconds"
    retry_after_s: Annotated[float, "that time"] = 1.0
    refuses: Annotated[tuple[Refusable, ...], "fields that are refused"] = ()
    refusal_form: Annotated[RefusalForm, "form of these refusals; fastapi and mistral name all at once"] = "openai"
    refusal_status: Annotated[Literal[400, 422], "status of these refusals"] = 400

    # Routes
    models: Annotated[Models, "what /v1/models answers"] = "list"
    owned_by: Annotated[str, "owner in /v1/models"] = "someone"
    health_status: Annotated[Literal[200, 404, 500], "what /health answers"] = 200
    tokenize: Annotated[bool, "has vLLM's /tokenize"] = False
    base_path: Annotated[str, "what stands for /v1"] = "/v1"
    required_query: Annotated[str, "parameter without which the API is not found, such as api-version"] = ""
    required_header: Annotated[str, "header without which requests are refused, such as opc-compartment-id"] = ""
    api_key: Annotated[str, "key without which requests are refused"] = ""
    key_header: Annotated[str, "header of the key, in place of a bearer token, such as api-key"] = ""

    def __post_init__(self) -> None:
        lowest = {"tokens_per_chunk": 1, "leading_empty_chunks": 0, "stops_after_tokens": 0, "choice_index": 0}
        lowest |= {"error_after_tokens": 0, "limited_requests": 0, "retry_after_s": 0}
        if wrong := [f"{name} is {getattr(self, name)}" for name, low in lowest.items() if getattr(self, name) < low]:
            raise ShapebenchError(
                f"The odd server cannot do that: {', '.join(wrong)}.",
                "Numbers are 0 or more, and a chunk has at least one token.",
            )


USUAL = Oddities()
