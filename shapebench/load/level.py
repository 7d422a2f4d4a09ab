"""One level: N streams; each sends a request when the pacer allows it, and waits for its answer."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from shapebench.apis.auth import max_age_s
from shapebench.apis.reading import Reading
from shapebench.apis.request_body import request_writer
from shapebench.apis.target import Credentials, PlannedRequest
from shapebench.load.client_health import ClientHealth
from shapebench.load.counters import Tally
from shapebench.load.http_connection import Answer, Connection
from shapebench.load.pacing import ClosedLoop, Pacer
from shapebench.load.plan import LevelPlan
from shapebench.load.sample_writer import COUNT_TEXTS, make_sample, read_answer, redact_sample
from shapebench.probe.route import Fault, resolve
from shapebench.runs.samples_file import Sample
from shapebench.support.batch_means import Buckets
from shapebench.support.event_loop import EventLoop
from shapebench.support.timestamps import Stamps, clock_ns

OPENING_AT_ONCE = 256  # connections; many more overflow the queues of usual servers
OPENING_LOOK_S = 0.005
OPENING_TIMEOUT_S = 15
MAX_HEAD_AND_USAGE_BYTES, MAX_TOKEN_BYTES = 1 << 20, 1 << 14


class Level:
    """Runs one level, or a process's part of it; `keep` is called with each sample, warm-up included."""

    def __init__(self, plan: LevelPlan, credentials: Credentials, keep: Callable[[Sample], None]) -> None:
        self._plan = plan
        self._secrets = credentials.secrets
        self._keep = keep
        self._pacer: Pacer = ClosedLoop()
        self.loop = EventLoop()
        self.stamps = Stamps()
        self.health = ClientHealth()
        self.tally = Tally()
        self.buckets = Buckets()  # filled where the level is to end when it is precise enough
        self._requests = PreparedRequests(plan, request_writer(plan.target, credentials), max_age_s(plan.target))
        self._route, self._keeps_text = resolve(plan.target), plan.target.token_source in COUNT_TEXTS
        self._streams = [_Stream(number, self, self._connection(number)) for number in plan.streams]
        self._busy = self._warming_up = len(self._streams)
        self.uncounted: list[tuple[PlannedRequest, int, Answer, Reading]] = []  # whose texts are counted after the load
        self._unread: deque[tuple[PlannedRequest, int, Answer]] = deque()
        self._ends_s: float | None = None
        self.interrupted = self._finishing = False

    def _connection(self, number: int) -> Connection:
        return Connection(self.loop, self._route, self.stamps, number, interns=not self._keeps_text)

    def connect(self) -> None:
        """Open all connections, some at a time; errors are reported by their first requests."""
        to_open, opening = deque(s.connection for s in self._streams), set[Connection]()
        deadline_s = time.monotonic() + OPENING_TIMEOUT_S

        def go_on() -> None:
            opening.difference_update([c for c in opening if not c.opening])
            while to_open and len(opening) < OPENING_AT_ONCE:
                opening.add(connection := to_open.popleft())
                connection.connect()
            if self.interrupted or not opening or time.monotonic() > deadline_s:
                self.loop.stop()
            else:
                self.loop.call_later(OPENING_LOOK_S, go_on)

        go_on()
        self.loop.run()

    def run(self, start_ns: int) -> None:
        """Send every planned request once, from the given moment on; faults become samples, nothing is raised."""
        self.health, self.tally, self._start_ns = ClientHealth(), Tally(), start_ns
        self.loop.on_iteration = self.health.iteration.add
        self.stamps.unstamped = 0  # those of handshakes do not count
        self.loop.call_later((start_ns - clock_ns()) / 1e9, self._begin)
        limits_s = [s for s in (self._plan.request_timeout_s, self._plan.stall_timeout_s) if s]
        self.loop.call_every(min(max(min(limits_s) / 20, 0.005), 0.25), self._check_timeouts)
        if not self.interrupted:
            self.loop.run(in_between=self._in_between)
        while self._unread:
            self._read_answer()

    def finish(self) -> None:
        """Stop sending, and wait for requests in flight."""
        self._finishing = True

    def stop(self) -> None:
        """Stop sending, and abort requests in flight; the samples so far are kept."""
        self.interrupted = self._finishing = True
        for stream in self._streams:
            stream.connection.close()
        self.loop.stop()

    def _begin(self) -> None:
        for stream in self._streams:
            stream.send_after(self._pacer.first_delay_s(stream.number))
        if not self._streams:  # there are more processes than streams
            self.loop.stop()

    # Called by streams

    def take(self) -> tuple[PlannedRequest, bytes] | None:
        """Take the next request; None where there is no more to send."""
        if self._finishing or (self._ends_s and time.monotonic() > self._ends_s):
            return None
        next_up = self._requests.take()
        if next_up and not next_up[0].warmup:
            self._measured_one_is_sent()
        return next_up

    def _measured_one_is_sent(self) -> None:
        self.tally.sent += 1
        if not self.tally.measured_from_ns:
            self.tally.measured_from_ns = clock_ns()
            self._ends_s = time.monotonic() + self._plan.duration_s if self._plan.duration_s else None

    def answered(self, request: PlannedRequest, stream: int, answer: Answer, waited_s: float) -> None:
        if not answer.fault and waited_s > self._plan.request_timeout_s:
            answer.fault = self._timeout("complete answer")  # it came between two looks at the time
        self._unread.append((request, stream, answer))

    def next_delay_s(self, answer: Answer) -> float:
        return self._pacer.next_delay_s(answer)

    def stream_is_past_warmup(self) -> None:
        self._warming_up -= 1
        if not self._warming_up:
            self.tally.steady_from_ns = clock_ns()

    def stream_ended(self) -> None:
        self._busy -= 1
        if not self._busy:
            self.loop.stop()

    # Done in between

    def _in_between(self) -> bool:
        """Read some answers and write a request, while the next tokens are on their way."""
        if self.stamps.last_ns:
            self.health.read_lag.add((clock_ns() - self.stamps.last_ns) / 1e9)
            self.stamps.last_ns = 0
        for _ in range(min(len(self._unread), 1 + len(self._unread) // 64)):
            self._read_answer()
        return self._requests.refill() or bool(self._unread)

    def _read_answer(self) -> None:
        request, stream, answer = self._unread.popleft()
        reading, fault = read_answer(self._plan.target, answer)
        done = redact_sample(make_sample(request, stream, answer, reading, fault), self._secrets)
        self.health.received(done.seen_tokens, done.chunk_offsets_s)
        self.tally.add(done)
        if self._plan.until_precise and done.chunk_offsets_s:
            self._add_to_buckets(done)
        if fault is None and self._keeps_text and reading.token_source == "chunks":
            self.uncounted.append((request, stream, answer, reading))
        else:
            self._keep(done)

    def _add_to_buckets(self, done: Sample) -> None:
        sent_s = (done.sent_at_ns - self._start_ns) / 1e9
        self.buckets.add_tokens(sent_s, done.chunk_offsets_s[-1], done.seen_tokens)
        if not (done.warmup or done.error_kind):
            self.buckets.add_ttft(sent_s, done.chunk_offsets_s[0])

    def _check_timeouts(self) -> None:
        self.health.clock.look()
        now_ns = clock_ns()
        for stream in self._streams:
            if (answer := stream.connection.answer) and (fault := self._overdue(answer, stream.connection, now_ns)):
                stream.connection.abort(fault)

    def _overdue(self, answer: Answer, connection: Connection, now_ns: int) -> Fault | None:
        stall_timeout_s = self._plan.stall_timeout_s
        if connection.waited_s > self._plan.request_timeout_s:
            return self._timeout("complete answer" if connection.open else "connection")
        if stall_timeout_s and answer.arrivals_ns and now_ns - answer.arrivals_ns[-1] > stall_timeout_s * 1e9:
            return "stall", f"nothing more of the answer within {stall_timeout_s:g} s"
        return None

    def _timeout(self, what: str) -> Fault:
        return "timeout", f"no {what} within {self._plan.request_timeout_s:g} s"

    @property
    def complete_until_ns(self) -> int:
        """The time before which every request that was sent has been answered and read (ns)."""
        in_flight = (s.connection.answer.sent_ns for s in self._streams if s.connection.answer)
        return min((*in_flight, *(answer.sent_ns for _, _, answer in self._unread)), default=clock_ns())


class _Stream:
    """One of the N streams: it has one request in flight at a time."""

    def __init__(self, number: int, level: Level, connection: Connection) -> None:
        self.number = number
        self._level = level
        self.connection = connection
        connection.done = self._on_answer
        self._ended_ns = 0
        self._past_warmup = False

    def send_after(self, delay_s: float) -> None:
        if delay_s:
            self._level.loop.call_later(delay_s, self._send_next)
        else:
            self._send_next()

    def _send_next(self) -> None:
        if (next_up := self._level.take()) is None:
            self.connection.close()
            self._level.stream_ended()
            return
        self._request, data = next_up
        self.connection.send(data, MAX_HEAD_AND_USAGE_BYTES + self._request.output_tokens * MAX_TOKEN_BYTES)
        if not (self._request.warmup or self._past_warmup):
            self._past_warmup = True
            self._level.stream_is_past_warmup()

    def _on_answer(self, answer: Answer) -> None:
        if self._ended_ns:
            self._level.health.sent((answer.sent_ns - self._ended_ns) / 1e9)
        self._ended_ns = answer.ended_ns or 0
        self._level.answered(self._request, self.number, answer, self.connection.waited_s)
        self.send_after(self._level.next_delay_s(answer))


class PreparedRequests:
    """Requests that are written in advance, so that streams never wait for them.

    One whose signature has become older than `max_age_s` since then is written again when it is taken.
    """

    def __init__(self, plan: LevelPlan, write: Callable[[PlannedRequest], bytes], max_age_s: float = math.inf) -> None:
        self._write, self._max_age_s = write, max_age_s
        self._to_come: Iterator[PlannedRequest] = (
            plan.mix.request(i, plan.concurrency, warmup=plan.warmup_requests) for i in plan.indices
        )
        self._ready: deque[tuple[PlannedRequest, bytes, float]] = deque()
        self._wanted = 2 * len(plan.streams)
        while self.refill():
            pass

    def take(self) -> tuple[PlannedRequest, bytes] | None:
        """Take the next request with its bytes; None where there is no more."""
        if not self._ready:
            following = next(self._to_come, None)
            return (following, self._write(following)) if following else None
        request, data, written_s = self._ready.popleft()
        is_old = time.monotonic() - written_s > self._max_age_s
        return request, self._write(request) if is_old else data

    def refill(self) -> bool:
        """Write one more request where there is room, and return whether there was."""
        if len(self._ready) >= self._wanted or (request := next(self._to_come, None)) is None:
            return False
        self._ready.append((request, self._write(request), time.monotonic()))
        return True
