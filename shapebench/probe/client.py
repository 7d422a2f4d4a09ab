"""Client of a server's control plane: health, models, version, tokenizer and one plain completion (httpx)."""

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx

from shapebench.apis.reading import error_text
from shapebench.apis.table import APIS
from shapebench.apis.target import Credentials, Target
from shapebench.errors import ShapebenchError
from shapebench.probe.route import tls_context
from shapebench.server_metrics import exposition
from shapebench.spec.model import Endpoint, Workload
from shapebench.support import credentials
from shapebench.support.redact import redact_value

METRICS_TIMEOUT_S, MAX_METRICS_BYTES = 5.0, 16_000_000
BEHIND_JSON = "/prometheus/metrics"  # of trtllm-serve, whose /metrics are statistics as JSON


class EndpointError(ShapebenchError):
    """The endpoint cannot be measured."""

    waited_for = False  # for as long as the spec allows: a retry does not help


class EndpointUnreachableError(EndpointError):
    """Nothing listens at the address."""


class ConnectionDroppedError(EndpointError):
    """Something listens at the address, but closes the connection or does not speak HTTP."""


class HostNotFoundError(EndpointError):
    """The host's name does not resolve."""


class TlsError(EndpointError):
    """The server's certificate is not trusted, or it speaks no TLS."""


class UnauthorizedError(EndpointError):
    """The server rejects the API key, or needs one."""


class RedirectedError(EndpointError):
    """The server redirects to another address."""


class BadAddressError(EndpointError):
    """The URL, the CA file or the API key cannot be used as it is."""


class RouteNotFoundError(EndpointError):
    """The server has no such path."""


class EndpointTimeoutError(EndpointError):
    """The server did not answer in time."""


class BadAnswerError(EndpointError):
    """The server answered something unexpected."""


def api_key(endpoint: Endpoint) -> str | None:
    """Read the key from the spec's block, else from the environment; raises BadAddressError for a malformed one."""
    block = endpoint.api_key_block
    given = (
        credentials.secret(credentials.ENDPOINT_KEY, block)["api_key"]
        if block
        else os.environ.get(endpoint.api_key_env, "")
    )
    key = given.strip()
    if not (key.isascii() and key.isprintable()):
        raise BadAddressError(
            f"The API key in {_key_place(endpoint)} contains invalid characters.",
            "Set it to the key only, on one line.",
        )
    return key or None


def _key_place(endpoint: Endpoint) -> str:
    block = endpoint.api_key_block
    return f"the Prefect block {block}" if block else f"the environment variable {endpoint.api_key_env}"


def request_credentials(endpoint: Endpoint) -> Credentials:
    """Collect the secrets of requests; raises BadAddressError where one is malformed."""
    return Credentials(api_key(endpoint))


