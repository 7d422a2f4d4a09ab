"""Answers that end in an error, in every form in which servers tell it."""

from collections.abc import Callable

import orjson

from shapebench.test_servers.odd.asked import Asked, Json
from shapebench.test_servers.odd.events import Event, choice, chunk
from shapebench.test_servers.odd.oddities import Oddities, Timing
from shapebench.test_servers.odd.stages import AFTER_DONE, BEFORE_DONE, add_done, after
from shapebench.test_servers.odd.usage import add_usage

MESSAGE = "the engine ran out of memory"
BROKEN_PARSER = "Unexpected token 200002 while expecting start token 200006"  # gpt-oss' format, whose end is ignored
_ERROR = 0.5  # after the last token, in gaps between tokens

Told = tuple[tuple[str, ...], Json | str | None]  # lines before the data, and the data


def _object(message: str) -> Json:
    return {"error": {"message": message, "type": "InternalServerError", "param": None, "code": 500}}


def _in_choice(asked: Asked, message: str) -> Told:
    error = {"code": 502, "message": message}
    return (), chunk(asked, [choice(asked, {"content": ""}, 0, "error") | {"error": error}])


FORMS: dict[str, Callable[[Asked, str], Told]] = {
    "object": lambda _, message: ((), _object(message)),
    "string": lambda _, message: ((), {"error": message}),
    "flat": lambda _, message: ((), {"object": "error", "message": message, "type": "server_error", "code": 500}),
    "named_event": lambda _, message: (("event: error",), {"message": message}),
    "named_text": lambda _, message: (("event: error",), message),
    "detail": lambda _, message: ((), {"detail": message}),
    "code_message": lambda _, message: ((), {"code": "InternalServerError", "message": message}),
    "error_list": lambda _, message: ((), {"errors": [{"message": message}]}),
    "in_choice": _in_choice,
    "finish_reason": lambda asked, _: ((), chunk(asked, [choice(asked, {}, 0, "error")])),
    "without_data": lambda _, message: ((orjson.dumps(_object(message)).decode(),), None),
}
WITHOUT_EVENT = ("cut", "early_end", "json_body")


def form_of(oddities: Oddities, asked: Asked) -> str:
    """Name the form in which the answer fails; empty if it does not."""
    if oddities.ignore_eos_breaks and asked.ignore_eos:
        return "object"
    return "" if oddities.error == "none" else oddities.error


def message_of(oddities: Oddities) -> str:
    return BROKEN_PARSER if oddities.ignore_eos_breaks else MESSAGE


def json_body(oddities: Oddities) -> Json:
    """Write the error that stands for a whole answer."""
    return _object(message_of(oddities))


def fail(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    """Let the answer end in an error after so many tokens."""
    kept = _first(events, oddities.error_after_tokens)
    form = form_of(oddities, asked)
    if form in WITHOUT_EVENT:
        return kept
    lines, data = FORMS[form](asked, message_of(oddities))
    told = Event(after(timing, kept, _ERROR), "error", data, lines)
    return _TAILS[oddities.after_error](oddities, asked, timing, [*kept, told])


def _first(events: list[Event], tokens: int) -> list[Event]:
    """Keep the events before the token after so many."""
    kept, so_far = list[Event](), 0
    for event in events:
        if event.carries and so_far >= tokens:
            break
        so_far += event.completes
        kept.append(event)
    return kept


def _usage_and_done(oddities: Oddities, asked: Asked, timing: Timing, events: list[Event]) -> list[Event]:
    end_s = after(timing, events, BEFORE_DONE), after(timing, events, AFTER_DONE)
    return add_done(oddities, asked, timing, add_usage(oddities, asked, events, end_s))


_TAILS: dict[str, Callable[[Oddities, Asked, Timing, list[Event]], list[Event]]] = {
    "nothing": lambda _oddities, _asked, _timing, events: events,
    "done": add_done,
    "usage_and_done": _usage_and_done,
}
