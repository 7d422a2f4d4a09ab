"""Client of a server outside of the load (httpx): health, models, version, tokenizer, metrics, streamed requests."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import orjson

from shapebench.apis.api import Json, bearer
from shapebench.apis.auth import signer
from shapebench.apis.profile import ServerProfile
from shapebench.apis.reading import Reading, StreamError, error_text
from shapebench.apis.request_body import build_body, merge_headers, request_url
from shapebench.apis.sse import has_events
from shapebench.apis.stream_reader import Piece, read
from shapebench.apis.table import APIS
from shapebench.apis.target import PROBE_AGENT, Target
from shapebench.probe.endpoint_errors import (
    BadAddressError,
    BadAnswerError,
    EndpointError,
    EndpointTimeoutError,
    RedirectedError,
    RouteNotFoundError,
    UnauthorizedError,
    unreachable,
)
from shapebench.probe.endpoint_secrets import key_place, request_credentials
from shapebench.probe.route import tls_context
from shapebench.probe.token_counters import Count, server_counter
from shapebench.server_metrics import exposition
from shapebench.spec.model import Endpoint, Workload
from shapebench.support.redact import one_line, redact_value

METRICS_TIMEOUT_S, MAX_METRICS_BYTES = 5.0, 16_000_000
BEHIND_JSON = "/prometheus/metrics"  # of trtllm-serve, whose /metrics are statistics as JSON
MAX_ANSWER_BYTES = 16_000_000
QUOTED = 300  # characters of what a server says, in a message
BASE = "/v1/"  # APIs below it have their list of models beside them


def target(
    endpoint: Endpoint,
    workload: Workload | None = None,
    profile: ServerProfile | None = None,
    *,
    enforce_output_tokens: bool = False,
) -> Target:
    """Reduce an endpoint to what requests need to know, asked as its profile says."""
    workload, known = workload or Workload(), profile or ServerProfile(endpoint.path or APIS[endpoint.api].path)
    return Target(
        url=endpoint.url,
        model=endpoint.model,
        api=endpoint.api,
        temperature=workload.temperature,
        enforce_output_tokens=enforce_output_tokens,
        verify_tls=endpoint.verify_tls,
        ca_file=str(endpoint.ca_file) if endpoint.ca_file else None,
        continuous_usage=known.continuous_usage if profile else bool(endpoint.continuous_usage),
        path=known.path,
        query=endpoint.query,
        extra_body=dict(workload.extra_body),
        auth=endpoint.auth or APIS[endpoint.api].auth,
        auth_options=dict(endpoint.auth_options),
        dropped_fields=known.dropped_fields,
        renamed_fields=known.renamed_fields,
        token_source=known.token_source,
        tokenizer=str(endpoint.tokenizer) if endpoint.tokenizer else None,
    )


@dataclass(frozen=True)
class Model:
    """An entry of /v1/models."""

    id: str
    owner: str | None
    max_model_len: int | None
    root: str | None = None  # the name or folder that the server reads it from


@dataclass(frozen=True)
class StreamedAnswer:
    """The answer to a streamed request: what was read of it, or the body of a refusal; `fault` says what is wrong."""

    url: str
    asked: Json
    status: int
    headers: Mapping[str, str]
    body: bytes
    reading: Reading
    fault: StreamError | None
    e2e_s: float

    @property
    def is_complete(self) -> bool:
        return self.status == 200 and self.fault is None


class Client:
    """A client of the server's control plane; every failure is an EndpointError with a remedy.

    `path` is that of the API, below which the list of models is; it may be found out later.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = 10, *, path: str | None = None) -> None:
        self._endpoint, self._api = endpoint, APIS[endpoint.api]
        self._metrics_at = endpoint.metrics_url or f"{endpoint.url}/metrics"
        self.path = path or endpoint.path or self._api.path
        self._credentials = request_credentials(endpoint)
        self._sign = signer(target(endpoint), self._credentials)
        self._counter: Count | None = None
        self._counter_is_known = False
        with _usable(endpoint):
            httpx.URL(endpoint.url)
            self._http = httpx.Client(
                headers={"User-Agent": PROBE_AGENT, "Accept-Encoding": "identity"},
                verify=tls_context(endpoint.verify_tls, str(endpoint.ca_file) if endpoint.ca_file else None),
                timeout=timeout_s,
                limits=httpx.Limits(max_keepalive_connections=0),  # a server may close one after an error, at any time
                trust_env=False,  # a proxy between us and the server would be measured, too
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> int:
        """Return the status of /health: 200 when the server is ready, 404 if it has no such path."""
        return self._request("GET", "/health").status_code

    def version(self) -> str | None:
        """Return vLLM's version; None if the server does not report one."""
        version = self._optional(self._request("GET", "/version")).get("version")
        return str(version) if version else None

    def models(self) -> list[Model]:
        response = self._request("GET", self._models_path)
        content = self._ok(response)
        try:
            listed = content if isinstance(content, list) else content["data"]
            return [_model(entry) for entry in listed if isinstance(entry["id"], str)]
        except (KeyError, TypeError, AttributeError):
            raise self._bad_answer(str(response.url), "it is not a list of models") from None

    @property
    def _models_path(self) -> str:
        """The list of models is beside the API: /v3/models beside /v3/chat/completions."""
        _, below, rest = self._api.path.partition(BASE)
        begin = self.path.removesuffix(rest) if below and self.path.endswith(f"/{rest}") else BASE
        return f"{begin}models" + (f"?{self._endpoint.query}" if self._endpoint.query else "")

    def metrics(self) -> str:
        """Fetch the text of /metrics, within a time limit for the complete answer, since a level waits for it."""
        if not (self._api.control_plane or self._endpoint.metrics_url):
            raise RouteNotFoundError(f"{self._endpoint.url} is a hosted API without metrics.", "Measure without them.")
        text = self._fetch_metrics()
        if text.startswith(("[", "{")) and not self._metrics_at.endswith(BEHIND_JSON):
            self._metrics_at = f"{self._endpoint.url}{BEHIND_JSON}"
            text = self._fetch_metrics()
        return text

    def _fetch_metrics(self) -> str:
        deadline_s, content = time.monotonic() + METRICS_TIMEOUT_S, b""
        request = self._http.build_request(
            "GET",
            self._metrics_at,
            headers=self._secret_headers("GET", self._metrics_at, {}),
            timeout=METRICS_TIMEOUT_S,
        )
        with self._errors(), closing(self._http.send(request, stream=True)) as response:
            if response.status_code != 200:
                raise RouteNotFoundError(
                    f"{response.url} answers with HTTP {response.status_code}.",
                    "Let the server have metrics (SGLang: --enable-metrics; llama.cpp: --metrics; trtllm-serve: "
                    "return_perf_metrics), and set endpoint.metrics_url if they are at another address.",
                )
            for piece in response.iter_bytes():
                content += piece
                if time.monotonic() > deadline_s or len(content) > MAX_METRICS_BYTES:
                    raise EndpointTimeoutError(
                        f"{response.url} was not complete in time.", "Check whether the server is overloaded."
                    )
        return content.decode("utf-8", "replace")

    def identity(self) -> dict[str, str]:
        """Identify the server and its configuration by what it reports; a hosted API reports nothing."""
        fields: dict[str, str] = {}
        if not self._api.control_plane:
            return fields
        with suppress(BadAnswerError, RouteNotFoundError, UnauthorizedError):  # not all servers list their models
            model = next((m for m in self.models() if m.id == self._endpoint.model), None)
            fields["model"] = f"{model.id} of {model.max_model_len} tokens" if model else "not there"
        if version := self.version():
            fields["version"] = version
        with suppress(EndpointError, ValueError):  # the cache's settings are optional
            fields |= exposition.identity(self.metrics())
        return fields

    def count_prompt(self, prompt: str) -> int | None:
        """Count the tokens of a text, without special tokens; None if the server does not count."""
        if self._api.control_plane and not self._counter_is_known:
            self._counter, self._counter_is_known = server_counter(self._post_json, self._endpoint.model), True
        return self._counter(prompt) if self._counter else None

    def count_request(self, prompt: str) -> int | None:
        """Count the tokens of a request with this prompt, including chat template and special tokens, as vLLM does."""
        if not self._api.control_plane:
            return None
        answer = self._post_json("/tokenize", {"model": self._endpoint.model, **self._api.write_prompt(prompt)})
        count = answer.get("count") if isinstance(answer, dict) else None
        return count if isinstance(count, int) else None

    def _post_json(self, path: str, content: Json) -> object:
        response = self._request("POST", path, content=orjson.dumps(content))
        try:
            return response.json() if response.status_code == 200 else None
        except ValueError:
            return None

    def stream(self, asked: Target, prompt: str, output_tokens: int, timeout_s: float | None = None) -> StreamedAnswer:
        """Send one streamed request, as the load does, and read its answer."""
        body, url = build_body(asked, prompt, output_tokens, True), request_url(asked)
        content, reading, begun_s = orjson.dumps(body), Reading(keeps_text=True), time.monotonic()
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        headers = merge_headers(headers, self._api.headers, asked.headers)
        headers = self._secret_headers("POST", url, headers, content)
        with (
            self._errors(),
            self._http.stream(
                "POST", url, content=content, headers=headers, timeout=timeout_s or self._endpoint.ready_timeout_s
            ) as response,
        ):
            pieces = [*_received(response)]
        received = b"".join(piece for _, piece, _ in pieces)
        fault = self._read(pieces, received, reading) if response.status_code == 200 else None
        e2e_s = time.monotonic() - begun_s
        return StreamedAnswer(url, body, response.status_code, response.headers, received, reading, fault, e2e_s)

    def _read(self, pieces: list[Piece], received: bytes, reading: Reading) -> StreamError | None:
        try:
            read(self._api, pieces, reading)
        except StreamError as fault:
            if fault.kind == "stream_error" or has_events(received):
                return fault
            return StreamError("malformed", f"the answer is not a stream of events: {error_text(received)}")
        except Exception as error:  # noqa: BLE001 - whatever a server sends
            return StreamError("malformed", f"not an answer of {self._api.path}: {error!r}")
        return None

    def refuse(self, answer: StreamedAnswer) -> EndpointError:
        """Return the error of an answer that is no answer to the request."""
        try:
            self._check_status(answer.url, answer.status, answer.headers, answer.body, is_post=True)
        except EndpointError as error:
            return error
        return self._bad_answer(answer.url, answer.fault.message if answer.fault else "it is not complete")

    def quote(self, text: str) -> str:
        """Put a text of the server on one line, without the endpoint's secrets."""
        for secret in self._credentials.secrets:
            text = redact_value(text, secret)
        return one_line(text, QUOTED)

    def _request(self, method: str, path: str, content: bytes = b"") -> httpx.Response:
        url = f"{self._endpoint.url}{path}"
        headers = self._secret_headers(method, url, {"Content-Type": "application/json"} if content else {}, content)
        with self._errors():
            return self._http.request(method, url, content=content or None, headers=headers)

    def _secret_headers(self, method: str, url: str, headers: dict[str, str], content: bytes = b"") -> dict[str, str]:
        """Add the headers with secrets, which belong to the endpoint only."""
        if _origin(url) != _origin(self._endpoint.url):
            return headers
        host = {"Host": urlsplit(url).netloc.rpartition("@")[2]}
        all_headers = merge_headers(host, headers, self._credentials.headers)
        return merge_headers(all_headers, self._sign(method, url, all_headers, content))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RequestError, UnicodeError) as error:
            raise unreachable(self._endpoint.url, error) from error

    def _ok(self, response: httpx.Response) -> Any:
        url = str(response.url)
        self._check_status(url, response.status_code, response.headers, response.content, is_post=False)
        try:
            return response.json()
        except ValueError:
            raise self._bad_answer(url, "it is not JSON") from None

    def _check_status(
        self, url: str, status: int, headers: Mapping[str, str], content: bytes, *, is_post: bool
    ) -> None:
        """Raise the error of a status that is not 200."""
        if status in (401, 403):
            raise self._unauthorized(status, content)
        if 300 <= status < 400 and (location := headers.get("location")):
            raise RedirectedError(
                f"{url} redirects to {location}, which the load does not follow.",
                "Use the address that it redirects to as the URL, without the path of the API.",
            )
        said = self.quote(error_text(content)).rstrip(".")
        if status == 404:
            raise RouteNotFoundError(
                f"{url} does not exist (404){f': {said}' if is_post and said else ''}.",
                f"Use the base address of the server as the URL, without {self._api.path}; where the API is at another "
                "path, set endpoint.path (--path), and endpoint.query (--query) where it needs parameters; where the "
                f"server has another API than {self._endpoint.api}, set endpoint.api (--api).",
            )
        if status != 200:
            raise self._bad_answer(url, f"HTTP {status}: {said}")

    def _optional(self, response: httpx.Response) -> dict[str, Any]:
        """Read the object that an optional route returned; empty if it returned anything else."""
        try:
            content = response.json() if response.status_code == 200 else {}
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def _bad_answer(self, url: str, why: str) -> BadAnswerError:
        return BadAnswerError(
            f"{url} returned an unusable answer: {self.quote(why)}",
            f"See the server's log, and check that it serves {self._api.path} and supports the request.",
        )

    def _unauthorized(self, status: int, content: bytes) -> UnauthorizedError:
        given = "its key was rejected" if self._credentials.api_key else "it is not set"
        said = self.quote(error_text(content))
        answer, auth = f"HTTP {status}{f': {said}' if said else ''}", self._endpoint.auth or self._api.auth
        if auth in SIGNED:
            return UnauthorizedError(
                f"{self._endpoint.url} refuses requests with the credentials for {auth} ({answer}).", SIGNED[auth]
            )
        own_form = self._api.key_headers is not bearer and auth == "key"
        or_bearer = ", or set endpoint.auth to bearer (--auth bearer)" if own_form else ""
        return UnauthorizedError(
            f"{self._endpoint.url} requires a valid API key ({answer}).",
            f"Put the server's key into {key_place(self._endpoint)} ({given}); if the server expects it in a header of "
            f"its own, name that in endpoint.headers (such as --header api-key=MY_VARIABLE){or_bearer}.",
        )