def target(endpoint: Endpoint, workload: Workload, *, enforce_output_tokens: bool = False) -> Target:
    """Reduce endpoint and workload to what the load needs to know."""
    return Target(
        url=endpoint.url,
        model=endpoint.model,
        api=endpoint.api,
        temperature=workload.temperature,
        enforce_output_tokens=enforce_output_tokens,
        verify_tls=endpoint.verify_tls,
        ca_file=str(endpoint.ca_file) if endpoint.ca_file else None,
        continuous_usage=endpoint.continuous_usage,
        path=endpoint.path,
        query=endpoint.query,
        extra_body=workload.extra_body,
        auth=endpoint.auth or APIS[endpoint.api].auth,
        auth_options=endpoint.auth_options,
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
class Completion:
    """The answer to one plain request."""

    input_tokens: int
    output_tokens: int
    fingerprint: str | None
    e2e_s: float


class Client:
    """A client of the server's control plane; every failure is an EndpointError with a remedy."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = 10) -> None:
        self._endpoint, self._api = endpoint, APIS[endpoint.api]
        self._metrics_at = endpoint.metrics_url or "/metrics"
        key = api_key(endpoint)
        with _usable(endpoint):
            self._http = httpx.Client(
                base_url=endpoint.url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                verify=tls_context(endpoint.verify_tls, str(endpoint.ca_file) if endpoint.ca_file else None),
                timeout=timeout_s,
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
        response = self._request("GET", "/v1/models")
        content = self._ok(response)
        try:
            return [
                Model(m["id"], m.get("owned_by"), m.get("max_model_len"), m.get("root") or None)
                for m in content["data"]
            ]
        except (KeyError, TypeError, AttributeError):
            raise self._bad_answer(response, "it is not a list of models") from None

    def metrics(self) -> str:
        """Fetch the text of /metrics, within a time limit for the complete answer, since a level waits for it."""
        text = self._fetch_metrics()
        if text.startswith(("[", "{")) and self._metrics_at != BEHIND_JSON:
            self._metrics_at = BEHIND_JSON
            text = self._fetch_metrics()
        return text

    def _fetch_metrics(self) -> str:
        deadline_s, content = time.monotonic() + METRICS_TIMEOUT_S, b""
        request = self._http.build_request("GET", self._metrics_at, timeout=METRICS_TIMEOUT_S)
        if _origin(request.url) != _origin(self._http.base_url):
            request.headers.pop("Authorization", None)  # the key belongs to the endpoint only
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
        """Identify the server and its configuration by what it reports."""
        model = next((m for m in self.models() if m.id == self._endpoint.model), None)
        fields = {"model": f"{model.id} of {model.max_model_len} tokens" if model else "not there"}
        if version := self.version():
            fields["version"] = version
        with suppress(EndpointError, ValueError):  # the cache's settings are optional
            fields |= exposition.identity(self.metrics())
        return fields

    def count_prompt(self, prompt: str) -> int | None:
        """Count the tokens of a text, without special tokens; None if the server has no /tokenize."""
        return self._tokenize({"prompt": prompt, "add_special_tokens": False})

    def count_request(self, prompt: str) -> int | None:
        """Count the tokens of a request with this prompt, including chat template and special tokens."""
        return self._tokenize(self._api.write_prompt(prompt))

    def _tokenize(self, content: Mapping[str, object]) -> int | None:
        response = self._request("POST", "/tokenize", json={"model": self._endpoint.model, **content})
        count = self._optional(response).get("count")
        return count if isinstance(count, int) else None

    def complete(self, prompt: str, output_tokens: int) -> Completion:
        """Request one completion, not streamed."""
        request = self._api.write_body(target(self._endpoint, Workload()), prompt, output_tokens, False)
        response = self._request("POST", self._api.path, json=request, timeout=self._endpoint.ready_timeout_s)
        content = self._ok(response)
        try:
            counts = self._api.read_usage(content)
        except (KeyError, TypeError, ValueError):
            raise self._bad_answer(response, "it has no usage with token counts") from None
        return Completion(*counts, content.get("system_fingerprint"), response.elapsed.total_seconds())

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._errors():
            return self._http.request(method, path, **options)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RequestError, UnicodeError) as error:
            raise self._unreachable(error) from error

    def _ok(self, response: httpx.Response) -> Any:
        if response.status_code in (401, 403):
            raise self._unauthorized(response)
        if response.has_redirect_location:
            raise RedirectedError(
                f"{response.url} redirects to {response.headers['location']}, which the load does not follow.",
                "Use the address that it redirects to as the URL, without the path of the API.",
            )
        # A 404 for a POST may be about the requested model.
        about_model = response.request.method == "POST" and "model" in error_text(response.content)
        if response.status_code == 404 and not about_model:
            raise RouteNotFoundError(
                f"{response.url} does not exist (404).",
                f"Use the base address of an OpenAI-compatible server as the URL, without {self._api.path}.",
            )
        if response.status_code != 200:
            message = redact_value(error_text(response.content), api_key(self._endpoint))
            raise self._bad_answer(response, f"HTTP {response.status_code}: {message}")
        try:
            return response.json()
        except ValueError:
            raise self._bad_answer(response, "it is not JSON") from None

    def _optional(self, response: httpx.Response) -> dict[str, Any]:
        """Read the object that an optional route returned; empty if it returned anything else."""
        try:
            content = response.json() if response.status_code == 200 else {}
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def _bad_answer(self, response: httpx.Response, why: str) -> BadAnswerError:
        return BadAnswerError(
            f"{response.url} returned an unusable answer: {why}",
            "See the server's log, and check that it is an OpenAI-compatible server that supports the request.",
        )

    def _unauthorized(self, response: httpx.Response) -> UnauthorizedError:
        given = "its key was rejected" if api_key(self._endpoint) else "it is not set"
        return UnauthorizedError(
            f"{self._endpoint.url} requires a valid API key (HTTP {response.status_code}).",
            f"Put the server's key into {_key_place(self._endpoint)} ({given}).",
        )

    def _unreachable(self, error: Exception) -> EndpointError:
        causes = list(_causes(error))
        for cause_type, error_type, problem, remedy in UNREACHABLE:
            if matching := [cause for cause in causes if isinstance(cause, cause_type)]:
                return error_type(
                    f"{problem.format(url=self._endpoint.url)}: {matching[0] or repr(matching[0])}", remedy
                )
        raise error


# Errors for failed requests: the first row that matches one of the causes applies.
UNREACHABLE: tuple[tuple[type[Exception], type[EndpointError], str, str], ...] = (
    (
        ssl.SSLError,
        TlsError,
        "No TLS connection to {url}",
        (
            "Set endpoint.ca_file to the authority that signed its certificate; if the server speaks plain HTTP, use "
            "http:// in the URL; endpoint.verify_tls: false accepts any certificate."
        ),
    ),
    (
        socket.gaierror,
        HostNotFoundError,
        "The name of the host in {url} does not resolve",
        "Check the name, and the DNS of this machine.",
    ),
    (UnicodeError, HostNotFoundError, "The name of the host in {url} is not a valid host name", "Correct the URL."),
    (
        httpx.TimeoutException,
        EndpointTimeoutError,
        "{url} did not answer in time",
        "Check whether the server is overloaded, or a firewall blocks the connection.",
    ),
    (
        httpx.ConnectError,
        EndpointUnreachableError,
        "No connection to {url}",
        "Check that the server runs, on that port, and listens on an address that this machine can reach.",
    ),
    (
        httpx.RequestError,
        ConnectionDroppedError,
        "{url} closed the connection, or its answer is not HTTP",
        "Check whether the server is still starting, whether it needs https:// in the URL, and the port.",
    ),
)


@contextmanager
def _usable(endpoint: Endpoint) -> Iterator[None]:
    try:
        yield
    except httpx.InvalidURL as error:
        raise BadAddressError(f"{endpoint.url} is not a URL: {error}", "Correct endpoint.url.") from None
    except OSError as error:  # among them ssl.SSLError
        raise BadAddressError(
            f"No certificates can be read from {endpoint.ca_file}: {error}", "Set endpoint.ca_file to a PEM file."
        ) from None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
