"""Where requests go, and what each of them asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Where requests go and how they are written."""

    url: str
    model: str
    api: str  # "chat" or "completions"
    temperature: float = 0.0
    enforce_output_tokens: bool = False
    verify_tls: bool = True
    ca_file: str | None = None
    continuous_usage: bool = False  # ask for the token count in each chunk


@dataclass(frozen=True)
class PlannedRequest:
    """One request as planned."""

    index: int
    warmup: bool
    prompt: str
    input_tokens: int
    output_tokens: int
