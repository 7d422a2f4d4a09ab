"""A sample is one request and all that is known of it; a level's samples are one Parquet file, the raw result."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from shapebench.load.tokens import Reading, StreamFault, blotted, error_text, read
from shapebench.load.wire import Answer
from shapebench.whole import written_whole
from shapebench.workload import Ask


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; times are seconds after `sent_at_ns`, the moment its first byte was sent (CLOCK_REALTIME)."""

    request_index: int
    stream: int
    warmup: bool
    planned_input_tokens: int
    planned_output_tokens: int
    sent_at_ns: int
    ended_s: float | None  # when the exchange was over, one way or the other
    chunk_offsets_s: list[float]  # arrivals of the chunks that carry tokens
    chunk_tokens: list[int]  # how many each of them carries
    input_tokens: int | None  # the server's usage
    output_tokens: int | None
    finish_reason: str | None
    response_id: str | None
    http_status: int | None
    error_kind: str | None  # None: a whole answer
    error_message: str | None


def sample(ask: Ask, stream: int, answer: Answer) -> Sample:
    """Interpret what came back for one request."""
    reading = Reading()
    error_kind, error_message = _read(answer, reading) or (None, None)
    return Sample(
        request_index=ask.index,
        stream=stream,
        warmup=ask.warmup,
        planned_input_tokens=ask.input_tokens,
        planned_output_tokens=ask.output_tokens,
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
    )


def without_secret(done: Sample, secret: str | None) -> Sample:
    """The same with the secret blotted out: some servers say which key they refused."""
    return replace(done, error_message=blotted(done.error_message or "", secret) or None)


def _read(answer: Answer, reading: Reading) -> tuple[str, str] | None:
    """Fill in `reading`; what the exchange broke on counts before what its stream lacks."""
    if answer.status is not None and answer.status != 200:
        return answer.fault or ("http_status", _refusal(answer))
    try:
        read(answer.pieces, reading)
    except StreamFault as fault:
        return answer.fault or (fault.kind, fault.message)
    except Exception as error:  # noqa: BLE001 - whatever a server sends, the request stays a sample
        return answer.fault or ("malformed", f"not an answer as OpenAI's API has it: {error!r}")
    return answer.fault


def _refusal(answer: Answer) -> str:
    """What the server said; a redirect is not followed, or its target would be measured instead."""
    said = f": {text}" if (text := error_text(answer.body)) else ""
    return f"HTTP {answer.status}{said}" + "".join(f" ({name}: {value})" for name, value in answer.headers.items())


def write(samples: list[Sample], path: Path, metadata: dict[str, str]) -> None:
    """Write a level's samples, complete or not at all."""
    import pyarrow as pa  # only now: its import takes time that the level would pay for
    import pyarrow.parquet as pq

    columns = {f.name: [getattr(s, f.name) for s in samples] for f in fields(Sample)}
    table = pa.table(columns, schema=schema()).replace_schema_metadata(metadata)
    with written_whole(path) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


def schema() -> Any:
    """The columns of a level's Parquet file, a pyarrow schema."""
    import pyarrow as pa

    required = {"request_index", "stream", "warmup", "planned_input_tokens", "planned_output_tokens", "sent_at_ns"}
    types = {
        "request_index": pa.int32(),
        "stream": pa.int32(),
        "warmup": pa.bool_(),
        "planned_input_tokens": pa.int32(),
        "planned_output_tokens": pa.int32(),
        "sent_at_ns": pa.int64(),
        "ended_s": pa.float64(),
        "chunk_offsets_s": pa.list_(pa.float64()),
        "chunk_tokens": pa.list_(pa.int32()),
        "input_tokens": pa.int32(),
        "output_tokens": pa.int32(),
        "finish_reason": pa.string(),
        "response_id": pa.string(),
        "http_status": pa.int16(),
        "error_kind": pa.string(),
        "error_message": pa.string(),
    }
    return pa.schema([pa.field(name, kind, nullable=name not in required) for name, kind in types.items()])
