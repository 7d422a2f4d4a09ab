"""A request for tokens, as it was asked."""

from dataclasses import dataclass

import orjson

from shapebench.test_servers.reference.answers import MalformedRequestError

Json = dict[str, object]

MODEL = "m"
HALF = "é"  # two tokens: the first has no text
_MAX_TOKENS = 100_000
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True)
class Asked:
    """The part of a request on which the answer depends."""

    number: int = 1
    chat: bool = True
    model: str = MODEL
    prompt_tokens: int = 10
    output_tokens: int = 20
    stream: bool = True
    with_usage: bool = True
    may_think: bool = True
    ignore_eos: bool = False


def parse(body: bytes, number: int, *, chat: bool) -> tuple[Asked, Json]:
    """Read a request, and its JSON; raises MalformedRequestError."""
    try:
        content = orjson.loads(body)
        return _parse(content, number, chat=chat), content
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedRequestError(f"{type(error).__name__}: {error}") from None


def _parse(content: Json, number: int, *, chat: bool) -> Asked:
    tokens = next((content[name] for name in _LIMITS if content.get(name) is not None), Asked.output_tokens)
    if not isinstance(tokens, int) or not 1 <= tokens <= _MAX_TOKENS:
        raise MalformedRequestError(f"max_tokens must be between 1 and {_MAX_TOKENS}, got {tokens}.")
    return Asked(
        number=number,
        chat=chat,
        model=str(content.get("model", MODEL)),
        prompt_tokens=count_tokens(content["messages" if chat else "prompt"]),
        output_tokens=tokens,
        stream=bool(content.get("stream")),
        with_usage=bool(_object(content.get("stream_options")).get("include_usage")),
        may_think=_object(content.get("chat_template_kwargs")).get("enable_thinking") is not False,
        ignore_eos=bool(content.get("ignore_eos")),
    )


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def count_tokens(prompt: object) -> int:
    """Count the tokens of a text, a list of token ids, or messages: each word is one, and one with HALF two."""
    if isinstance(prompt, str):
        return len(prompt.split()) + prompt.count(HALF)
    if isinstance(prompt, list):
        return sum(map(count_tokens, prompt))
    if isinstance(prompt, dict):
        return count_tokens(prompt.get("content") or prompt.get("text") or "")
    return int(isinstance(prompt, int))
