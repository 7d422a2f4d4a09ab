"""What a person types: the YAML file, the flow's parameters and the command line's flags are this one model."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from shapebench.errors import ShapebenchError
from shapebench.workload import Lengths

USUAL_REQUESTS_PER_STREAM = 30
LEAST_USUAL_REQUESTS = 100  # which a 95th percentile takes
LONGEST_UNTIL_PRECISE_S = 600.0


class SpecError(ShapebenchError):
    """The spec cannot be used; the message lists all that is wrong with it."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _base_url(url: str) -> str:
    url = url.rstrip("/").removesuffix("/v1")
    if any(mark in url for mark in "@?#"):
        raise PydanticCustomError(
            "maybe_secret",
            "only the base address belongs here: a password before @ or a key after ? would be written into results; "
            "name the variable that holds the API key in api_key_env",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is not a URL: it begins with http:// or https://, such as http://127.0.0.1:8000")
    return url


def _mean_and_stddev(value: object) -> object:
    if isinstance(value, int | float):
        return {"mean": value}
    if not isinstance(value, str):
        return value
    mean, _, stddev = value.partition(",")
    return {"mean": mean, "stddev": stddev or 0}


def _share(value: object) -> object:
    """A percentage may be written as one."""
    number, percent, rest = value.partition("%") if isinstance(value, str) else ("", "", "")
    if percent and not rest.strip():
        with suppress(ValueError):
            return float(number) / 100
    return value


def _levels(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _some_and_distinct(levels: tuple[int, ...]) -> tuple[int, ...]:
    if not levels:  # min_length would say so as well where a level is there, but wrong
        raise ValueError("at least one level is needed")
    if len(set(levels)) < len(levels):
        raise ValueError("a level is named twice")
    return levels


class Normal(Part):
    """A number of tokens drawn from a normal distribution, rounded, never below 1."""

    mean: float = Field(gt=0, le=1_000_000, title="Mean", description="Tokens on average.")
    stddev: float = Field(
        0, ge=0, le=1_000_000, title="Standard deviation", description="Spread in tokens; 0 fixes it."
    )

    @property
    def lengths(self) -> Lengths:
        return Lengths(self.mean, self.stddev)


Tokens = Annotated[Normal, BeforeValidator(_mean_and_stddev)]
Share = Annotated[float, Field(ge=0.001, le=0.5), BeforeValidator(_share)]
Concurrency = Annotated[int, Field(ge=1, le=10_000)]


class Endpoint(Part):
    """The server that is measured."""

    url: Annotated[str, AfterValidator(_base_url)] = Field(
        title="URL", description="Base address of the server, such as http://127.0.0.1:8000; a trailing /v1 is dropped."
    )
    model: str = Field(
        min_length=1, title="Model", description="The model's name as the server lists it in /v1/models."
    )
    shape: str = Field(
        "unknown shape",
        title="Shape",
        description="The machine that serves, such as VM.GPU.A10.1; named in titles and in the results.",
    )
    weights_bytes: float | None = Field(
        None,
        gt=0,
        le=1e15,
        title="Weights (bytes)",
        description="Size of the model's weights (of a mixture of experts, those read for a token): no shape gives a "
        "query tokens faster than its memory can read them. Empty: that is not checked.",
    )
    api: Literal["chat", "completions"] = Field(
        "chat", title="API", description="Which of /v1/chat/completions and /v1/completions to measure."
    )
    api_key_env: str = Field(
        "SHAPEBENCH_API_KEY",
        title="API key variable",
        description="Name of the environment variable that holds the API key; the key itself is never written down.",
    )
    verify_tls: bool = Field(True, title="Verify TLS", description="Check the server's certificate.")
    ca_file: Path | None = Field(
        None, title="CA file", description="A PEM file of certificate authorities to trust instead of the system's."
    )
    ready_timeout_s: float = Field(
        60, gt=0, le=7200, title="Ready timeout (s)", description="How long to wait for the server to become healthy."
    )
    continuous_usage: bool = Field(
        False,
        title="Usage in each chunk",
        description="Ask for vLLM's continuous_usage_stats: how many tokens each chunk carries is exact then, also "
        "where it may be several (speculative decoding).",
    )
    launch: str | None = Field(
        None,
        title="Launch command",
        description="A command line that starts the server; it is stopped when the run ends. Results show it, so keep "
        "keys out of it. Empty: the server runs already.",
    )


class Workload(Part):
    """What each request asks for; the defaults are the article's."""

    name: str = Field("chat", min_length=1, title="Name", description="A name for this mix of lengths.")
    input_tokens: Tokens = Field(
        Normal(mean=200, stddev=40), title="Input tokens", description="Length of the prompts, chat template included."
    )
    output_tokens: Tokens = Field(
        Normal(mean=100, stddev=10), title="Output tokens", description="Length of the answers."
    )
    temperature: float = Field(0, ge=0, le=2, title="Temperature", description="Sampling temperature.")
    enforce_output_tokens: bool | None = Field(
        None,
        title="Enforce output length",
        description="Send vLLM's min_tokens and ignore_eos, so that answers have the length asked for. "
        "Empty: where the server is vLLM.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**53,
        title="Seed",
        description="Repeats the prompts of an earlier run. Empty: prompts never sent before.",
    )


class Load(Part):
    """How hard to press, and for how long."""

    levels: Annotated[tuple[Concurrency, ...], BeforeValidator(_levels), AfterValidator(_some_and_distinct)] = Field(
        (1, 2, 4, 8, 16, 32),
        title="Levels",
        description="Concurrency levels: how many requests are in flight all the time. "
        "One level is measured after another.",
    )
    requests_per_stream: int | None = Field(
        None,
        ge=1,
        le=100_000,
        title="Requests for each stream",
        description="A level of 8 streams sends 8 times as many. Empty: 30, at least 100 for the level, or as many as "
        "a duration allows.",
    )
    requests: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        title="Requests for each level",
        description="The same number at every level, instead of a number for each stream.",
    )
    duration_s: float | None = Field(
        None,
        gt=0,
        le=7 * 86_400,
        title="Duration of each level (s)",
        description="From the first measured request on; those in flight at its end are waited for. "
        "With a number of requests as well, a level ends with whatever comes first.",
    )
    until_precise: Share | None = Field(
        None,
        title="Until this precise",
        description="End a level as soon as the 95% confidence intervals of its mean TTFT and throughput are within "
        "this much of the mean, such as 2%; the number of requests and the duration (else 600 s) limit it still.",
    )
    warmup_requests_per_stream: int = Field(
        2,
        ge=0,
        le=1000,
        title="Warm-up requests for each stream",
        description="Sent first and not counted; each stream goes on to its measured requests without a pause. "
        "The first of them ends at a random length, to spread the streams; one more lets the burst of the start pass.",
    )
    request_timeout_s: float = Field(
        300, gt=0, le=86_400, title="Request timeout (s)", description="A request that takes longer is a failed sample."
    )
    stall_timeout_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        title="Stall timeout (s)",
        description="A longer pause within an answer makes it a failed sample. Empty: only the request timeout counts.",
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=256,
        title="Processes",
        description="Measuring processes that share the streams of a level. Empty: as many as it needs, by the cost "
        "that the calibration found.",
    )
    calibrate: bool = Field(
        True,
        title="Calibrate",
        description="Before the run, drive a server of known timing for a second at each level: what the client adds "
        "to TTFT and what it can take is in the results then.",
    )

    def requests_at(self, concurrency: int) -> int | None:
        """How many to measure; None: as many as the time allows."""
        if self.requests or self.requests_per_stream:
            return self.requests or concurrency * (self.requests_per_stream or 0)
        if self.duration_s or self.until_precise:
            return None
        return max(concurrency * USUAL_REQUESTS_PER_STREAM, LEAST_USUAL_REQUESTS)

    def duration_at(self, concurrency: int) -> float | None:
        """How long to measure at most (s); None: as long as the requests take."""
        if self.until_precise and not self.requests_at(concurrency):
            return self.duration_s or LONGEST_UNTIL_PRECISE_S
        return self.duration_s

    @model_validator(mode="after")
    def _every_stream_has_work(self) -> Self:
        if self.requests is not None and (idle := [n for n in self.levels if n > self.requests]):
            raise ValueError(
                f"requests={self.requests} leaves streams idle at {', '.join(map(str, idle))}: "
                f"ask for at least {max(idle)} requests, or leave those levels out"
            )
        return self


