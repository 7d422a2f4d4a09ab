"""The server's routes."""

from collections.abc import Callable

from shapebench.test_servers import vllm_format
from shapebench.test_servers.reference import answers
from shapebench.test_servers.reference.connection import Answer, refused
from shapebench.test_servers.reference.pace import Pace
from shapebench.test_servers.reference.requests import Request
from shapebench.test_servers.reference.truth import Log, Truth


class Routes:
    """The server's answers; requests for tokens are answered at the pace, and logged."""

    def __init__(self, pace: Pace, log: Log, metrics: bytes | None = None) -> None:
        """Set up the routes; `metrics` is a fixed text for /metrics, instead of the count of requests."""
        self._pace, self._log = pace, log
        self._requests = 0
        models = answers.models()
        self._at_once: dict[bytes, Callable[[], bytes]] = {
            b"/health": lambda: answers.framed(b""),
            b"/version": lambda: answers.framed_json({"version": vllm_format.VERSION}),
            b"/v1/models": lambda: models,
            b"/metrics": lambda: answers.prometheus_text(metrics) if metrics else answers.metrics(self._requests),
        }

    def respond(self, request: Request, received_ns: int) -> Answer:
        """Answer a request that was received at that time."""
        try:
            if format_ := answers.format_at(request.path):
                parsed = answers.parse_request(format_, request.body)
                return self._tokens(parsed, received_ns, request.is_last)
        except answers.MalformedRequestError as error:
            return refused(str(error), received_ns)
        whole = self._at_once.get(request.path, answers.not_found)()
        return Answer((whole,), (received_ns,), is_last=request.is_last)

    def _tokens(self, request: answers.TokenRequest, received_ns: int, is_last: bool) -> Answer:
        self._requests += 1
        answer = answers.Answer(request, self._requests)
        dues_ns = self._pace.dues_ns(received_ns, request.tokens, seed=self._requests)

        def log(sent_ns: list[int], tokens_per_piece: int) -> None:
            output_tokens = len(sent_ns) * tokens_per_piece
            self._log.add(Truth(answer.id, received_ns, sent_ns, request.prompt_tokens, output_tokens))

        if not request.stream:
            return Answer((answer.whole(),), (max(dues_ns),), lambda sent_ns: log(sent_ns, request.tokens), is_last)
        return Answer(answer.pieces(), dues_ns, lambda sent_ns: log(sent_ns[1:], 1), is_last)
