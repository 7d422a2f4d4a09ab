"""The other chunks of an answer, stage by stage: before, between and after its text."""

from collections.abc import Callable
from functools import partial

from shapebench.test_servers.odd.asked import Asked, Json
from shapebench.test_servers.odd.events import CHOICE, CHUNK, DELTA, Event, choice, chunk, edit, with_delta
from shapebench.test_servers.odd.oddities import Oddities, Timing

# After the last token, in gaps between tokens.
_EMPTY, _FINISH, BEFORE_DONE, _DONE, AFTER_DONE = 0.1, 0.4, 0.6, 0.8, 1.0

_ROLE: Json = {"role": "assistant"}
_OPENINGS: dict[str, Json] = {
    "empty_content": _ROLE | {"content": ""},
    "no_content": _ROLE,
    "null_content": _ROLE | {"content": None},
    "every_chunk": _ROLE | {"content": ""},
}
_BESIDE_TEXTS = {"with_first_text": 1, "every_chunk": None}  # so many text chunks have the role, too; None: all

Stage = Callable[[Oddities, Asked, Timing, list[Event]], list[Event]]


def add_role(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Add the role of a chat, in a chunk of its own or beside texts."""
    if not asked.chat:
        return events
    most = _BESIDE_TEXTS.get(oddities.role_chunk, 0)
    spoken = [with_delta(event, **_ROLE) for event in events[:most]] + (events[most:] if most is not None else [])
    if (opening := _OPENINGS.get(oddities.role_chunk)) is None:
        return spoken
    return [Event(timing.role_s, "role", chunk(asked, [choice(asked, opening, oddities.choice_index)])), *spoken]


def add_empty_chunks(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Add text chunks without a text and without a token, before the first token and after each text."""

    def empty(at_s: float) -> Event:
        return Event(at_s, "empty", chunk(asked, [choice(asked, {"content": ""}, oddities.choice_index)]))

    count = oddities.leading_empty_chunks
    leading = [empty(timing.role_s / 2 * (at + 1) / (count + 1)) for at in range(count)]
    if not oddities.empty_chunks_between:
        return [*leading, *events]
    return [
        *leading,
        *(x for event in events for x in (event, *([empty(event.at_s + _EMPTY * timing.gap_s)] if event.text else []))),
    ]


def add_finish(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Add the finish reason."""
    return _FINISHES[oddities.finish](oddities, asked, timing, events)


def _finish_of_its_own(delta: Json, times: int = 1) -> Stage:
    def add(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
        indices = range(oddities.choice_index, oddities.choice_index + 1 + oddities.second_choice)
        chunks = [chunk(asked, [choice(asked, delta, index, oddities.finish_reason)]) for index in indices] * times
        return [*events, *(Event(after(timing, events, _FINISH), "finish", data) for data in chunks)]

    return add


def _finish_with_text(oddities: Oddities, _asked: Asked, _timing: Timing, events: list[Event]) -> list[Event]:
    last = [at for at, event in enumerate(events) if event.part == "text"][-1 - oddities.second_choice :]
    finished: Json = {"finish_reason": oddities.finish_reason}
    return [edit(event, lambda one: one | finished, CHOICE) if at in last else event for at, event in enumerate(events)]


_FINISHES: dict[str, Stage] = {
    "own_chunk": _finish_of_its_own({}),
    "with_empty_content": _finish_of_its_own({"content": ""}),
    "twice": _finish_of_its_own({}, times=2),
    "with_last_text": _finish_with_text,
    "missing": lambda _oddities, _asked, _timing, events: events,
}


def after(timing: Timing, events: list[Event], gaps: float) -> float:
    """Return the time that is so many gaps between tokens after the last text, or after the first would have come."""
    return max((event.at_s for event in events if event.part == "text"), default=timing.ttft_s) + gaps * timing.gap_s


def add_done(oddities: Oddities, _asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Add the `[DONE]`."""
    return events if oddities.no_done else [*events, Event(after(timing, events, _DONE), "done", "[DONE]")]


HEARTBEATS: dict[str, tuple[tuple[str, ...], Json | str | None]] = {
    "empty_data": (("data:",), None),
    "null": ((), "null"),
    "comment": ((": keep-alive",), None),
    "ping": (("event: ping",), {"type": "ping"}),
    "empty_object": ((), {}),
    "no_choices": ((), {"choices": []}),
    "event_only": (("event: heartbeat",), None),
    "blank_lines": (("", ""), None),
    "status_event": (("event: status",), {"status": "processing"}),
}


def add_heartbeats(oddities: Oddities, _asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Add heartbeats: each form before the first token, one form after each text."""
    if not (forms := oddities.heartbeats):
        return events

    def beat(at_s: float, at: int) -> Event:
        lines, data = HEARTBEATS[forms[at % len(forms)]]
        return Event(at_s, "heartbeat", data, lines)

    texts = [event for event in events if event.part == "text"]
    before = [beat(timing.role_s * (at + 1) / (len(forms) + 1), at) for at in range(len(forms))]
    between = [beat(event.at_s + timing.gap_s / 2, at) for at, event in enumerate(texts[:-1])]
    places = {"before": before, "between": between, "both": before + between}
    return [*events, *places[oddities.heartbeats_at]]


_LEVELS = {
    CHUNK: ("id", "object", "created", "model", "choices", "usage", "error", "system_fingerprint"),
    CHOICE: ("index", "delta", "finish_reason", "logprobs", "token_ids"),
    DELTA: ("content", "role", "tool_calls", "function_call", "reasoning", "reasoning_content", "refusal"),
}
LEVEL_OF = {key: level for level, keys in _LEVELS.items() for key in keys}
_UNNEEDED = ("id", "object", "created", "model", "index")
_CHUNKS = ("role", "text", "empty", "finish", "usage")


def empty_keys(oddities: Oddities, _asked: Asked, _timing: Timing, events: list[Event]) -> list[Event]:
    """Write null for keys, or leave them out, where they say nothing."""
    return [_emptied(oddities, event) if event.part in _CHUNKS else event for event in events]


def _emptied(oddities: Oddities, event: Event) -> Event:
    for key in oddities.nulls:
        event = edit(event, partial(_with_null, key, event.carries), LEVEL_OF[key])
    for key in oddities.missing:
        event = edit(event, partial(_without, key, event.carries), LEVEL_OF[key])
    return event


def _with_null(key: str, carries: bool, object_: Json) -> Json:
    return object_ | {key: None} if _free(key, carries, object_) else object_


def _without(key: str, carries: bool, object_: Json) -> Json:
    free = _free(key, carries, object_)
    return {name: value for name, value in object_.items() if not (free and name == key)}


def _free(key: str, carries: bool, object_: Json) -> bool:
    """Check whether the key says nothing there; an empty text that is a token says something."""
    value = object_.get(key)
    return key in _UNNEEDED or value is None or not (carries or _says_something(value))


def _says_something(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_says_something, value.values()))
    if isinstance(value, list):
        return any(map(_says_something, value))
    return bool(value) or isinstance(value, int | float)  # a count of 0 says something
