"""Interface between the load generator and the APIs: everything that differs between APIs."""

from collections.abc import Callable
from dataclasses import dataclass

from shapebench.apis.reading import Reading
from shapebench.apis.target import Target

Json = dict[str, object]


@dataclass(frozen=True)
class Api:
    """Requests and answers of one API.

    `read_event` adds the time of arrival (ns) and the data of one server-sent event to a Reading, and raises
    StreamError if the event cannot be part of an answer. The others work on JSON objects.
    """

    path: str
    last_event: str  # name of the event that ends an answer, for messages
    write_prompt: Callable[[str], Json]  # the fields with the prompt, also for /tokenize
    write_body: Callable[[Target, str, int, bool], Json]  # of a request: prompt, output tokens, whether it is streamed
    read_event: Callable[[Reading, int, bytes], None]
    read_usage: Callable[[Json], tuple[int, int]]  # input and output tokens of an answer that is not streamed
