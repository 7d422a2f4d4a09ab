"""The messages between a worker process and the one that started it: JSON lines on its stdin and stdout."""

from typing import Literal, TypedDict

from shapebench.support.batch_means import BucketsMessage


class Order(TypedDict, total=False):
    """A line on a worker's stdin, after its plan."""

    start_ns: int  # begin at this time
    finish: bool  # send nothing more, and wait for what is in flight


class TallyMessage(TypedDict):
    """The fields of a Tally."""

    sent: int
    completed: int
    failed: int
    tokens: int
    ttft_s: float
    measured_from_ns: int | None
    steady_from_ns: int | None
    complete_until_ns: int


class WorkerResult(TypedDict):
    """The end of a worker's part."""

    started_at_ns: int
    wall_s: float
    timestamps: Literal["kernel", "user"]
    interrupted: bool
    client: dict[str, float]


class WorkerMessage(TypedDict, total=False):
    """A line on a worker's stdout; a tally comes with its buckets."""

    ready: bool
    tally: TallyMessage
    buckets: BucketsMessage
    result: WorkerResult
    error: str
