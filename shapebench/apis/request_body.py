"""How a request is written, as bytes ready to send."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import orjson

from shapebench.apis.target import PlannedRequest, Target

APIS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", lambda prompt: {"messages": [{"role": "user", "content": prompt}]}),
    "completions": ("/v1/completions", lambda prompt: {"prompt": prompt}),
}


def body(target: Target, prompt: str, output_tokens: int) -> dict[str, Any]:
    """The JSON of a request that is not streamed."""
    _, write_prompt = APIS[target.api]
    enforced = {"min_tokens": output_tokens, "ignore_eos": True} if target.enforce_output_tokens else {}
    return {
        "model": target.model,
        **write_prompt(prompt),
        "max_tokens": output_tokens,
        "temperature": target.temperature,
        **enforced,
    }


def writer(target: Target, api_key: str | None) -> Callable[[PlannedRequest], bytes]:
    """A function that writes the streamed request for an PlannedRequest, headers and all."""
    url = urlsplit(target.url)
    stream_options = {"include_usage": True, **({"continuous_usage_stats": True} if target.continuous_usage else {})}
    head = "".join(
        f"{line}\r\n"
        for line in (
            f"POST {url.path}{APIS[target.api][0]} HTTP/1.1",
            f"Host: {url.netloc.rpartition('@')[2]}",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            "User-Agent: shapebench",
            *([f"Authorization: Bearer {api_key}"] if api_key else []),
        )
    ).encode()

    def write(ask: PlannedRequest) -> bytes:
        content = body(target, ask.prompt, ask.output_tokens)
        text = orjson.dumps({**content, "stream": True, "stream_options": stream_options})
        return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(text), text)

    return write
