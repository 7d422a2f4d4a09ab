"""Amazon SageMaker's endpoints, streamed: the container's own stream in the parts of an AWS event stream.

Containers stream what their engine does: OpenAI's chat or completions (LMI with vLLM, NIM), or a token at a time as
TGI does, in server-sent events or on lines (LMI's own schema).
"""

from collections.abc import Callable

from shapebench.apis import tgi
from shapebench.apis.api import Api, Json
from shapebench.apis.event_stream import PayloadParts
from shapebench.apis.openai import CHAT, COMPLETIONS, parse_object
from shapebench.apis.reading import Reading
from shapebench.apis.sse import Event
from shapebench.apis.target import Target
from shapebench.apis.typed_events import raise_if_error

CONTAINER = "container"  # option of the endpoint: how the container is asked


def _read_event(reading: Reading, arrival_ns: int, event: Event) -> None:
    name, data = event
    if data.startswith(b"{"):
        content = parse_object(data)
        raise_if_error(name, content, data)
        if "token" in content:
            tgi.read_token(reading, arrival_ns, content)
            return
    CHAT.read_event(reading, arrival_ns, event)


def _write_openai(api: Api) -> Callable[[Target, str, int, bool], Json]:
    def write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
        """Write the request without a model, since `target.model` is the endpoint's name."""
        body = api.write_body(target, prompt, output_tokens, stream)
        return {name: value for name, value in body.items() if name != "model"}

    return write_body


def _write_tgi(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    return {**tgi.write_body(target, prompt, output_tokens, stream), "stream": stream}


CONTAINERS: dict[str, Callable[[Target, str, int, bool], Json]] = {
    "chat": _write_openai(CHAT),
    "completions": _write_openai(COMPLETIONS),
    "tgi": _write_tgi,
}


def _write_body(target: Target, prompt: str, output_tokens: int, stream: bool) -> Json:
    return CONTAINERS[target.auth_options.get(CONTAINER, "chat")](target, prompt, output_tokens, stream)


SAGEMAKER = Api(
    path="/endpoints/{model}/invocations-response-stream",
    last_event=CHAT.last_event,
    write_prompt=CHAT.write_prompt,
    write_body=_write_body,
    read_event=_read_event,
    read_usage=CHAT.read_usage,
    framing=PayloadParts,
    auth="aws",
    service="sagemaker",
    choices={CONTAINER: tuple(CONTAINERS)},
    control_plane=False,
)
