"""The simulator's HTTP side: a bare ASGI application, since a framework would take more CPU than the tokens."""

import asyncio
import hmac
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict, TypeVar

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from shapebench.test_servers.simulator.answers import Answer, draw, fingerprint
from shapebench.test_servers.simulator.driver import Driver
from shapebench.test_servers.simulator.engine import Engine, Request, block_hashes
from shapebench.test_servers.simulator.metrics import Metrics
from shapebench.test_servers.simulator.presets import Preset
from shapebench.test_servers.simulator.requests import (
    ChatBody,
    CompletionBody,
    Form,
    GenerationBody,
    RequestRejectedError,
    Tokenize,
    check,
    check_model,
    parse,
)
from shapebench.test_servers.simulator.tokenizer import token_ids
from shapebench.test_servers.simulator.truth import Log, Truth, no_log
from shapebench.test_servers.vllm_format import VERSION, AnswerFormat, ChatFormat, CompletionFormat, model_list

AnswerType = TypeVar("AnswerType", bound=Answer)
Headers = Sequence[tuple[bytes, bytes]]
_JSON = b"application/json"
_VARY = (b"vary", b"Origin")


class Scope(TypedDict):
    """The part of ASGI's HTTP scope that is read here."""

    path: str
    method: str
    headers: list[tuple[bytes, bytes]]


class Received(TypedDict, total=False):
    """ASGI's messages from the client: http.request and http.disconnect."""

    type: str
    body: bytes
    more_body: bool


Receive = Callable[[], Awaitable[Received]]
Send = Callable[[dict[str, object]], Awaitable[None]]


