"""The server's routes."""

import time
from collections.abc import Callable
from functools import partial

import orjson

from shapebench.test_servers import vllm_format
from shapebench.test_servers.odd import answers
from shapebench.test_servers.odd.asked import MODEL, count_tokens, parse
from shapebench.test_servers.odd.http import Reply, Request, json_reply, text_reply
from shapebench.test_servers.odd.oddities import Oddities, Timing
from shapebench.test_servers.odd.refusals import refuse_fields, refuse_lacking, refuse_rate
from shapebench.test_servers.reference.answers import MalformedRequestError

_MAX_MODEL_LEN = 100_000
_HEALTH = {200: "", 404: '{"detail":"Not Found"}', 500: "a model behind this gateway did not answer"}


def _model_list(oddities: Oddities) -> vllm_format.Json:
    return vllm_format.model_list(MODEL, _MAX_MODEL_LEN, 0, oddities.owned_by)


_MODELS: dict[str, Callable[[Oddities], Reply]] = {
    "list": lambda oddities: json_reply(_model_list(oddities)),
    "bare_array": lambda oddities: json_reply(_model_list(oddities)["data"]),
    "empty": lambda _: json_reply({"object": "list", "data": []}),
    "404": lambda _: _not_found(),
    "500": lambda _: text_reply("Internal Server Error", 500),
}


def _not_found() -> Reply:
    return json_reply({"detail": "Not Found"}, 404)


class Routes:
    """The server's replies; it remembers only how many requests for tokens there were."""

    def __init__(self, oddities: Oddities, timing: Timing) -> None:
        self.oddities, self._timing = oddities, timing
        self._asked = self._answered = 0
        base = oddities.base_path
        self._below_base: dict[str, Callable[[Request], Reply]] = {
            f"GET {base}/models": lambda _: _MODELS[oddities.models](oddities),
            f"POST {base}/chat/completions": partial(self._tokens, chat=True),
            f"POST {base}/completions": partial(self._tokens, chat=False),
        }
        if oddities.tokenize:
            self._below_base["POST /tokenize"] = _tokenize

    def respond(self, request: Request) -> Reply:
        """Answer a request."""
        if request.path == "/health":
            return text_reply(_HEALTH[self.oddities.health_status], self.oddities.health_status)
        route = self._below_base.get(f"{request.method} {request.path}")
        if route is None:
            return _not_found()
        try:
            return refuse_lacking(self.oddities, request) or route(request)
        except MalformedRequestError as error:
            return json_reply(vllm_format.error(str(error), "BadRequestError", None, 400), 400)

    def _tokens(self, request: Request, *, chat: bool) -> Reply:
        self._asked += 1
        if self._asked <= self.oddities.limited_requests:
            return refuse_rate(self.oddities, time.time())
        asked, body = parse(request.body, self._answered + 1, chat=chat)
        if refusal := refuse_fields(self.oddities, body):
            return refusal
        self._answered += 1
        written = answers.write(self.oddities, asked, self._timing)
        streamed = written.content_type == answers.EVENTS
        return Reply(written.pieces, 200, written.content_type, streamed=streamed, answer=(asked, written))


def _tokenize(request: Request) -> Reply:
    try:
        content = orjson.loads(request.body)
        count = count_tokens(content["messages"] if "messages" in content else content["prompt"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRequestError(f"{type(error).__name__}: {error}") from None
    return json_reply({"count": count, "max_model_len": _MAX_MODEL_LEN, "tokens": [*range(count)]})
