"""The seam between the instrument and the APIs: all that differs from one to another."""

from collections.abc import Callable
from dataclasses import dataclass

from shapebench.apis.reading import Reading
from shapebench.apis.target import Target

Json = dict[str, object]


@dataclass(frozen=True)
class Api:
    """How one API is requested, and how what it answers is read.

    `read_event` takes the time of arrival (ns) and the data of one server-sent event into a Reading, and raises
    StreamError where the event cannot be part of an answer. The others work on JSON objects.
    """

    path: str
    last_event: str  # what the server sends when an answer is complete, in words
    write_prompt: Callable[[str], Json]  # the fields that hold a prompt; /tokenize takes the same
    write_body: Callable[[Target, str, int, bool], Json]  # of a request: prompt, output tokens, whether it is streamed
    read_event: Callable[[Reading, int, bytes], None]
    read_usage: Callable[[Json], tuple[int, int]]  # input and output tokens of an answer that is not streamed
