"""The server profile: how a server wants to be asked, and how it answers."""

from dataclasses import dataclass, field
from typing import Literal

from shapebench.apis.reading import TokenSource

UsageHabit = Literal["final", "running", "none"]


@dataclass(frozen=True)
class ServerProfile:
    """Findings of the probe's streamed requests; `notes` say in sentences what is unusual about the server."""

    path: str  # that requests go to
    dropped_fields: tuple[str, ...] = ()  # of the body, refused by the server, such as "stream_options"
    renamed_fields: dict[str, str] = field(default_factory=dict)  # such as max_tokens to max_completion_tokens
    end_marker: bool = True  # the stream ends with the API's last event
    usage: UsageHabit = "final"  # where token counts stand in the stream
    token_source: TokenSource = "usage"  # where the number of an answer's tokens comes from
    continuous_usage: bool = False  # usage in each chunk is asked for
    tokens_per_chunk: float | None = None  # None: not known
    reasoning: bool = False  # the answer began with reasoning
    enforces_output: bool = False  # the requested length is enforced
    rate_limit_waited_s: float = 0.0  # as the server asked
    notes: tuple[str, ...] = ()


COUNTED_BY: dict[TokenSource, str] = {
    "usage": "the server's usage",
    "tokenize": "the server's tokenizer, after each level",
    "tokenizer": "endpoint.tokenizer, after each level",
    "chunks": "chunks, each as one token",
}


def describe(profile: ServerProfile) -> str:
    """Describe a server in sentences."""
    counted = f"Requests to {profile.path} are answered; tokens are counted by {COUNTED_BY[profile.token_source]}."
    return " ".join((counted, *profile.notes))
