"""Samples: interpretation of answers, and their file while a level runs."""

from dataclasses import fields, replace
from pathlib import Path

from shapebench.apis.api import Api
from shapebench.apis.reading import Reading, StreamError, error_text
from shapebench.apis.stream_reader import read
from shapebench.apis.target import PlannedRequest
from shapebench.load.http_connection import Answer
from shapebench.runs.samples_file import Sample, schema
from shapebench.support.redact import redact_value

BATCH = 128  # samples that go to disk together: a millisecond's work, which is all that a token may wait


def sample(api: Api, request: PlannedRequest, stream: int, answer: Answer) -> Sample:
    """Make a sample of the answer to a request."""
    reading = Reading()
    error_kind, error_message = _read(api, answer, reading) or (None, None)
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
    )


def redact_sample(done: Sample, secret: str | None) -> Sample:
    """Redact the API key in a sample's error message: some servers repeat the key that they reject."""
    if not secret or not done.error_message:
        return done
    return replace(done, error_message=redact_value(done.error_message or "", secret) or None)


def _read(api: Api, answer: Answer, reading: Reading) -> tuple[str, str] | None:
    """Fill in `reading`; an error of the exchange has precedence over an incomplete stream."""
    if answer.status is not None and answer.status != 200:
        return answer.fault or ("http_status", _refusal(answer))
    try:
        read(api, answer.pieces, reading)
    except StreamError as fault:
        return answer.fault or (fault.kind, _no_stream(answer) or fault.message)
    except Exception as error:  # noqa: BLE001 - whatever a server sends, the request becomes a sample
        return answer.fault or ("malformed", f"not an answer of {api.path}: {error!r}")
    return answer.fault


def _no_stream(answer: Answer) -> str | None:
    """Describe an answer that is not a stream: some servers report errors with status 200."""
    body = answer.body
    return f"the answer is not a stream of events: {error_text(body)}" if body and b"data:" not in body else None


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
