"""What one level is to do: made by the pipeline, sent to the process that measures."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from shapebench.workload import Lengths, Mix, Sizing


@dataclass(frozen=True)
class Target:
    """Where requests go and how they are written."""

    url: str
    model: str
    api: str  # "chat" or "completions"
    temperature: float = 0.0
    enforce_output_tokens: bool = False
    verify_tls: bool = True
    ca_file: str | None = None


@dataclass(frozen=True)
class LevelPlan:
    """One closed loop: `concurrency` streams share `requests` measured requests."""

    target: Target
    mix: Mix
    concurrency: int
    requests: int
    warmup_requests: int  # of all streams together
    request_timeout_s: float
    samples: str  # the Parquet file to write

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        content: dict[str, Any] = orjson.loads(text)
        mix = content.pop("mix")
        return cls(
            target=Target(**content.pop("target")),
            mix=Mix(
                sizing=Sizing(**{**mix["sizing"], "words": tuple(mix["sizing"]["words"])}),
                input_tokens=Lengths(**mix["input_tokens"]),
                output_tokens=Lengths(**mix["output_tokens"]),
                seed=mix["seed"],
            ),
            **content,
        )
