"""The spec: the YAML file, the flow's parameters and the command line's flags are this one model."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from shapebench.apis.table import APIS, ApiName
from shapebench.apis.target import AuthName
from shapebench.errors import ShapebenchError
from shapebench.spec import presets, request_fields, slo
from shapebench.spec.lengths import Lengths
from shapebench.spec.slo import Slo
from shapebench.support import credentials
from shapebench.support.frozen_model import FrozenModel

USUAL_REQUESTS_PER_STREAM = 30
MIN_USUAL_REQUESTS = 100  # needed for a 95th percentile
LONGEST_UNTIL_PRECISE_S = 600.0
UNKNOWN_SHAPE = "unknown shape"


Model = TypeVar("Model", bound=BaseModel)


class SpecError(ShapebenchError):
    """The spec cannot be used; the message lists all that is wrong with it."""

    exit_code = 2


def _shape_for_form(schema: dict[str, Any]) -> None:
    """Show an optional value as one input that may be empty, not as a choice between a type and null."""
    for name, field in schema.get("properties", {}).items():
        forms = [form for form in field.get("anyOf", ()) if form != {"type": "null"}]
        if len(forms) == 1 and forms[0].get("type") in ("string", "integer", "number"):
            kept = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
            schema["properties"][name] = {**forms[0], **kept}
        elif isinstance(field.get("default"), dict):
            field["default"] = {key: value for key, value in field["default"].items() if value is not None}


class StrictModel(FrozenModel):
    """A section of a spec: its errors show no input, which may be secret, and its schema works in Prefect's form."""

    model_config = ConfigDict(hide_input_in_errors=True, json_schema_extra=_shape_for_form)


def _base_url(url: str) -> str:
    url = url.rstrip("/").removesuffix("/v1")
    if any(mark in url for mark in "@?#"):
        raise PydanticCustomError(
            "maybe_secret",
            "only the base address belongs here: parameters after ? belong into query (--query), the API's path into "
            "path (--path); a password or a key would be written into results: name the variable that holds it in "
            "api_key_env or headers",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} is not a URL: it begins with http:// or https://, such as http://127.0.0.1:8000")
    return url


def _metrics_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL, such as http://127.0.0.1:8002/metrics")
    if parts.username or parts.password:
        raise PydanticCustomError("maybe_secret", "a name or password before @ would be written into results")
    return url


def _mean_and_stddev(value: object) -> object:
    if isinstance(value, int | float):
        return {"mean": value}
    if not isinstance(value, str):
        return value
    mean, _, stddev = value.partition(",")
    return {"mean": mean, "stddev": stddev or 0}


def _share(value: object) -> object:
    """Accept a percentage, such as 2%."""
    number, percent, rest = value.partition("%") if isinstance(value, str) else ("", "", "")
    if percent and not rest.strip():
        with suppress(ValueError):
            return float(number) / 100
    return value


def _levels(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _check_levels(levels: tuple[int, ...]) -> tuple[int, ...]:
    if not levels:  # min_length would also be reported where the only level is wrong
        raise ValueError("at least one level is needed")
    if len(set(levels)) < len(levels):
        raise ValueError("a level is listed twice")
    return levels


def _slo(value: object) -> Slo:
    if isinstance(value, Slo):
        return value
    if not isinstance(value, str):
        raise ValueError(f"an SLO is a text, {slo.EXAMPLES}")  # noqa: TRY004 - pydantic shows ValueErrors
    return slo.parse(value)


def _check_unique(slos: tuple[Slo, ...]) -> tuple[Slo, ...]:
    names = [f"{one.column} {one.sign}" for one in slos]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"more than one bound is given for {', '.join(twice)}")
    return slos


class Normal(StrictModel):
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
SloText = Annotated[Slo, PlainValidator(_slo), PlainSerializer(str), WithJsonSchema({"type": "string"})]
BlockName = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]


