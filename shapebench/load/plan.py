"""Plan of one level, which the pipeline sends to the measuring processes."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import orjson

from shapebench.apis.target import Target
from shapebench.load.prompts import RequestMix
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.spec.lengths import Lengths


@dataclass(frozen=True)
class LevelPlan:
    """One closed loop of `concurrency` streams; it ends with the last request or when its time is over."""

    target: Target
    mix: RequestMix
    concurrency: int
    requests: int | None  # measured ones, of all streams together; None: as many as the time allows
    warmup_requests: int  # of all streams together
    request_timeout_s: float
    samples: str  # the Parquet file to write
    duration_s: float | None = None  # from the first measured request on
    stall_timeout_s: float | None = None  # the longest pause within an answer
    until_precise: float | None = None  # end when the means are known this well, such as 0.02
    processes: int = 1
    part: int = 0  # of the processes, the one that is to do this: it has every processes-th stream

    @property
    def streams(self) -> range:
        """The numbers of this part's streams."""
        return range(self.part, self.concurrency, self.processes)

    @property
    def indices(self) -> Iterator[int]:
        """Indices of this part's requests, endless if only time ends the level.

        Each round has a request for each stream of the level; a part takes those of its own streams, so that all parts
        take about as long.
        """
        rounds = itertools.count(0, self.concurrency)
        indices = (begin + stream for begin in rounds for stream in self.streams)
        if self.requests is None:
            return indices
        end = self.warmup_requests + self.requests
        return itertools.takewhile(lambda index: index < end, indices)

    @property
    def part_samples(self) -> Path:
        """The file for this part's samples while the level runs, a stream of Arrow batches."""
        return Path(f"{self.samples}.{self.part}.arrow")

    def parts(self) -> list["LevelPlan"]:
        return [replace(self, part=part) for part in range(self.processes)]

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `to_json` wrote; without pydantic, which takes too long to import in each measuring process."""
        content = orjson.loads(text)
        mix, target = content.pop("mix"), content.pop("target")
        return cls(
            target=Target(**{**target, "dropped_fields": tuple(target["dropped_fields"])}),
            mix=RequestMix(
                sizing=PromptSizing(**{**mix["sizing"], "words": tuple(mix["sizing"]["words"])}),
                input_tokens=Lengths(**mix["input_tokens"]),
                output_tokens=Lengths(**mix["output_tokens"]),
                seed=mix["seed"],
            ),
            **content,
        )
