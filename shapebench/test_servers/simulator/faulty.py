"""The simulator with faults, as subclasses."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from shapebench.apis.target import PROBE_AGENT
from shapebench.test_servers.simulator.answers import Answer, text_of
from shapebench.test_servers.simulator.app import App, Call, Job
from shapebench.test_servers.simulator.engine import Engine, Request
from shapebench.test_servers.simulator.faults import Faults, Picks
from shapebench.test_servers.simulator.metrics import Metrics
from shapebench.test_servers.simulator.presets import Preset
from shapebench.test_servers.simulator.requests import GenerationBody, overloaded
from shapebench.test_servers.simulator.tokenizer import EOS
from shapebench.test_servers.simulator.truth import Log, no_log
from shapebench.test_servers.vllm_format import AnswerFormat

OTHER_VERSION = "0.33.0"


class FaultyAnswer(Answer):
    """A streamed answer that is not sent as it should be."""

    _joined: frozenset[int] = frozenset()  # tokens that are in one event with the one before
    _bunch = 1
    _hides_usage = False

    def shorten(self, tokens: int) -> None:
        """End early, as an answer does that ends by itself."""
        left = max(len(self.tokens) - tokens, 1)
        if left < len(self.tokens):
            self.tokens, self.finish_reason = [*self.tokens[: left - 1], EOS], "stop"

    def join(self, merges: Picks) -> None:
        """Send tokens together with the preceding ones, except for the first."""
        self._joined = frozenset(index for index in range(len(self.tokens)) if merges(may=index > 0))

    def bunch(self, tokens: int) -> None:
        self._bunch = max(tokens, 1)

    def miscount(self, prompt_tokens_off: int, hides_usage: bool) -> None:
        self._prompt_tokens += prompt_tokens_off
        self._hides_usage = hides_usage

    def ready(self, generated: int) -> int:
        """Count the tokens that can go out by now."""
        if generated == len(self.tokens):
            return generated
        ready = generated - generated % self._bunch
        while ready in self._joined:
            ready -= 1
        return ready

    def chunks(self, start: int, end: int) -> bytes:
        last = [index for index in range(start, end) if index + 1 not in self._joined]
        return (self._opening(start) + "".join(map(self._chunk, last))).encode()

    def _event_of(self, last: int) -> list[str]:
        first = last
        while first in self._joined:
            first -= 1
        return self.tokens[first : last + 1]

    def _text_json(self, index: int) -> str:
        return orjson.dumps("".join(map(text_of, self._event_of(index)))).decode()

    def _id_json(self, index: int) -> str:
        return self._ids_json(self._event_of(index))

    def _output_tokens(self, generated: int) -> int:
        return 0 if self._hides_usage else generated


class FaultyJob(Job):
    """An answer that delays tokens, and the engine."""

    def __init__(self, call: Call, answer: FaultyAnswer, delay_s: float) -> None:
        super().__init__(call, answer)
        self._ready, self._delay_s = answer.ready, delay_s

    async def start(self) -> None:
        await super().start()
        await asyncio.sleep(self._delay_s)  # before the engine gets it, so that later tokens keep their usual pace

    async def send(self) -> None:
        sent, ready = self.truth.output_tokens, self._ready(self.request.generated)
        if ready > sent:
            events = self.answer.chunks(sent, ready)
            self.truth.mark(ready)
            await self.call.write(events, more=True)


class Miscount(NamedTuple):
    """Errors of /metrics for one request."""

    left_out: bool = False
    prompt_tokens_off: int = 0
    delay_s: float = 0.0


class FaultyMetrics(Metrics):
    """Metrics that miscount requests, and distort their times."""

    def __init__(self, engine: Engine, ttft_factor: float) -> None:
        self._miscounts: dict[Request, Miscount] = {}  # of requests that have not ended
        self._ttft_factor = ttft_factor or 1.0
        super().__init__(engine)

    def miscount(self, request: Request, how: Miscount) -> None:
        self._miscounts[request] = how

    def on_step(self, stepped: Sequence[Request], preemptions: int) -> None:
        super().on_step([request for request in stepped if self._counts(request)], preemptions)

    def on_end(self, request: Request) -> None:
        if self._counts(request):
            super().on_end(request)
        self._miscounts.pop(request, None)

    def _on_first_token(self, request: Request) -> None:
        how = self._miscounts.get(request, Miscount())
        request.arrived_s -= how.delay_s  # the server's own TTFT includes the delay
        super()._on_first_token(request)
        self._counters["prompt_tokens"].inc(how.prompt_tokens_off)

    def _ttft_s(self, request: Request) -> float:
        return super()._ttft_s(request) * self._ttft_factor

    def _seen(self, engine: Engine) -> Engine:
        seen = Engine(engine.preset)
        seen.running = [request for request in engine.running if self._counts(request)]
        seen.waiting = deque(request for request in engine.waiting if self._counts(request))
        return seen

    def _counts(self, request: Request) -> bool:
        return not self._miscounts.get(request, Miscount()).left_out


class FaultyApp(App):
    """The server with faults, which affect streamed requests and the server's own metrics."""

    _metrics: FaultyMetrics

    def __init__(self, preset: Preset, faults: Faults, log: Log = no_log, api_key: str | None = None) -> None:
        self._faults = faults
        self._streamed, self._first_ns = 0, 0
        self._refuses, self._merges = Picks(faults.refused), Picks(faults.merged)
        self._hides_usage, self._leaves_out = Picks(faults.zero_usage), Picks(faults.uncounted)
        super().__init__(preset, log, api_key)
        if faults.hidden_metrics:
            del self._routes["/metrics"]

    def _new_metrics(self, engine: Engine) -> FaultyMetrics:
        return FaultyMetrics(engine, self._faults.ttft_factor)

    async def _version(self, call: Call) -> None:
        if 0 < self._faults.other_version_after <= self._streamed:
            await call.answer(orjson.dumps({"version": OTHER_VERSION}))
        else:
            await super()._version(call)

    def _job(self, call: Call, body: GenerationBody, format_: type[AnswerFormat]) -> Job:
        if not body.stream or call.header(b"user-agent") == PROBE_AGENT:
            return super()._job(call, body, format_)
        delay_s = self._enter(call)
        job = FaultyJob(call, self._faulty_answer(call, body, format_), delay_s)
        how = Miscount(self._leaves_out(), self._faults.prompt_tokens_off, delay_s)
        self._metrics.miscount(job.request, how)
        return job

    def _enter(self, call: Call) -> float:
        """Count one more streamed request; returns its delay, or raises RequestRejectedError."""
        self._streamed += 1
        self._first_ns = self._first_ns or call.received_ns
        if self._refuses():
            raise overloaded()
        return max(self._faults.drift_s_per_s * (call.received_ns - self._first_ns) / 1e9, 0)

    def _faulty_answer(self, call: Call, body: GenerationBody, format_: type[AnswerFormat]) -> FaultyAnswer:
        answer = self._answer(call, body, format_, FaultyAnswer)
        answer.shorten(self._faults.short_tokens)
        answer.join(self._merges)
        answer.bunch(self._faults.bunched)
        answer.miscount(self._faults.prompt_tokens_off, self._hides_usage())
        return answer