class Endpoint(StrictModel):
    """The server under test."""

    url: Annotated[str, AfterValidator(_base_url)] = Field(
        title="URL",
        description="Base address of the server, such as http://127.0.0.1:8000; a trailing /v1 is dropped.",
        json_schema_extra={"pattern": "^https?://"},  # lets the form reject other addresses before the run begins
    )
    model: str = Field(
        min_length=1, title="Model", description="The model's name as the server lists it in /v1/models."
    )
    shape: str = Field(
        UNKNOWN_SHAPE,
        title="Shape",
        description="The machine that serves, such as VM.GPU.A10.1; shown in titles and stored in the results.",
    )
    on_this_machine: bool = Field(
        False,
        title="On this machine",
        description="The server runs on this machine, too. Its OCI shape, region and image, its GPUs, driver and "
        "clocks, and the server's command line are then stored with the run.",
    )
    weights_bytes: float | None = Field(
        None,
        gt=0,
        le=1e15,
        title="Weights (bytes)",
        description="Size of the model's weights (of a mixture of experts, those read for a token), to check that no "
        "query is faster than the shape's memory bandwidth allows. Empty: not checked.",
    )
    api: ApiName = Field(
        "chat",
        title="API",
        description="What is measured: OpenAI's chat, completions or responses, Anthropic's messages, Hugging Face's "
        "TGI (/generate_stream), OCI Generative AI's own chat, Vertex AI's streamGenerateContent, an endpoint of "
        "Amazon SageMaker, or Bedrock's Converse.",
    )
    metrics_url: Annotated[str, AfterValidator(_metrics_url)] | None = Field(
        None,
        title="Metrics URL",
        description="Where the server's own metrics are, if not at URL/metrics: Triton's are at port 8002, those of a "
        "server behind a gateway at its own address. The API key is sent there only if host and port are the URL's.",
    )
    api_key_env: str = Field(
        "SHAPEBENCH_API_KEY",
        title="API key variable",
        description="Name of the environment variable that holds the API key; the key itself is never written down.",
    )
    api_key_block: BlockName | None = Field(
        None,
        title="API key block",
        description="Name of a Prefect block of the type Endpoint key that holds the API key. Empty: the key is in the "
        "environment variable.",
    )
    auth: AuthName | None = Field(
        None,
        title="Authentication",
        description="key: the API key, sent as the API expects it. bearer: the API key as a bearer token. none: "
        "nothing. oci, google, aws: requests are signed with the credentials of that cloud. Empty: as is usual for the "
        "API, a key or its cloud's.",
    )
    auth_options: request_fields.AuthOptions = Field(
        {},
        title="Authentication options",
        description="What the API and its authentication need: compartment, profile, config_file, kind for OCI; "
        "project, location, service_account_file for Google; region, profile for AWS; container for SageMaker.",
    )
    path: request_fields.Path | None = Field(
        None,
        title="Path",
        description="The API's path below the URL, such as /v3/chat/completions. Empty: its usual one, or where the "
        "probe finds it.",
    )
    query: request_fields.Query | None = Field(
        None, title="Query", description="A query that requests need, such as api-version=2024-10-21; no secrets."
    )
    headers: request_fields.Headers = Field(
        {},
        title="Headers",
        description="Further headers, such as `api-key: AZURE_KEY`: each with the environment variable that holds its "
        "value, or block:NAME for a Prefect block. The values are never written down.",
    )
    tokenizer: Path | None = Field(
        None,
        title="Tokenizer",
        description="A tokenizer.json, or its folder, to count tokens with if the server does not.",
    )
    verify_tls: bool = Field(True, title="Verify TLS", description="Check the server's certificate.")
    ca_file: Path | None = Field(
        None, title="CA file", description="A PEM file of certificate authorities to trust instead of the system's."
    )
    ready_timeout_s: float = Field(
        60, gt=0, le=7200, title="Ready timeout (s)", description="How long to wait for the server to become healthy."
    )
    continuous_usage: Annotated[bool, Field(title="Yes or no")] | None = Field(
        None,
        title="Usage in each chunk",
        description="Request vLLM's continuous_usage_stats: the number of tokens in each chunk is then exact, also "
        "where there may be several (speculative decoding). Empty: yes if there are, and the server takes it.",
    )
    launch: str | None = Field(
        None,
        title="Launch command",
        description="A command line that starts the server; it is stopped when the run ends. Secrets in it are "
        "redacted in the results, but not in Prefect: pass keys in environment variables. Empty: the server runs "
        "already.",
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Check that the options which the API needs are there, among them those that its path names."""
        api = APIS[self.api]
        in_path = re.findall(r"{(\w+)}", self.path or api.path)
        missing = [name for name in (*api.needs, *in_path) if name not in {"model", *self.auth_options}]
        wrong = [
            f"{name} is one of {', '.join(choices)}"
            for name, choices in api.choices.items()
            if self.auth_options.get(name, choices[0]) not in choices
        ]
        if missing or wrong:
            needed = [f"api {self.api} needs {', '.join(missing)}"] if missing else []
            raise ValueError(f"auth_options: {'; '.join((*needed, *wrong))}")
        return self


class Workload(StrictModel):
    """The content of each request; the defaults are the article's."""

    preset: Annotated[str, AfterValidator(presets.known_preset)] | None = Field(
        None,
        title="Preset",
        description="Name of a standard workload; `shapebench workloads` lists them. Other fields set here or in the "
        "load override it: in a form, omit the fields that the preset should set. Empty: none.",
        json_schema_extra=lambda field: field.update(enum=[*presets.presets()]),
    )
    name: str = Field("chat", min_length=1, title="Name", description="A name for these lengths.")
    input_tokens: Tokens = Field(
        Normal(mean=200, stddev=40), title="Input tokens", description="Length of the prompts, chat template included."
    )
    output_tokens: Tokens = Field(
        Normal(mean=100, stddev=10), title="Output tokens", description="Length of the answers."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0, title="Temperature", description="Sampling temperature. Empty: the server's own."
    )
    extra_body: request_fields.ExtraBody = Field(
        {},
        title="Further fields",
        description="Fields to add to each request, such as `chat_template_kwargs: {enable_thinking: false}`, tools or "
        "response_format; objects are merged, and null removes a field.",
    )
    enforce_output_tokens: Annotated[bool, Field(title="Yes or no")] | None = Field(
        None,
        title="Enforce output length",
        description="Send vLLM's min_tokens and ignore_eos, so that answers have the requested length. Empty: yes if "
        "the server is vLLM and takes them.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**53,
        title="Seed",
        description="Repeats the prompts of an earlier run. Empty: new prompts.",
    )


class Load(StrictModel):
    """The load profile: concurrency levels, their length, and the limits of each request."""

    levels: Annotated[tuple[Concurrency, ...], BeforeValidator(_levels), AfterValidator(_check_levels)] = Field(
        (1, 2, 4, 8, 16, 32),
        title="Levels",
        description="Concurrency levels: the number of requests in flight at all times. Levels are measured one after "
        "another.",
        json_schema_extra={"minItems": 1, "uniqueItems": True},
    )
    requests_per_stream: int | None = Field(
        None,
        ge=1,
        le=100_000,
        title="Requests for each stream",
        description="A level of 8 streams sends 8 times as many. Empty: 30, and at least 100 for the level, or as many "
        "as the duration allows.",
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
        description="Counted from the first measured request; requests in flight at its end are completed. If a number "
        "of requests is set, too, the level ends with whichever comes first.",
    )
    until_precise: Share | None = Field(
        None,
        title="Until this precise",
        description="End a level as soon as the 95% confidence intervals of its mean TTFT and throughput are within "
        "this share of the mean, such as 0.02. The number of requests and the duration (default 600 s) still limit it.",
    )
    stop_below_query_tokens_per_s: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        title="Stop below (tokens/s for each query)",
        description="Skips all higher levels once a query gets less on average. Empty: no level is skipped.",
    )
    warmup_requests_per_stream: int = Field(
        2,
        ge=0,
        le=1000,
        title="Warm-up requests for each stream",
        description="Sent first and not counted; each stream continues with its measured requests without a pause. The "
        "first has a random length, to desynchronise the streams; a second lets the initial burst pass.",
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
        description="Measuring processes that share the streams of a level. Empty: as many as the calibration shows to "
        "be needed.",
    )
    calibrate: bool = Field(
        True,
        title="Calibrate",
        description="Before the run, measure a server of known timing for a second at each level, to find what the "
        "client adds to TTFT and how much load it can handle.",
    )

    def requests_at(self, concurrency: int) -> int | None:
        """Return the number of measured requests of a level; None: as many as the time allows."""
        if self.requests or self.requests_per_stream:
            return self.requests or concurrency * (self.requests_per_stream or 0)
        if self.duration_s or self.until_precise:
            return None
        return max(concurrency * USUAL_REQUESTS_PER_STREAM, MIN_USUAL_REQUESTS)

    def duration_at(self, concurrency: int) -> float | None:
        """Return the longest time to measure (s); None: as long as the requests take."""
        if self.until_precise and not self.requests_at(concurrency):
            return self.duration_s or LONGEST_UNTIL_PRECISE_S
        return self.duration_s


