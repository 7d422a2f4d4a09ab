"""Frozen records that pass between the stages; seconds and tokens throughout."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from shapebench.apis.profile import ServerProfile
from shapebench.runs.host import Host
from shapebench.runs.prompt_sizing import PromptSizing
from shapebench.spec.lengths import Lengths
from shapebench.spec.model import Spec

DATA_DOCS = "validation"  # a folder of Great Expectations' own pages, beside a run's samples and beside its report
Status = Literal["valid", "suspect", "invalid"]


@dataclass(frozen=True)
class ServerFacts:
    """The server's identity and properties, as the probe found them."""

    server: str  # "vllm", or the Server header of anything else
    version: str | None
    max_model_len: int | None
    models: tuple[str, ...]
    fingerprint: str | None  # vLLM's system_fingerprint changes with the server's configuration
    sizing: PromptSizing
    probe_e2e_s: float  # the one real completion
    identity: dict[str, str] = field(default_factory=dict)  # differs if it is another server
    changes: tuple[str, ...] = ()  # of the identity, found when the run was resumed
    root: str | None = None  # where it has the model from: a name, or a folder of its machine
    revision: str | None = None  # of the model
    host: Host = field(default_factory=Host)
    server_profile: ServerProfile | None = None  # None: probed by an earlier version

    @property
    def is_vllm(self) -> bool:
        return self.server == "vllm"


@dataclass(frozen=True)
class Run:
    """One sweep over the levels of an endpoint."""

    run_id: str
    started_at: datetime
    spec: Spec
    seed: int
    versions: dict[str, str]
    machine: dict[str, str | int | None]  # that measures
    git_revision: str | None
    flow_run_id: str | None = None  # Prefect's, which finds its run by it when it is retried
    resumed_at: tuple[datetime, ...] = ()  # each time that measuring resumed after an interruption
    skipped_levels: tuple[int, ...] = ()  # levels of the spec that were given up

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
    """The client's own cost at a level's concurrency, from a server of known timing; `error`: why it is unknown."""

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
    """The planned properties of a level's requests; samples are compared with them."""

    input_tokens: Lengths
    output_tokens: Lengths
    shared_tokens: int  # of each prompt, which the chat template adds and all have in common
    weights_read_s: float | None  # the time that the shape takes to read the model's weights once; None: not known


@dataclass(frozen=True)
class LevelRun:
    """One measured concurrency level; its samples are in a Parquet file."""

    run_id: str
    concurrency: int
    planned_requests: int
    started_at: datetime
    wall_s: float
    timestamps: Literal["kernel", "user"]
    samples: Path | None  # None: the level ended before it wrote any, and `error` says why
    enforced_output_tokens: bool
    exact_prompts: bool  # sized by the server's own tokenizer
    client: dict[str, float] = field(default_factory=dict)  # the client's own health
    error: str | None = None
    stopped: bool = False  # by a cancel, Ctrl-C or a signal: resuming the run measures the level again
    calibration: Calibration | None = None  # None: not requested
    until_precise: float | None = None  # the requested precision
    requested: RequestedLoad | None = None  # None: measured by an earlier version
    slo_bounds: dict[str, float] | None = None  # bounds of each request's metrics; None: measured by an earlier version
    is_vllm: bool = False
    fingerprint: str | None = None  # reported to the probe
    server_metrics: Path | None = None  # scraped during the level, a Parquet file
    server_error: str | None = None  # why that is incomplete
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
    """The result of one expectation at one level."""

    run_id: str
    concurrency: int
    expectation: str
    severity: Literal["suspect", "invalid"]
    passed: bool
    sentence: str  # the result in one plain sentence with its figures
    reason: str  # why it matters


@dataclass(frozen=True)
class Verdict:
    """The validity of a run and of each of its levels."""

    status: Status
    levels: dict[int, Status]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.passed)


@dataclass(frozen=True)
class Artifact:
    """One file of a report and where it was published; `error` is None on success."""

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
    """A shared link to a published report; its URL is shown once and stored nowhere in clear."""

    run_id: str
    link_id: str  # needed to withdraw the link
    name: str
    place: str  # what it opens, for those who may see that anyway
    created_at: datetime
    expires_at: datetime
    url: str = field(repr=False)
