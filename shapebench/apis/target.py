"""The target of requests, and a request as planned."""

from dataclasses import dataclass, field
from typing import Literal

from shapebench.apis.reading import TokenSource

AuthName = Literal["key", "bearer", "none", "oci", "google", "aws"]

MIN_VALUE, MIN_TOKEN = 4, 6  # characters of a header; what is shorter, such as 1, is part of many texts
USER_AGENT, PROBE_AGENT = "shapebench", "shapebench-probe"  # what requests are, to who reads the server's log


@dataclass(frozen=True)
class Target:
    """The endpoint that requests go to, and how they are written.

    It is stored with the samples, so nothing in it is secret: secrets are in Credentials.
    """

    url: str
    model: str
    api: str  # a name in apis.table
    temperature: float | None = 0.0  # None: the server's own
    enforce_output_tokens: bool = False
    verify_tls: bool = True
    ca_file: str | None = None
    continuous_usage: bool = False  # ask for the token count in each chunk
    path: str | None = None  # in place of the API's own
    query: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    extra_body: dict[str, object] = field(default_factory=dict)  # merged into each request's body
    auth: AuthName = "key"
    auth_options: dict[str, str] = field(default_factory=dict)
    dropped_fields: tuple[str, ...] = ()  # of the body, which the server refuses, such as "stream_options"
    renamed_fields: dict[str, str] = field(default_factory=dict)  # max_tokens to max_completion_tokens
    token_source: TokenSource = "usage"  # where the number of an answer's tokens comes from
    tokenizer: str | None = None  # the file of a tokenizer


@dataclass(frozen=True)
class Credentials:
    """The secrets that requests carry; they are never written down."""

    api_key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        """List the values to redact; servers repeat a token without the scheme before it, such as Bearer."""
        named = [value for value in self.headers.values() if len(value) >= MIN_VALUE]
        values = [*([self.api_key] if self.api_key else []), *named]
        tokens = [value.rpartition(" ")[2] for value in values if " " in value]
        return (*values, *(token for token in tokens if len(token) >= MIN_TOKEN))


@dataclass(frozen=True)
class PlannedRequest:
    """One request as planned: a prompt of so many tokens, and how many to generate."""

    index: int
    warmup: bool
    prompt: str
    input_tokens: int
    output_tokens: int