class Limits(StrictModel):
    """The limits that users accept: drawn in the plots and evaluated in the report."""

    query_tokens_per_s: float = Field(
        10,
        gt=0,
        le=1_000_000,
        title="Tokens/s for each query, at least",
        description="People read 10 to 15 tokens/s.",
    )
    ttft_s: float = Field(
        0.5, gt=0, le=3600, title="Time to first token (s), at most", description="Evaluated at the 95th percentile."
    )
    slo: Annotated[tuple[SloText, ...], AfterValidator(_check_unique)] = Field(
        (),
        title="SLOs",
        description="Further limits, such as `ttft_s p99 <= 1`, `inter_token_s p99 <= 0.1` or `error_rate <= 0.01`. An "
        "SLO on `ttft_s p95` or `query_tokens_per_s mean` replaces the limit above.",
    )
    slo_only: bool = Field(
        False, title="SLOs only", description="Evaluate only the SLOs; the two limits are drawn, not evaluated."
    )

    @property
    def slos(self) -> tuple[Slo, ...]:
        """List all SLOs of a level; the two limits are SLOs with names."""
        limits = (replace(form, bound=getattr(self, name)) for name, form in LIMITS.items() if not self.slo_only)
        return tuple(dict.fromkeys((*limits, *self.slo)))

    @model_validator(mode="after")
    def _check_any_slo(self) -> Self:
        if self.slo_only and not self.slo:
            raise ValueError("slo_only leaves nothing to evaluate: set an SLO, or drop slo_only")
        return self

    @model_validator(mode="before")
    @classmethod
    def _draw_as_evaluated(cls, given: object) -> object:
        """Set a limit from an SLO of the same form, so that the plots draw it."""
        if not isinstance(given, dict):
            return given
        slos = given.get("slo")
        bounds: dict[str, float] = {}
        for text in slos if isinstance(slos, list | tuple) else ():
            with suppress(ValueError):
                one = _slo(text)
                bounds |= {name: one.bound for name, form in LIMITS.items() if replace(one, bound=form.bound) == form}
        return {**given, **bounds}


