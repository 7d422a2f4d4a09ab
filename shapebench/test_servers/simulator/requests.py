"""Requests that clients may send, and vLLM's errors for unsupported ones."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from shapebench.test_servers.simulator.presets import Preset
from shapebench.test_servers.simulator.tokenizer import BOS, Piece, chat_pieces, pieces
from shapebench.test_servers.vllm_format import Json, error


class RequestRejectedError(Exception):
    """An answer other than 200; `content` is its JSON body."""

    def __init__(self, status: int, content: Json, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, content)
        self.status, self.content, self.headers = status, content, headers


class StreamOptions(BaseModel):
    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


class GenerationBody(BaseModel):
    """The fields that the two generating routes share; other fields are accepted and have no effect."""

    model: str | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    temperature: float | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = None

    def tokens(self, preset: Preset) -> list[Piece]:
        raise NotImplementedError

    def limit(self, room: int) -> int:
        """Return the limit of the answer's tokens, where `room` is what the context leaves."""
        return max(room, 1) if self.max_tokens is None else self.max_tokens

    @property
    def usage_at_end(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def usage_in_chunks(self) -> bool:
        return self.usage_at_end and bool(self.stream_options and self.stream_options.continuous_usage_stats)


class CompletionBody(GenerationBody):
    prompt: str | list[int] | list[str] | list[list[int]]
    add_special_tokens: bool = True

    def tokens(self, preset: Preset) -> list[Piece]:
        return prompt_pieces(self.prompt, preset.adds_bos and self.add_special_tokens)

    def limit(self, room: int) -> int:
        return max(min(room, 16), 1) if self.max_tokens is None else self.max_tokens


class ChatBody(GenerationBody):
    messages: list[Json]
    max_completion_tokens: int | None = None
    add_generation_prompt: bool = True

    def tokens(self, preset: Preset) -> list[Piece]:  # noqa: ARG002 - the template holds the special tokens
        return chat_pieces(self.messages, self.add_generation_prompt)

    def limit(self, room: int) -> int:
        return super().limit(room) if self.max_completion_tokens is None else self.max_completion_tokens


class Tokenize(BaseModel):
    model: str | None = None
    prompt: str | None = None
    messages: list[Json] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True
    return_token_strs: bool | None = False

    def tokens(self, preset: Preset) -> list[Piece]:
        if self.messages is not None:
            return chat_pieces(self.messages, self.add_generation_prompt)
        if self.prompt is None:
            raise _invalid([_plain("missing", ("prompt",), "Field required", {})], "body.prompt")
        return prompt_pieces(self.prompt, preset.adds_bos and self.add_special_tokens)


Prompt = str | list[int] | list[str] | list[list[int]]


def prompt_pieces(prompt: Prompt, with_bos: bool) -> list[Piece]:
    """Tokenize one prompt: a text, token ids, or a list of one of those."""
    if isinstance(prompt, str):
        return [BOS] * with_bos + pieces(prompt)
    ids = [token for token in prompt if isinstance(token, int)]
    if len(ids) == len(prompt):
        return [*ids]
    if len(prompt) > 1:
        raise bad_request("The simulator takes one prompt in a request.", "prompt")
    (only,) = prompt
    assert not isinstance(only, int)
    return prompt_pieces(only, with_bos)


Form = TypeVar("Form", bound=BaseModel)


def parse(form: type[Form], content_type: str, body: bytes) -> Form:
    """Parse a body; raises RequestRejectedError in the words of vLLM."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise _invalid(["Unsupported Media Type: Only 'application/json' is allowed"], None)
    try:
        return form.model_validate(_json(body))
    except ValidationError as problems:
        wrong = [_plain(e["type"], e["loc"], e["msg"], e["input"]) for e in problems.errors()]
        raise _invalid(wrong, str(wrong[0]["loc"])) from None


def check_model(model: str | None, preset: Preset) -> None:
    if model not in (None, preset.model):
        message = f"The model `{model}` does not exist. Valid aliases: {preset.model}."
        raise RequestRejectedError(404, error(message, "NotFoundError", "model", 404))


def check(body: GenerationBody, prompt_tokens: int, preset: Preset) -> int:
    """Return the limit of the answer's tokens; raises RequestRejectedError where vLLM would."""
    limit = body.limit(preset.max_model_len - prompt_tokens)
    for problem in _problems(body, prompt_tokens, limit, preset.max_model_len):
        if problem.wrong:
            raise bad_request(problem.message, problem.field, problem.value)
    return limit


class _Problem(NamedTuple):
    wrong: bool
    message: str
    field: str | None = None
    value: float | None = None


def _problems(body: GenerationBody, prompt_tokens: int, limit: int, room: int) -> Iterator[_Problem]:
    yield _Problem(
        body.stream_options is not None and not body.stream,
        "Stream options can only be defined when `stream=True`.",
        "stream_options",
    )
    yield _Problem(prompt_tokens == 0, "The decoder prompt cannot be empty", "prompt")
    yield _Problem((body.n or 1) > 1, "The simulator gives one answer to a request: n must be 1.", "n", body.n)
    yield from _length_problems(prompt_tokens, limit, room)
    yield from _sampling_problems(body, limit)


def _length_problems(prompt_tokens: int, limit: int, room: int) -> Iterator[_Problem]:
    yield _Problem(
        limit > room,
        f"max_tokens={limit} cannot be greater than max_model_len={room}. Please request fewer output tokens.",
        "max_tokens",
        limit,
    )
    yield _Problem(
        prompt_tokens > room,
        f"This model's maximum context length is {room} tokens. However, your prompt contains at least {room + 1} "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        "prompt.",
        "input_tokens",
        room + 1,
    )
    least = room - limit + 1  # vLLM stops counting here
    yield _Problem(
        prompt_tokens + limit > room,
        f"This model's maximum context length is {room} tokens. However, you requested {limit} output tokens and your "
        f"prompt contains at least {least} input tokens, for a total of at least {room + 1} tokens. Please reduce the "
        "length of the input prompt or the number of requested output tokens.",
        "input_tokens",
        least,
    )


def _sampling_problems(body: GenerationBody, limit: int) -> Iterator[_Problem]:
    temperature, least = body.temperature, body.min_tokens
    yield _Problem(
        temperature is not None and temperature < 0,
        f"temperature must be non-negative, got {temperature}.",
        "temperature",
        temperature,
    )
    yield _Problem(limit < 1, f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit)
    yield _Problem(least < 0, f"min_tokens must be greater than or equal to 0, got {least}.")
    yield _Problem(least > limit, f"min_tokens must be less than or equal to max_tokens={limit}, got {least}.")


def bad_request(message: str, field: str | None = None, value: float | None = None) -> RequestRejectedError:
    detail = "" if value is None else f" (parameter={field}, value={value})"
    return RequestRejectedError(400, error(message + detail, "BadRequestError", field, 400))


def overloaded() -> RequestRejectedError:
    message = "The server is overloaded. Please try again later."
    return RequestRejectedError(503, error(message, "ServiceUnavailableError", None, 503))


def _invalid(wrong: Sequence[object], field: str | None) -> RequestRejectedError:
    many = "s" if len(wrong) > 1 else ""
    lines = "".join(f"\n  {one}" for one in wrong)
    return RequestRejectedError(400, error(f"{len(wrong)} validation error{many}:{lines}", "Bad Request", field, 400))


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except json.JSONDecodeError as problem:
        wrong = _plain("json_invalid", (problem.pos,), "JSON decode error", {}) | {"ctx": {"error": problem.msg}}
        raise _invalid([wrong], wrong["loc"]) from None
    except UnicodeDecodeError:
        raise RequestRejectedError(400, {"detail": "There was an error parsing the body"}) from None


def _plain(kind: str, where: Sequence[int | str], message: str, given: object) -> Json:
    shown = f"<dict of {len(given)} items>" if isinstance(given, dict) else given
    return {"type": kind, "loc": ".".join(map(str, ("body", *where))), "msg": message, "input": shown}