# Remedies where requests are refused that a cloud's credentials have signed.
SIGNED = {
    "oci": "Check the compartment and the profile in endpoint.auth_options, the policy that lets its user use the "
    "service, and this machine's clock.",
    "google": "Check the project in endpoint.auth_options, and that the account may use Vertex AI in it.",
    "aws": "Check the region and the profile in endpoint.auth_options, that its user may invoke the model, and this "
    "machine's clock.",
}


def _model(entry: Json) -> Model:
    """Read an entry of the list of models; a field that is not as vLLM has it is unknown."""
    owner, length, root = entry.get("owned_by"), entry.get("max_model_len"), entry.get("root")
    return Model(
        str(entry["id"]),
        owner if isinstance(owner, str) else None,
        int(length) if isinstance(length, int | str) and str(length).isdecimal() else None,
        root if isinstance(root, str) and root else None,
    )


def _received(response: httpx.Response) -> Iterator[Piece]:
    """Receive an answer's body piece by piece, each with its arrival."""
    size = 0
    for piece in response.iter_raw():
        yield time.time_ns(), piece, len(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return


@contextmanager
def _usable(endpoint: Endpoint) -> Iterator[None]:
    try:
        yield
    except httpx.InvalidURL as error:
        raise BadAddressError(f"{endpoint.url} is not a URL: {error}", "Correct endpoint.url.") from None
    except OSError as error:  # among them ssl.SSLError
        raise BadAddressError(
            f"No certificates can be read from {endpoint.ca_file}: {error}",
            "Set endpoint.ca_file (--ca-file) to a PEM file.",
        ) from None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port