# The two limits as SLOs, by the fields that hold their bounds.
LIMITS = {
    "query_tokens_per_s": Slo("query_tokens_per_s", "mean", ">=", 10),
    "ttft_s": Slo("ttft_s", "p95", "<=", 0.5),
}


class Search(StrictModel):
    """A search for the highest concurrency that meets all SLOs."""

    model_config = ConfigDict(title="Capacity search")

    min_level: Concurrency = Field(1, title="Min level", description="Lowest level that the search may measure.")
    max_level: Concurrency = Field(1024, title="Max level", description="Highest level that the search may measure.")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.min_level > self.max_level:
            raise ValueError(f"min_level {self.min_level} is above max_level {self.max_level}: swap them")
        return self


class OciTarget(StrictModel):
    """A bucket in OCI Object Storage."""

    model_config = ConfigDict(title="OCI bucket")

    bucket: str = Field(min_length=1, title="Bucket", description="Where reports go; it must exist.")
    prefix: str = Field("shapebench", title="Prefix", description="Object names begin with it.")
    namespace: str | None = Field(None, title="Namespace", description="Empty: looked up.")
    region: str | None = Field(None, title="Region", description="Empty: that of the profile or the instance.")
    auth: Literal[
        "config_file", "session_token", "instance_principal", "resource_principal", "block", "environment"
    ] = Field(
        "config_file",
        title="Authentication",
        description="A profile of the OCI config file, the session token of `oci session authenticate`, the instance "
        "or resource principal, a Prefect block, or the variables OCI_CLI_USER, OCI_CLI_TENANCY and so on.",
    )
    credentials_block: BlockName | None = Field(
        None,
        title="Credentials block",
        description="Name of a Prefect block of the type OCI credentials, for the authentication `block`.",
    )
    config_file: Path = Field(
        Path("~/.oci/config"),
        title="Config file",
        description="The file that `oci setup config` wrote, on the machine that runs the benchmark.",
    )
    profile: str = Field("DEFAULT", title="Profile", description="Section of the config file.")
    service_endpoint: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None, title="Service endpoint", description="A private endpoint's address. Empty: the region's."
    )
    share_for_days: int | None = Field(
        None,
        ge=1,
        le=365,
        title="Share for (days)",
        description="How long the link works that `shapebench publish RUN_ID` creates and shows, by which anybody can "
        "read the report. Flows create no link, since their logs would contain it. Empty: no link.",
    )

    @model_validator(mode="after")
    def _check_credentials_block(self) -> Self:
        if (self.auth == "block") != (self.credentials_block is not None):
            raise ValueError("auth: block and credentials_block need each other: set both or neither")
        return self


