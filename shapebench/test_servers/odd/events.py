"""Events of a streamed answer, before they are bytes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from shapebench.test_servers.odd.asked import Asked, Json

Part = Literal["role", "text", "empty", "finish", "usage", "done", "heartbeat", "error"]

_CREATED_S = 1_800_000_000
_NAMES = {True: ("chatcmpl", "chat.completion"), False: ("cmpl", "text_completion")}


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event, and what the client gets with it."""

    at_s: float
    part: Part
    data: Json | str | None = None
    lines: tuple[str, ...] = ()  # before the data
    completes: int = 0  # so many tokens are complete with it
    hidden: int = 0  # of these, reasoning that is not sent
    carries: bool = False  # a token, or a part of one
    text: str = ""
    reasoning: bool = False

    @property
    def reasoning_tokens(self) -> int:
        return self.completes if self.reasoning else self.hidden


def answer_id(asked: Asked) -> str:
    return f"{_NAMES[asked.chat][0]}-{asked.number:08x}"


def chunk(asked: Asked, choices: list[Json], **more: object) -> Json:
    """Write the JSON of a chunk."""
    object_ = _NAMES[asked.chat][1] + ".chunk" * asked.chat
    return _common(asked, object_) | {"choices": choices} | more


def whole(asked: Asked, choice: Json, usage: Json) -> Json:
    """Write an answer that is not streamed."""
    return _common(asked, _NAMES[asked.chat][1]) | {"choices": [choice], "usage": usage}


def _common(asked: Asked, object_: str) -> Json:
    return {"id": answer_id(asked), "object": object_, "created": _CREATED_S, "model": asked.model}


def choice(asked: Asked, delta: Json, index: int = 0, finish_reason: str | None = None) -> Json:
    """Write a choice of a chunk; a completion has the text of the delta only."""
    said: Json = {"delta": delta} if asked.chat else {"text": delta.get("content") or ""}
    return {"index": index} | said | {"finish_reason": finish_reason}


def with_fields(event: Event, **fields: object) -> Event:
    """Add fields to the chunk of an event."""
    assert isinstance(event.data, dict)
    return replace(event, data=event.data | fields)


def with_delta(event: Event, **fields: object) -> Event:
    """Put fields before those of each delta of a chat's chunk, or before those of each choice of a completion's."""
    return edit(event, lambda container: fields | container, DELTA)


CHUNK, CHOICE, DELTA = 0, 1, 2  # levels of a chunk


def edit(event: Event, change: Callable[[Json], Json], level: int) -> Event:
    """Change each object of one level of the chunk of an event."""
    assert isinstance(event.data, dict)
    return replace(event, data=_edited(event.data, change, level))


def _edited(object_: Json, change: Callable[[Json], Json], level: int) -> Json:
    if level == CHUNK:
        return change(object_)
    if "choices" in object_:
        choices = object_["choices"] if isinstance(object_["choices"], list) else []
        return object_ | {"choices": [_edited(one, change, level - 1) for one in choices]}
    delta = object_.get("delta")
    return object_ | {"delta": change(delta)} if isinstance(delta, dict) else object_