@dataclass(frozen=True)
class Call:
    """One HTTP request, and the way to answer it."""

    scope: Scope
    receive: Receive
    send: Send
    received_ns: int = field(default_factory=time.time_ns)

    def header(self, name: bytes) -> str:
        values = [value for key, value in self.scope["headers"] if key == name]
        return values[0].decode("latin-1") if values else ""

    async def form(self, form: type[Form]) -> Form:
        return parse(form, self.header(b"content-type"), await self.body())

    async def body(self) -> bytes:
        parts, more = [], True
        while more:
            message = await self.receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def start(self, status: int, headers: Headers) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, content: bytes, kind: bytes | None = _JSON, status: int = 200, extra: Headers = ()) -> None:
        headers = [*extra, (b"content-length", b"%d" % len(content))]
        await self.start(status, [*headers, (b"content-type", kind), _VARY] if kind else [*headers, _VARY])
        await self.write(content, more=False)

    async def gone(self) -> None:
        """Wait until the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Job:
    """One answer on its way from the engine to the client."""

    def __init__(self, call: Call, answer: Answer) -> None:
        self.call, self.answer = call, answer
        hashes = block_hashes(answer.prompt)
        self.request = Request(len(answer.prompt), len(answer.tokens), answer.finish_reason, hashes)
        self.truth = Truth(answer.id, call.received_ns, prompt_tokens=len(answer.prompt))

    async def start(self) -> None:
        await self.call.start(200, [(b"content-type", b"text/event-stream; charset=utf-8"), _VARY])

    async def send(self) -> None:
        """Write the tokens generated since the last call."""
        truth, generated = self.truth, self.request.generated
        events = self.answer.chunks(truth.output_tokens, generated)
        truth.mark(generated)
        await self.call.write(events, more=True)

    async def note(self) -> None:
        self.truth.mark(self.request.generated)


class App:
    """The server, as an ASGI application."""

    def __init__(self, preset: Preset, log: Log = no_log, api_key: str | None = None) -> None:
        engine = Engine(preset)
        self._preset, self._log, self._api_key = preset, log, api_key
        self._metrics = self._new_metrics(engine)
        self._driver = Driver(engine, self._metrics)
        self._started_s = int(time.time())
        self._routes: dict[str, tuple[str, Callable[[Call], Awaitable[None]]]] = {
            "/health": ("GET", self._health),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._scrape),
            "/tokenize": ("POST", self._tokenize),
            "/v1/models": ("GET", self._models),
            "/v1/completions": ("POST", self._complete),
            "/v1/chat/completions": ("POST", self._chat),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        try:
            await self._handler(call)(call)
        except RequestRejectedError as refused:
            await call.answer(orjson.dumps(refused.content), status=refused.status, extra=refused.headers)
        except Exception:
            traceback.print_exc()  # uvicorn's own log is silent, as it also reports what a stop cuts short
            raise

    def _handler(self, call: Call) -> Callable[[Call], Awaitable[None]]:
        path = call.scope["path"]
        if path.startswith("/v1") and not self._may(call):
            return self._unauthorised
        if path not in self._routes:
            raise RequestRejectedError(404, {"detail": "Not Found"})
        method, handler = self._routes[path]
        if call.scope["method"] != method:
            raise RequestRejectedError(405, {"detail": "Method Not Allowed"}, ((b"allow", method.encode()),))
        return handler

    def _may(self, call: Call) -> bool:
        given = call.header(b"authorization").encode()
        return self._api_key is None or hmac.compare_digest(given, f"Bearer {self._api_key}".encode())

    async def _unauthorised(self, call: Call) -> None:
        content = orjson.dumps({"error": "Unauthorized"})
        await call.start(401, [(b"content-length", b"%d" % len(content)), (b"content-type", _JSON)])
        await call.write(content, more=False)

    async def _health(self, call: Call) -> None:
        await call.answer(b"", kind=None)

    async def _version(self, call: Call) -> None:
        await call.answer(orjson.dumps({"version": VERSION}))

    async def _scrape(self, call: Call) -> None:
        await call.answer(self._metrics.text(), CONTENT_TYPE_LATEST.encode())

    async def _models(self, call: Call) -> None:
        await call.answer(orjson.dumps(model_list(self._preset.model, self._preset.max_model_len, self._started_s)))

    async def _tokenize(self, call: Call) -> None:
        body = await call.form(Tokenize)
        check_model(body.model, self._preset)
        tokens = body.tokens(self._preset)
        content = {"count": len(tokens), "max_model_len": self._preset.max_model_len, "tokens": token_ids(tokens)}
        await call.answer(orjson.dumps(content | {"token_strs": tokens if body.return_token_strs else None}))

    async def _complete(self, call: Call) -> None:
        await self._generate(call, await call.form(CompletionBody), CompletionFormat)

    async def _chat(self, call: Call) -> None:
        await self._generate(call, await call.form(ChatBody), ChatFormat)

    async def _generate(self, call: Call, body: GenerationBody, format_: type[AnswerFormat]) -> None:
        check_model(body.model, self._preset)
        job = self._job(call, body, format_)
        deliver = self._stream if body.stream else self._whole
        try:
            await deliver(job)
        finally:
            self._driver.abort(job.request)
            self._log(job.truth)

    def _job(self, call: Call, body: GenerationBody, format_: type[AnswerFormat]) -> Job:
        return Job(call, self._answer(call, body, format_, Answer))

    def _answer(
        self, call: Call, body: GenerationBody, format_: type[AnswerFormat], answer: type[AnswerType]
    ) -> AnswerType:
        prompt = body.tokens(self._preset)
        output = draw(body, check(body, len(prompt), self._preset), self._preset)
        name = call.header(b"x-request-id") or secrets.token_hex(8)
        return answer(format_(name, self._preset.model, fingerprint(self._preset)), body, prompt, output)

    def _new_metrics(self, engine: Engine) -> Metrics:
        return Metrics(engine)

    async def _stream(self, job: Job) -> None:
        await job.start()
        await self._follow(job, job.send)
        if not job.request.aborted:
            job.truth.finish_reason = job.request.finish_reason
            await job.call.write(job.answer.closing(), more=False)

    async def _whole(self, job: Job) -> None:
        await self._follow(job, job.note)
        if not job.request.aborted:
            job.truth.finish_reason = job.request.finish_reason
            await job.call.answer(job.answer.whole())

    async def _follow(self, job: Job, on_tokens: Callable[[], Awaitable[None]]) -> None:
        """Pass the request to the engine and handle its tokens until it is complete or the client disconnects."""
        request, stepped = job.request, asyncio.Event()
        request.on_token = stepped.set
        watch = asyncio.create_task(self._abort_when_gone(job.call, request))
        self._driver.submit(request)
        try:
            while not request.ended:
                await stepped.wait()
                stepped.clear()
                if not request.aborted:
                    await on_tokens()
        finally:
            watch.cancel()

    async def _abort_when_gone(self, call: Call, request: Request) -> None:
        await call.gone()
        self._driver.abort(request)
