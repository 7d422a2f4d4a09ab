"""The target of requests, and a request as planned."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The endpoint that requests go to, and how they are written."""

    url: str
    model: str
    api: str  # a name in apis.table
    temperature: float = 0.0
    enforce_output_tokens: bool = False
    verify_tls: bool = True
    ca_file: str | None = None
    continuous_usage: bool = False  # ask for the token count in each chunk


@dataclass(frozen=True)
class PlannedRequest:
    """One request as planned: a prompt of so many tokens, and how many to generate."""

    index: int
    warmup: bool
    prompt: str
    input_tokens: int
    output_tokens: int
