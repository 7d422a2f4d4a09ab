"""What each request is answered with."""

import time
from collections.abc import Callable

from shapebench.test_servers.reference import wire
from shapebench.test_servers.reference.connection import Answer, refused
from shapebench.test_servers.reference.pace import Pace
from shapebench.test_servers.reference.requests import Request
from shapebench.test_servers.reference.truth import Log, Truth


class Routes:
    """The server's answers; requests for tokens get theirs at the pace, and are logged."""

    def __init__(self, pace: Pace, log: Log, metrics: bytes | None = None) -> None:
        """`metrics` is what /metrics always says, in place of the count of requests."""
        self._pace, self._log = pace, log
        self._asked = 0
        self._created_s = int(time.time())
        self._at_once: dict[bytes, Callable[[], bytes]] = {
            b"/health": lambda: wire.framed(b""),
            b"/version": lambda: wire.plain({"version": wire.VERSION}),
            b"/v1/models": lambda: wire.models(self._created_s),
            b"/metrics": lambda: wire.text(metrics) if metrics else wire.metrics(self._asked),
        }

    def respond(self, request: Request, received_ns: int) -> Answer:
        """The answer to a request that was received at that time."""
        try:
            if kind := wire.KINDS.get(request.path):
                return self._tokens(wire.asked(kind, request.body), received_ns, request.is_last)
        except wire.Malformed as error:
            return refused(str(error), received_ns)
        whole = self._at_once.get(request.path, wire.not_found)()
        return Answer((whole,), (received_ns,), is_last=request.is_last)

    def _tokens(self, asked: wire.Asked, received_ns: int, is_last: bool) -> Answer:
        self._asked += 1
        answer = wire.Answer(asked, self._asked)
        dues_ns = self._pace.dues_ns(received_ns, asked.tokens, seed=self._asked)

        def log(sent_ns: list[int], tokens_per_piece: int) -> None:
            output_tokens = len(sent_ns) * tokens_per_piece
            self._log.add(Truth(answer.id, received_ns, sent_ns, asked.prompt_tokens, output_tokens))

        if not asked.stream:
            return Answer((answer.whole(),), (max(dues_ns),), lambda sent_ns: log(sent_ns, asked.tokens), is_last)
        return Answer(answer.pieces(), dues_ns, lambda sent_ns: log(sent_ns[1:], 1), is_last)