class Limits(Part):
    """What suits a person: drawn in the plots and judged in the report."""

    query_tokens_per_s: float = Field(
        10,
        gt=0,
        le=1_000_000,
        title="Tokens/s for each query, at least",
        description="10 to 15 tokens/s is as fast as people read.",
    )
    ttft_s: float = Field(
        0.5, gt=0, le=3600, title="Time to first token (s), at most", description="Held against the 95th percentile."
    )


class OciTarget(Part):
    """A bucket in OCI Object Storage."""

    bucket: str = Field(min_length=1, title="Bucket", description="Where reports go; it must exist.")
    prefix: str = Field("shapebench", title="Prefix", description="Object names begin with it.")
    namespace: str | None = Field(None, title="Namespace", description="Empty: looked up.")
    region: str | None = Field(None, title="Region", description="Empty: the one of the profile or of the instance.")
    auth: Literal["config_file", "instance_principal"] = Field(
        "config_file", title="Authentication", description="A profile of the OCI config file, or the instance itself."
    )
    config_file: Path = Field(
        Path("~/.oci/config"),
        title="Config file",
        description="What `oci setup config` wrote, on the machine that runs.",
    )
    profile: str = Field("DEFAULT", title="Profile", description="Which section of the config file to use.")
    service_endpoint: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None, title="Service endpoint", description="A private endpoint's address. Empty: the region's."
    )


