"""What passes between the stages: frozen records, seconds and tokens throughout."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from shapebench.runs.host import Host
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.spec.lengths import Lengths
from shapebench.spec.model import Spec

DATA_DOCS = "validation"  # a folder of Great Expectations' own pages, beside a run's samples and beside its report
Status = Literal["valid", "suspect", "invalid"]


@dataclass(frozen=True)
class ServerFacts:
    """What the probe learned about the server."""

    server: str  # "vllm", or the Server header of anything else
    version: str | None
    max_model_len: int | None
    models: tuple[str, ...]
    fingerprint: str | None  # vLLM's system_fingerprint changes with the server's configuration
    sizing: PromptSizing
    probe_e2e_s: float  # the one real completion
    identity: dict[str, str] = field(default_factory=dict)  # what would change if it were another server
    changes: tuple[str, ...] = ()  # that it had gone through by the time the run was resumed
    root: str | None = None  # where it has the model from: a name, or a folder of its machine
    revision: str | None = None  # of the model
    host: Host = field(default_factory=Host)

    @property
    def is_vllm(self) -> bool:
        return self.server == "vllm"


@dataclass(frozen=True)
class Run:
    """One sweep over the levels: what was asked, of whom, with what."""

    run_id: str
    started_at: datetime
    spec: Spec
    seed: int
    versions: dict[str, str]
    machine: dict[str, Any]
    git_revision: str | None
    flow_run_id: str | None = None  # Prefect's, which finds its run by it when it is retried
    resumed_at: tuple[datetime, ...] = ()  # each time that measuring went on after it had been broken off
    skipped_levels: tuple[int, ...] = ()  # levels that were asked for, and given up

    @property
    def folder(self) -> Path:
        return self.spec.data / "runs" / self.run_id

    @property
    def data_docs(self) -> Path:
        return self.folder / DATA_DOCS

    def samples_at(self, concurrency: int) -> Path:
        return self.folder / f"level-{concurrency:04}.parquet"

    def server_metrics_at(self, concurrency: int) -> Path:
        return self.folder / f"server-{concurrency:04}.parquet"

    @property
    def server_log(self) -> Path:
        return self.folder / "server.log"


@dataclass(frozen=True)
class Calibration:
    """How the client fared against a server of known timing, at a level's concurrency; `error`: why it is unknown."""

    concurrency: int
    processes: int
    requests: int = 0
    tokens_per_s: float | None = None  # that it was driven with
    added_ttft_mean_s: float | None = None  # reported less true
    added_ttft_p50_s: float | None = None
    added_ttft_p99_s: float | None = None
    cpu_us_per_token: float | None = None
    capacity_tokens_per_s: float | None = None  # what its processes can take, by that cost
    error: str | None = None


@dataclass(frozen=True)
class RequestedLoad:
    """What a level's requests were to be, beside their number; samples are held against it."""

    input_tokens: Lengths
    output_tokens: Lengths
    shared_tokens: int  # of each prompt, which the chat template adds and all have in common
    weights_read_s: float | None  # the time that the shape takes to read the model's weights once; None: not known


@dataclass(frozen=True)
class LevelRun:
    """One concurrency level as it was measured; its samples lie in a Parquet file."""

    run_id: str
    concurrency: int
    planned_requests: int
    started_at: datetime
    wall_s: float
    timestamps: Literal["kernel", "user"]
    samples: Path | None  # None: the level ended before it wrote any, and `error` says why
    enforced_output_tokens: bool
    exact_prompts: bool  # sized by the server's own tokenizer
    client: dict[str, float] = field(default_factory=dict)  # how the client itself fared
    error: str | None = None
    stopped: bool = False  # by a cancel, a Ctrl-C or a signal: whoever resumes the run measures the level anew
    calibration: Calibration | None = None  # None: it was not asked for
    until_precise: float | None = None  # how precise it was to become
    requested: RequestedLoad | None = None  # None: measured by an earlier version
    slo_bounds: dict[str, float] | None = None  # of each request, by the SLOs; None: measured by an earlier version
    is_vllm: bool = False
    fingerprint: str | None = None  # that the server gave to the probe
    server_metrics: Path | None = None  # what the server said of itself meanwhile, a Parquet file
    server_error: str | None = None  # why that is not whole
    server_changes: tuple[str, ...] = ()  # of its version and configuration, since the probe


@dataclass(frozen=True)
class MetricRow:
    """One number: `metrics` in the results file is a list of these."""

    run_id: str
    concurrency: int
    metric: str
    stat: str
    value: float
    sample_count: int | None = None  # of the requests that it is made of; None for a total


@dataclass(frozen=True)
class Finding:
    """What became of one expectation at one level."""

    run_id: str
    concurrency: int
    expectation: str
    severity: Literal["suspect", "invalid"]
    passed: bool
    sentence: str  # what was expected, and what was seen, in plain words
    reason: str  # why it matters


@dataclass(frozen=True)
class Verdict:
    """Are the numbers fit to be believed?"""

    status: Status
    levels: dict[int, Status]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.passed)


@dataclass(frozen=True)
class Artifact:
    """One file of a report, and where it went; `error` is None where it arrived."""

    run_id: str
    name: str
    url: str
    size_bytes: int
    md5: str
    content_type: str
    published_at: datetime
    error: str | None = None
    sent: bool = True  # False: it was there already, and just the same


@dataclass(frozen=True)
class Link:
    """A way to a published report for whoever has its URL, which is shown once and stored nowhere in clear."""

    run_id: str
    link_id: str  # by which the store can be told to withdraw it
    name: str
    place: str  # what it opens, for those who may see that anyway
    created_at: datetime
    expires_at: datetime
    url: str = field(repr=False)
