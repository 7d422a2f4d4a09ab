"""Samples: interpretation of answers, and their file while a level runs."""

from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path

from shapebench.apis.reading import Reading, StreamError, error_text
from shapebench.apis.sse import has_events
from shapebench.apis.stream_reader import read
from shapebench.apis.table import APIS
from shapebench.apis.target import PlannedRequest, Target
from shapebench.load.http_connection import Answer
from shapebench.probe.route import Fault
from shapebench.runs.samples_file import Sample, schema
from shapebench.support.redact import redact, redact_value

COUNT_TEXTS = ("tokenize", "tokenizer")  # sources of token counts that need the text of answers
BATCH = 128  # samples that go to disk together: a millisecond's work, which is all that a token may wait


def sample(target: Target, request: PlannedRequest, stream: int, answer: Answer) -> Sample:
    """Make a sample of the answer to a request."""
    return make_sample(request, stream, answer, *read_answer(target, answer))


def read_answer(target: Target, answer: Answer) -> tuple[Reading, Fault | None]:
    """Read an answer; an error of the exchange has precedence over an incomplete stream."""
    reading, api = Reading(keeps_text=target.token_source in COUNT_TEXTS), APIS[target.api]
    if answer.status is not None and answer.status != 200:
        return reading, answer.fault or ("http_status", _refusal(answer))
    try:
        read(api, answer.pieces, reading)
    except StreamError as fault:
        return reading, answer.fault or (fault.kind, _no_stream(answer) or fault.message)
    except Exception as error:  # noqa: BLE001 - whatever a server sends, the request becomes a sample
        return reading, answer.fault or ("malformed", f"not an answer of {api.path}: {error!r}")
    if not answer.fault and reading.output_tokens is None:
        return reading, _count_without_usage(target, reading)
    return reading, answer.fault


def _count_without_usage(target: Target, reading: Reading) -> Fault | None:
    """Count each chunk as a token, provisionally where the text is counted later."""
    if target.token_source == "usage":
        return "no_usage", "the server sent no usage, so token counts are unknown"
    reading.output_tokens, reading.token_source = sum(reading.chunk_tokens), "chunks"
    return None


def make_sample(request: PlannedRequest, stream: int, answer: Answer, reading: Reading, fault: Fault | None) -> Sample:
    """Make a sample of what was read of an answer."""
    error_kind, error_message = fault or (None, None)
    return Sample(
        request_index=request.index,
        stream=stream,
        warmup=request.warmup,
        planned_input_tokens=request.input_tokens,
        planned_output_tokens=request.output_tokens,
        sent_at_ns=answer.sent_ns,
        ended_s=(answer.ended_ns - answer.sent_ns) / 1e9 if answer.ended_ns else None,
        chunk_offsets_s=[(arrival_ns - answer.sent_ns) / 1e9 for arrival_ns in reading.arrivals_ns],
        chunk_tokens=reading.chunk_tokens,
        input_tokens=reading.input_tokens,
        output_tokens=reading.output_tokens,
        finish_reason=reading.finish_reason,
        response_id=reading.response_id,
        http_status=answer.status,
        error_kind=error_kind,
        error_message=error_message,
        unaccounted_tokens=reading.unaccounted_tokens,
        resent=answer.resent,
        fingerprint=reading.fingerprint,
        first_answer_s=(reading.first_answer_ns - answer.sent_ns) / 1e9 if reading.first_answer_ns else None,
        reasoning_tokens=reading.reasoning_tokens,
        token_counts=reading.token_counts,
        token_source=reading.token_source,
        has_end_marker=reading.done,
        server_address=answer.server_address,
    )


def redact_sample(done: Sample, secrets: tuple[str, ...]) -> Sample:
    """Redact secrets in a sample's error message: some servers repeat the key, or the signature, that they reject."""
    if not done.error_message:
        return done
    return replace(done, error_message=_redacted(done.error_message, secrets) or None)


@lru_cache(64)  # a server that fails repeats itself
def _redacted(message: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        message = redact_value(message, secret)
    return redact(message)


def _no_stream(answer: Answer) -> str | None:
    """Describe an answer that is not a stream: some servers report errors with status 200."""
    body = answer.body
    is_stream = has_events(body) or body.startswith(b"\0")  # a frame of an AWS event stream begins with its length
    return f"the answer is not a stream of events: {error_text(body)}" if body and not is_stream else None


def _refusal(answer: Answer) -> str:
    """Describe an error status; a redirect is not followed, or its target would be measured instead."""
    if answer.status in REDIRECTS and (location := answer.headers.get("location")):
        return f"HTTP {answer.status}: redirects are not followed; name the address itself (location: {location})"
    said = f": {text}" if (text := error_text(answer.body)) else ""
    return f"HTTP {answer.status}{said}" + "".join(f" ({name}: {value})" for name, value in answer.headers.items())


REDIRECTS = (301, 302, 303, 307, 308)


class SampleStream:
    """File of samples that grows by batches and can be read even if the process is killed."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa  # only now: the command line knows this module, too

        self._table = pa.RecordBatch.from_pydict
        self._schema = schema()
        self._writer = pa.ipc.new_stream(str(path), self._schema)
        self._waiting: list[Sample] = []

    def add(self, done: Sample) -> None:
        self._waiting.append(done)
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(self._table(_columns(self._waiting), self._schema))
            self._waiting = []

    def close(self) -> None:
        self.flush()
        self._writer.close()


def _columns(samples: list[Sample]) -> dict[str, list[object]]:
    return {f.name: [getattr(s, f.name) for s in samples] for f in fields(Sample)}
