"""The raw result: a sample is one request, a level's samples are one Parquet file."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_origin, get_type_hints

from shapebench.support.atomic_file import atomic_write

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 16_384  # samples


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
    unaccounted_tokens: int | None = None  # the server's usage less what its chunks carried
    resent: bool = False  # the server had closed the kept connection before the request came
    fingerprint: str | None = None  # of the server's configuration, where it gives one
    first_answer_s: float | None = None  # arrival of the first text that is not reasoning
    reasoning_tokens: int | None = None
    token_counts: str | None = None  # how the tokens of each chunk are known: counted, apportioned, unknown
    token_source: str | None = None  # where the number of tokens comes from: usage, tokenize, tokenizer, chunks
    has_end_marker: bool | None = None  # the stream ended with the API's last event
    server_address: str | None = None

    @property
    def seen_tokens(self) -> int:
        return sum(self.chunk_tokens)


def join(streams: Iterable[Path], path: Path, metadata: dict[str, str]) -> int:
    """Join what the processes of a level wrote into one Parquet file, atomically; returns the number of samples.

    Bounded in memory. Of a stream that was cut short by a kill, the complete batches are kept.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with atomic_write(path) as unfinished:
        form = schema().with_metadata(metadata)
        with pq.ParquetWriter(unfinished, form, compression="zstd") as writer:
            for group in _groups(batch for stream in streams for batch in _batches(stream)):
                writer.write_table(
                    pa.Table.from_batches(group, form.remove_metadata()).replace_schema_metadata(metadata)
                )
                count += sum(map(len, group))
    return count


def _batches(stream: Path) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    with suppress(pa.ArrowInvalid, OSError), pa.OSFile(str(stream)) as file, pa.ipc.open_stream(file) as batches:
        yield from batches


def _groups(batches: Iterable["pa.RecordBatch"]) -> Iterator[list["pa.RecordBatch"]]:
    """Group batches into row groups that a reader can hold in memory."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(map(len, group)) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def server_addresses(path: Path) -> list[str]:
    """List the addresses of the servers that answered a level's requests."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column = pq.read_table(path, columns=["server_address"]).column(0)
    return sorted(address for address in pc.unique(column).to_pylist() if address)


ARROW = {bool: "bool", int: "int32", float: "double", str: "string"}
WIDTHS = {"sent_at_ns": "int64", "http_status": "int16"}


def schema() -> "pa.Schema":
    """The columns of a level's Parquet file, a pyarrow schema: those of Sample."""
    import pyarrow as pa

    return pa.schema([_field(name, hint) for name, hint in get_type_hints(Sample).items()])


def _field(name: str, hint: type) -> "pa.Field":
    import pyarrow as pa

    kind, *or_none = get_args(hint) or (hint,)
    one = pa.type_for_alias(WIDTHS.get(name, ARROW[kind]))
    return pa.field(name, pa.list_(one) if get_origin(hint) is list else one, nullable=bool(or_none))
