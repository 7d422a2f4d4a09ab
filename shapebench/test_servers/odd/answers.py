"""Answers to requests for tokens, written without a clock: what is sent when, and what it carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from shapebench.test_servers.odd import errors, stages, texts
from shapebench.test_servers.odd.asked import Asked, Json
from shapebench.test_servers.odd.events import Event, choice, whole
from shapebench.test_servers.odd.oddities import Oddities, Timing
from shapebench.test_servers.odd.segments import as_pieces
from shapebench.test_servers.odd.usage import add_usage, usage

JSON, EVENTS = "application/json", "text/event-stream"

Time = TypeVar("Time", int, float)  # ns or s


@dataclass(frozen=True)
class Written:
    """An answer: each piece with its time (s after the request), and the events with tokens that end in each."""

    pieces: list[tuple[float, bytes]]
    carriers: list[tuple[int, Event]]  # index of the piece, and the event
    error: str | None = None  # what the client is told, or would have been
    cut: bool = False  # the connection is closed in the middle
    content_type: str = EVENTS

    @property
    def at_s(self) -> list[float]:
        return [at_s for at_s, _ in self.pieces]

    @property
    def output_tokens(self) -> int:
        return sum(event.completes for _, event in self.carriers)

    @property
    def reasoning_tokens(self) -> int:
        return sum(event.reasoning_tokens for _, event in self.carriers)


@dataclass(frozen=True)
class TokenTimes(Generic[Time]):
    """Times, on the clock of the sends: when the text of each token was complete, when the first of a kind came."""

    tokens: list[Time]
    first_token: Time | None  # a chunk with a token, or with a part of one
    first_text: Time | None  # a chunk with text
    first_answer: Time | None  # a chunk with a token that is no reasoning


def token_times(written: Written, sent: Sequence[Time]) -> TokenTimes[Time]:
    """Find the times of tokens from those at which pieces were sent, of which there may be fewer than planned."""
    came = [(sent[at], event) for at, event in written.carriers if at < len(sent)]
    return TokenTimes(
        [at for at, event in came for _ in range(event.completes)],
        next((at for at, _ in came), None),
        next((at for at, event in came if event.text), None),
        next((at for at, event in came if not event.reasoning), None),
    )


def write(oddities: Oddities, asked: Asked, timing: Timing) -> Written:
    """Write the answer to a request."""
    form = errors.form_of(oddities, asked)
    error = errors.message_of(oddities) if form else None
    if form == "json_body" or (form and not asked.stream):
        body = orjson.dumps(errors.json_body(oddities))
        return Written([(timing.ttft_s, body)], [], error, content_type=JSON)
    if not asked.stream:
        return _whole(oddities, asked, timing)
    pieces = as_pieces(oddities, events(oddities, asked, timing))
    carriers = [(at, event) for at, piece in enumerate(pieces) for event in piece.ends if event.carries]
    return Written([(piece.at_s, piece.data) for piece in pieces], carriers, error, cut=form == "cut")


def events(oddities: Oddities, asked: Asked, timing: Timing) -> list[Event]:
    """Write the events of a streamed answer, in the order in which they come."""
    made = texts.text_events(oddities, asked, timing)
    made = stages.add_role(oddities, asked, timing, made)
    made = stages.add_empty_chunks(oddities, asked, timing, made)
    end = errors.fail if errors.form_of(oddities, asked) else _end
    made = end(oddities, asked, timing, made)
    made = stages.add_heartbeats(oddities, asked, timing, made)
    made = stages.empty_keys(oddities, asked, timing, made)
    return sorted(made, key=lambda event: event.at_s)


def _end(oddities: Oddities, asked: Asked, timing: Timing, made: list[Event]) -> list[Event]:
    finished = stages.add_finish(oddities, asked, timing, made)
    end_s = stages.after(timing, made, stages.BEFORE_DONE), stages.after(timing, made, stages.AFTER_DONE)
    return stages.add_done(oddities, asked, timing, add_usage(oddities, asked, finished, end_s))


def _whole(oddities: Oddities, asked: Asked, timing: Timing) -> Written:
    made = texts.text_events(oddities, asked, timing)
    reasoned = sum(event.reasoning_tokens for event in made)
    said = usage(oddities, asked, sum(event.completes for event in made), reasoned)
    answer: Json = {"content": "".join(event.text for event in made if not event.reasoning), "role": "assistant"}
    if (field := texts.reasoning_field(oddities, asked)) in texts.DELTAS:
        answer |= texts.DELTAS[field]("".join(event.text for event in made if event.reasoning), True)
    one = choice(asked, answer, oddities.choice_index, oddities.finish_reason)
    if asked.chat:
        one["message"] = one.pop("delta")
    body = orjson.dumps(whole(asked, one, said))
    return Written([(made[-1].at_s, body)], [(0, event) for event in made], content_type=JSON)
