"""Reader of a level's samples: a row for each request, and the chunks of its tokens a few at a time.

It also has the server's own metrics of the level, if they could be read. A level may have a hundred million tokens, so
they are processed while they are read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shapebench.server_metrics.reconcile import ServerMetrics

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

AT_A_TIME = 2048  # samples
OFFSETS, TOKENS = "chunk_offsets_s", "chunk_tokens"


@dataclass(frozen=True)
class Chunks:
    """The chunks of some samples that follow each other, those of all in one array."""

    samples: slice  # which they are
    counts: Counts  # of each sample
    offsets_s: Values
    tokens: npt.NDArray[np.int32]

    @classmethod
    def of(cls, first: int, batch: pa.RecordBatch) -> Self:
        counts = pc.list_value_length(batch[OFFSETS]).to_numpy(zero_copy_only=False).astype(np.int64)
        offsets_s, tokens = (batch[name].flatten().to_numpy() for name in (OFFSETS, TOKENS))
        return cls(slice(first, first + len(counts)), counts, offsets_s, tokens)

    @cached_property
    def ends(self) -> Counts:
        """Indices at which the chunks of the next sample begin."""
        return np.cumsum(self.counts)

    def each(self) -> pd.DataFrame:
        """Summarise each sample: its chunks, their tokens, and when (s) the first and last came, NaN if none."""
        tokens = np.concatenate([[0], np.cumsum(self.tokens, dtype=np.int64)])
        padded_s = np.append(self.offsets_s, np.nan)  # or a last sample without chunks would begin after the end
        some, begins = self.counts > 0, self.ends - self.counts
        return pd.DataFrame(
            {
                "chunks": self.counts.astype(np.int32),
                "counted_tokens": tokens[self.ends] - tokens[begins],
                "first_token_s": np.where(some, padded_s[begins], np.nan),
                "last_token_s": np.where(some, padded_s[self.ends - 1], np.nan),
            }
        )

    def gaps_s(self, wanted: Mask) -> Values:
        """Return the gaps between chunks of samples; a chunk of k tokens counts k times a k-th of its gap."""
        follows = np.repeat(wanted, self.counts)
        follows[(self.ends - self.counts)[self.counts > 0]] = False
        tokens = self.tokens[follows]
        return np.repeat(np.diff(self.offsets_s, prepend=0)[follows] / np.maximum(tokens, 1), tokens)

    def arrivals_s(self, sent_s: Values) -> Values:
        """Return when each chunk came, if the samples were sent at these moments."""
        return np.repeat(sent_s, self.counts) + self.offsets_s


NO_CHUNKS = Chunks(slice(0), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


@dataclass(frozen=True)
class Samples:
    """All of a level; `requests` has a row for each, in the order of the file."""

    requests: pd.DataFrame
    file: Path
    server_metrics: ServerMetrics | None = None
    slo_bounds: Mapping[str, float] | None = None  # of each request, the bound on each of its numbers; None: not known

    def gaps_s(self, wanted: Mask) -> npt.NDArray[np.float32]:
        """Return the gaps between tokens of the samples wanted: the only array with an item for each token."""
        gaps_s = np.empty(int(self.requests["counted_tokens"].to_numpy()[wanted].sum()), dtype=np.float32)
        filled = 0
        for chunks in read_chunks(self.file):
            found_s = chunks.gaps_s(wanted[chunks.samples])
            gaps_s[filled : filled + len(found_s)] = found_s
            filled += len(found_s)
        return gaps_s[:filled]

    def arrivals(self, origin_ns: int) -> Iterator[tuple[Values, npt.NDArray[np.int32]]]:
        """Yield when chunks came, in seconds after a moment, and how many tokens each brought."""
        sent_s = ((self.requests["sent_at_ns"] - origin_ns) / 1e9).to_numpy()
        for chunks in read_chunks(self.file):
            yield chunks.arrivals_s(sent_s[chunks.samples]), chunks.tokens


def read_chunks(file: Path) -> Iterator[Chunks]:
    first = 0
    with _opened(file) as parquet:
        for batch in parquet.iter_batches(AT_A_TIME, columns=[OFFSETS, TOKENS]):
            yield Chunks.of(first, batch)
            first += len(batch)


def read_requests(file: Path) -> pd.DataFrame:
    """Read a row for each request, with its chunks in a few figures."""
    with _opened(file) as parquet:
        names = [name for name in parquet.schema_arrow.names if name not in (OFFSETS, TOKENS)]
        requests: pd.DataFrame = parquet.read(names).to_pandas(split_blocks=True, self_destruct=True)
    of_chunks = pd.concat([NO_CHUNKS.each(), *(chunks.each() for chunks in read_chunks(file))], ignore_index=True)
    return requests.assign(**of_chunks)


def _opened(file: Path) -> pq.ParquetFile:
    """Open without read-ahead, which would keep the whole file in memory."""
    return pq.ParquetFile(file, pre_buffer=False)
