"""Access to the fields of events whose form cannot be relied on, and the errors among them."""

from shapebench.apis.api import Json
from shapebench.apis.reading import SAID, StreamError, error_text


def object_in(content: Json, name: str) -> Json:
    """Return the object in a field; empty where there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def text_in(content: Json, name: str) -> str:
    """Return the text in a field; empty where there is none."""
    value = content.get(name)
    return value if isinstance(value, str) else ""


def raise_if_error(name: str | None, content: Json, data: bytes) -> None:
    """Raise StreamError with the server's words if an event is an error, by its name, type or words."""
    untyped = not content.get("type") and any(isinstance(content.get(key), str) and content[key] for key in SAID)
    if name == "error" or content.get("type") == "error" or content.get("error") or untyped:
        raise StreamError("stream_error", error_text(data))


def known_counts(input_tokens: int | None, output_tokens: int | None) -> tuple[int, int]:
    """Return the counts of a usage; raises ValueError where one is missing."""
    if input_tokens is None or output_tokens is None:
        raise ValueError(f"usage has {input_tokens} input and {output_tokens} output tokens")
    return input_tokens, output_tokens
