"""Answers of random words, in vLLM's format."""

import random
import zlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import orjson

from shapebench.test_servers.simulator.presets import Preset
from shapebench.test_servers.simulator.requests import GenerationBody
from shapebench.test_servers.simulator.tokenizer import EOS, Piece, pieces, token_id, token_ids
from shapebench.test_servers.vllm_format import DONE, NULL, VERSION, AnswerFormat, usage

_NATURAL_TOKENS = 512  # an answer whose length is not set ends by itself before it gets longer than this
# Short words, each one token.
_WORDS = [
    str(piece)
    for piece in pieces(
        " the of and to in is that it was for on are as with his they at be this from have or by one had not but what"
        " all were when we can said use an each she do how if will up out many then them so some her like him into has"
        " two more go see no way my than who its now did get come made may part over new take only work know year live"
        " me back give most very just good name say help line turn much mean same tell set want air well also play end"
        " put home read hand port even land here must big high such act why ask men went kind off need try us"
    )
]


class Output(NamedTuple):
    """The tokens of an answer, and why it ends after them."""

    tokens: list[str]
    finish_reason: str


def draw(body: GenerationBody, limit: int, preset: Preset) -> Output:
    """Draw an answer of at most `limit` tokens; of exactly that many if the request fixes the length."""
    if body.ignore_eos or body.min_tokens == limit:
        return Output(_words(limit, preset.empty_text_share), "length")
    least = max(body.min_tokens, 1)
    count = random.randint(least, max(min(limit, _NATURAL_TOKENS), least))
    words = _words(count, preset.empty_text_share)
    return Output(words, "length") if count == limit else Output([*words[:-1], EOS], "stop")


def _words(count: int, empty_text_share: float) -> list[str]:
    start = random.randrange(len(_WORDS))
    words = [_WORDS[index % len(_WORDS)] for index in range(start, start + count)]
    if empty_text_share:
        return ["" if random.random() < empty_text_share else word for word in words]
    return words


@cache
def fingerprint(preset: Preset) -> str:
    """Name the server's configuration, as vLLM's system_fingerprint does."""
    return f"vllm-{VERSION}-{zlib.crc32(repr(preset).encode()):08x}"


def text_of(token: str) -> str:
    """Decode a token; the one that ends an answer has no text."""
    return "" if token == EOS else token


@cache
def _json_text(token: str) -> str:
    return orjson.dumps(text_of(token)).decode()


class Answer:
    """A complete answer, generated in advance; the engine determines when each token is sent."""

    def __init__(self, format_: AnswerFormat, body: GenerationBody, prompt: Sequence[Piece], output: Output) -> None:
        self._format, self._body = format_, body
        self.id, self.prompt = format_.id, prompt
        self.tokens, self.finish_reason = output
        self._prompt_tokens = len(prompt)

    def chunks(self, start: int, end: int) -> bytes:
        """Write the events of tokens `start` to `end`; a chat's opening event is sent with its first token."""
        return (self._opening(start) + "".join([self._chunk(index) for index in range(start, end)])).encode()

    def closing(self) -> bytes:
        """Write the events after the last token."""
        usage_event = self._format.usage_event(self._usage(len(self.tokens))) if self._body.usage_at_end else ""
        return (usage_event + DONE).encode()

    def whole(self) -> bytes:
        """Write the answer as one JSON object."""
        return self._format.whole(
            "".join(map(text_of, self.tokens)),
            self.finish_reason,
            usage(self._prompt_tokens, self._output_tokens(len(self.tokens))),
            self._ids(self.tokens),
            self._ids(self.prompt),
        )

    def _opening(self, start: int) -> str:
        return "" if start else self._format.opening(self._ids_json(self.prompt), self._running_usage(0))

    def _chunk(self, index: int) -> str:
        return self._format.token(
            self._text_json(index),
            self.finish_reason if index == len(self.tokens) - 1 else "",
            self._id_json(index),
            NULL if index else self._ids_json(self.prompt),
            self._running_usage(index + 1),
        )

    def _ids(self, tokens: Sequence[Piece]) -> list[int] | None:
        return token_ids(tokens) if self._body.return_token_ids else None

    def _ids_json(self, tokens: Sequence[Piece]) -> str:
        return orjson.dumps(self._ids(tokens)).decode()

    def _text_json(self, index: int) -> str:
        return _json_text(self.tokens[index])

    def _id_json(self, index: int) -> str:
        return f"[{token_id(self.tokens[index])}]" if self._body.return_token_ids else NULL

    def _output_tokens(self, generated: int) -> int:
        """Count the tokens that the usage states."""
        return generated

    def _usage(self, generated: int) -> str:
        return orjson.dumps(usage(self._prompt_tokens, self._output_tokens(generated))).decode()

    def _running_usage(self, generated: int) -> str:
        if not self._body.usage_in_chunks:
            return ""
        counts = usage(self._prompt_tokens, self._output_tokens(generated))
        return orjson.dumps(counts | {"completion_tokens_details": None}).decode()
