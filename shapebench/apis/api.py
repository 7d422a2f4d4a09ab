"""Interface between the load generator and the APIs: everything that differs between APIs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shapebench.apis.reading import Reading
from shapebench.apis.sse import Event, Events
from shapebench.apis.target import AuthName, Target

Json = dict[str, object]


class Framing(Protocol):
    """Parser of the events in a stream that is split anywhere."""

    @property
    def between(self) -> bool:
        """True if the next byte is the first of an event."""

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that end within the piece."""

    def end(self) -> list[Event]:
        """Return an event that the end of the stream truncated."""


def bearer(api_key: str) -> dict[str, str]:
    """Return the header that most servers expect the key in."""
    return {"Authorization": f"Bearer {api_key}"}


@dataclass(frozen=True)
class Api:
    """Requests and answers of one API.

    `read_event` adds the time of arrival (ns) and the name and data of one event to a Reading, and raises StreamError
    if the event cannot be part of an answer. The others work on JSON objects.
    """

    path: str  # {model} stands for the model's name
    last_event: str  # name of the event that ends an answer, for messages
    write_prompt: Callable[[str], Json]  # the fields with the prompt, also for /tokenize
    write_body: Callable[[Target, str, int, bool], Json]  # of a request: prompt, output tokens, whether it is streamed
    read_event: Callable[[Reading, int, Event], None]
    read_usage: Callable[[Json], tuple[int, int]]  # input and output tokens of an answer that is not streamed
    framing: Callable[[], Framing] = Events
    key_headers: Callable[[str], dict[str, str]] = bearer
    headers: Mapping[str, str] = field(default_factory=dict)  # that every request has
    auth: AuthName = "key"  # what it usually takes
    service: str = ""  # its name in AWS's signatures
    needs: tuple[str, ...] = ()  # names of auth_options without which there is no request
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # values that an option can have
    control_plane: bool = True  # False for a hosted API without /v1/models, /health and /tokenize
    can_enforce_length: bool = True  # it has fields like vLLM's min_tokens and ignore_eos