class Publish(StrictModel):
    """Destinations of the report in addition to the data folder."""

    folder: Path | None = Field(None, title="Folder", description="A folder to copy reports to. Empty: DATA/published.")
    oci: OciTarget | None = Field(None, title="OCI Object Storage", description="Upload to a bucket instead.")
    include: tuple[Literal["database", "samples"], ...] = Field(
        (),
        title="Also publish",
        description="Also publish a copy of results.duckdb with all its runs, or the run's samples.",
        json_schema_extra={"uniqueItems": True},
    )


class BenchmarkSettings(StrictModel):
    """The fields that a spec and a choice share: what to measure, and where the results go."""

    workload: Workload = Field(Workload(), title="Workload")
    load: Load = Field(Load(), title="Load")
    limits: Limits = Field(Limits(), title="Limits")
    search: Search | None = Field(
        None,
        title="Capacity search",
        description="Search for the highest concurrency that meets all SLOs, instead of measuring the levels above. "
        "Empty: measure the levels.",
    )
    publish: Publish = Field(Publish(), title="Publish")
    data: Path = Field(
        Path("data"), title="Data folder", description="Contains results.duckdb, the raw samples and the reports."
    )

    _with_preset = model_validator(mode="before")(presets.apply_preset)

    @model_validator(mode="after")
    def _check_every_stream_has_work(self) -> Self:
        requests, search = self.load.requests, self.search
        levels = [search.max_level] if search else self.load.levels
        if requests is not None and (idle := [n for n in levels if n > requests]):
            other = f"search up to {requests}" if search else "leave those levels out"
            raise ValueError(
                f"load.requests={requests} leaves streams idle at {', '.join(map(str, idle))}: "
                f"set at least {max(idle)} requests, or a number for each stream (load.requests_per_stream), or {other}"
            )
        return self


class OneEndpoint(StrictModel):
    """The server of a spec."""

    endpoint: Endpoint = Field(title="Endpoint")


class Spec(BenchmarkSettings, OneEndpoint):  # the fields of the last base come first, in the form and in files
    """A benchmark: which server, which requests, how many at once, and where the results go."""

    on_invalid: Literal["mark", "fail"] = Field(
        "mark",
        title="When a level is invalid",
        description="The level is stored and marked in any case. mark: the run ends Completed. fail: it ends Failed.",
    )
    when_busy: Literal["wait", "fail"] = Field(
        "wait",
        title="When another run measures the endpoint",
        description="wait: until that run is done. fail: end Failed at once, with the id of that run.",
    )

    @property
    def blocks(self) -> dict[str, str]:
        """Map each field that names a Prefect block to the block's name."""
        oci = self.publish.oci
        named = {
            credentials.ENDPOINT_KEY: self.endpoint.api_key_block,
            credentials.OCI_CREDENTIALS: oci.credentials_block if oci else None,
        }
        for name, source in self.endpoint.headers.items():
            named[credentials.header_field(name)] = credentials.block_name(source)
        return {field: name for field, name in named.items() if name}


def parse(content: dict[str, Any]) -> Spec:
    """Check a spec given as plain values; raises SpecError with everything that is wrong."""
    return parse_as(Spec, content, "examples/a10.yaml")


def parse_as(model: type[Model], content: dict[str, Any], example: str) -> Model:
    """Check plain values against a model; raises SpecError with everything that is wrong."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc'])) or 'spec'}: {_plain(e)}" for e in error.errors()]
        raise SpecError(
            "The spec cannot be used:\n" + "\n".join(wrong),
            f"Correct the fields above; {example} shows all fields.",
        ) from None


# Messages that are clearer than pydantic's, or must not repeat the input.
WORDS = {"extra_forbidden": "there is no such field", "missing": "needed, but not given"}


def _plain(error: ErrorDetails) -> str:
    if error["type"] in WORDS:
        return WORDS[error["type"]]
    message = str(error["msg"]).removeprefix("Value error, ")
    silent = isinstance(error["input"], dict) or error["type"] == "maybe_secret"
    return message if silent else f"{message} (given: {error['input']!r})"


def read(path: Path) -> dict[str, Any]:
    """Read the plain values of a YAML spec file, not checked yet."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Cannot read {path}: {error.strerror}", "Use a YAML file that exists.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not YAML: {error}", "Correct the line in the message.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path} has no fields", "See examples/ for a spec to start from.")
    return content
