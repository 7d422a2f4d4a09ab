"""Text chunks: which tokens each carries, when it comes, and which field its text stands in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from shapebench.test_servers.odd.asked import HALF, Asked, Json
from shapebench.test_servers.odd.events import Event, choice, chunk
from shapebench.test_servers.odd.oddities import Oddities, Timing

WORDS = {
    "plain": (" tick",),
    "varied": (" a", " word", " of", " very", " different", " incomprehensibilities", " I", " say"),
    "escaped": (' "quoted"', " back\\slash", ' {"usage":{"completion_tokens":7}}', " \U0001f600", " data:", " [DONE]"),
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer."""

    at_s: float
    text: str
    reasoning: bool


def tokens(oddities: Oddities, asked: Asked, timing: Timing) -> list[Token]:
    """Make the tokens of an answer."""
    count = min(asked.output_tokens, oddities.stops_after_tokens or asked.output_tokens)
    reasoned = count // 2 if reasoning_field(oddities, asked) else 0
    return [Token(timing.token_s(at), _text(oddities, at, count), at < reasoned) for at in range(count)]


def reasoning_field(oddities: Oddities, asked: Asked) -> str:
    """Name the field of reasoning; empty where nothing is reasoned."""
    field = "reasoning_content" if oddities.thinks_unless_disabled else oddities.reasoning
    thinks = asked.chat and field != "none" and (asked.may_think or not oddities.thinks_unless_disabled)
    return field * thinks


def _text(oddities: Oddities, at: int, count: int) -> str:
    if oddities.half_characters:
        return f" {HALF}" if at % 2 else "" if at + 1 < count else WORDS["plain"][0]
    words = WORDS[oddities.texts]
    return words[at % len(words)]


def text_events(oddities: Oddities, asked: Asked, timing: Timing) -> list[Event]:
    """Make the text chunks of an answer; tokens that are not sent count with the first that is."""
    made, events = tokens(oddities, asked, timing), list[Event]()
    reasoning_in, answer_in = reasoning_field(oddities, asked), "tool_calls" * _calls(oddities, asked) or "content"
    hidden = sum(token.reasoning for token in made) if reasoning_in == "hidden" else 0
    for reasoning, same in groupby(made[hidden:], key=lambda token: token.reasoning):
        for at, piece in enumerate(_pieces(oddities, timing, list(same))):
            delta = DELTAS[reasoning_in if reasoning else answer_in](piece.text, at == 0)
            for index in range(oddities.choice_index, oddities.choice_index + 1 + oddities.second_choice):
                data = chunk(asked, [choice(asked, delta, index)])
                events.append(_event(piece, data, reasoning=reasoning))
    first = [
        replace(event, completes=event.completes + hidden, hidden=hidden)
        for event in events[: 1 + oddities.second_choice]
    ]
    return first + events[len(first) :]


def _event(piece: "_Piece", data: Json, *, reasoning: bool) -> Event:
    completes, text = piece.completes, piece.text
    return Event(piece.at_s, "text", data, completes=completes, carries=True, text=text, reasoning=reasoning)


def _calls(oddities: Oddities, asked: Asked) -> bool:
    return oddities.tool_calls and asked.chat


@dataclass(frozen=True, slots=True)
class _Piece:
    """The text of one chunk."""

    at_s: float
    text: str
    completes: int


def _pieces(oddities: Oddities, timing: Timing, some: list[Token]) -> Iterator[_Piece]:
    if oddities.chunk_per_character:
        return (piece for token in some for piece in _characters(timing, token))
    alone = some[: oddities.first_token_alone]
    rest, most = some[len(alone) :], oddities.tokens_per_chunk
    groups = (rest[at : at + most] for at in range(0, len(rest), most))
    return (_joined(group) for group in (*([token] for token in alone), *groups))


def _characters(timing: Timing, token: Token) -> Iterator[_Piece]:
    parts = [*token.text] or [""]
    for at, part in enumerate(parts):
        yield _Piece(token.at_s + timing.gap_s * at / len(parts), part, int(at == len(parts) - 1))


def _joined(group: list[Token]) -> _Piece:
    return _Piece(group[-1].at_s, "".join(token.text for token in group), len(group))


def _details(text: str) -> Json:
    return {"reasoning_details": [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]}


def _tool_call(text: str, first: bool) -> Json:
    if not first:
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
    function = {"name": text, "arguments": ""}
    return {"tool_calls": [{"index": 0, "id": "call-1", "type": "function", "function": function}]}


DELTAS: dict[str, Callable[[str, bool], Json]] = {
    "content": lambda text, _: {"content": text},
    "reasoning_content": lambda text, _: {"reasoning_content": text},
    "reasoning": lambda text, _: {"reasoning": text},
    "both": lambda text, _: {"reasoning": text, "reasoning_content": text},
    "reasoning_details": lambda text, _: _details(text),
    "details_and_text": lambda text, _: {"reasoning": text} | _details(text),
    "tool_calls": _tool_call,
}