class Publish(Part):
    """Where the report goes beside the data folder."""

    folder: Path | None = Field(None, title="Folder", description="A folder to copy reports to. Empty: DATA/published.")
    oci: OciTarget | None = Field(None, title="OCI Object Storage", description="Upload to a bucket instead.")


class Spec(Part):
    """A benchmark: which server, which requests, how many at once, and where the results go."""

    endpoint: Endpoint = Field(title="Endpoint")
    workload: Workload = Field(Workload(), title="Workload")
    load: Load = Field(Load(), title="Load")
    limits: Limits = Field(Limits(), title="Limits")
    publish: Publish = Field(Publish(), title="Publish")
    data: Path = Field(
        Path("data"), title="Data folder", description="Holds results.duckdb, the raw samples and the reports."
    )
    on_invalid: Literal["mark", "fail"] = Field(
        "mark",
        title="When a level is invalid",
        description="mark: keep it, say so, end Completed. fail: keep it, say so, end Failed.",
    )


def parse(content: dict[str, Any]) -> Spec:
    """Check a spec given as plain values; raises SpecError with everything that is wrong."""
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc'])) or 'spec'}: {_plain(e)}" for e in error.errors()]
        raise SpecError(
            "The spec cannot be used:\n" + "\n".join(wrong),
            "Correct the fields above; examples/a10.yaml shows what there is.",
        ) from None


# What says more than pydantic's own words, or must not repeat what was given.
WORDS = {"extra_forbidden": "there is no such field", "missing": "needed, but not given"}


def _plain(error: Any) -> str:
    if error["type"] in WORDS:
        return WORDS[error["type"]]
    message = str(error["msg"]).removeprefix("Value error, ")
    silent = isinstance(error["input"], dict) or error["type"] == "maybe_secret"
    return message if silent else f"{message} (given: {error['input']!r})"


def read(path: Path) -> dict[str, Any]:
    """The plain values in a YAML spec file, not checked yet."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Cannot read {path}: {error.strerror}", "Name a YAML file that exists.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not YAML: {error}", "Correct the line that the message names.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path} holds no fields", "See examples/ for a spec to start from.")
    return content
