"""The control plane of a server: health, models, version, tokenizer and one plain completion (httpx)."""

import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Self

import httpx

from shapebench.errors import ShapebenchError
from shapebench.load.plan import Target
from shapebench.load.requests import APIS, body
from shapebench.load.tokens import error_text
from shapebench.spec import Endpoint


class EndpointError(ShapebenchError):
    """The endpoint cannot be measured."""


class Refused(EndpointError):
    """Nothing listens at the address."""


class NameNotFound(EndpointError):
    """The host's name does not resolve."""


class TlsFailed(EndpointError):
    """The server's certificate is not trusted, or it speaks no TLS."""


class Unauthorized(EndpointError):
    """The server wants another API key."""


class RouteMissing(EndpointError):
    """The server has no such path."""


class TooSlow(EndpointError):
    """The server did not answer in time."""


class BadAnswer(EndpointError):
    """The server answered, but not with what was asked for."""


def api_key(endpoint: Endpoint) -> str | None:
    return os.environ.get(endpoint.api_key_env) or None


def target(endpoint: Endpoint, *, temperature: float = 0, enforce_output_tokens: bool = False) -> Target:
    """What the instrument needs to know of an endpoint."""
    return Target(
        url=endpoint.url,
        model=endpoint.model,
        api=endpoint.api,
        temperature=temperature,
        enforce_output_tokens=enforce_output_tokens,
        verify_tls=endpoint.verify_tls,
        ca_file=str(endpoint.ca_file) if endpoint.ca_file else None,
    )


@dataclass(frozen=True)
class Model:
    """An entry of /v1/models."""

    id: str
    owner: str | None
    max_model_len: int | None


@dataclass(frozen=True)
class Completion:
    """The answer to one plain request."""

    input_tokens: int
    output_tokens: int
    fingerprint: str | None
    e2e_s: float


class Client:
    """Asks a server; each way to fail is an EndpointError with its remedy."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = 10) -> None:
        self._endpoint = endpoint
        key = api_key(endpoint)
        verify: bool | ssl.SSLContext = endpoint.verify_tls
        if endpoint.verify_tls and endpoint.ca_file:
            verify = ssl.create_default_context(cafile=str(endpoint.ca_file))
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            verify=verify,
            timeout=timeout_s,
            trust_env=False,  # a proxy between us and the server would be measured, too
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> int:
        """The status of /health: 200 when the server is ready, 404 where a server has no such path."""
        return self._request("GET", "/health").status_code

    def version(self) -> str | None:
        """vLLM's version; None where the server does not say."""
        response = self._request("GET", "/version")
        content = self._json(response) if response.status_code == 200 else {}
        return content.get("version") if isinstance(content, dict) else None

    def models(self) -> list[Model]:
        content = self._ok(self._request("GET", "/v1/models"))
        try:
            return [Model(m["id"], m.get("owned_by"), m.get("max_model_len")) for m in content["data"]]
        except (KeyError, TypeError, AttributeError):
            raise self._bad_answer("/v1/models", "it is not a list of models") from None

    def count_prompt(self, prompt: str) -> int | None:
        """Tokens in a text, without special tokens; None where the server has no /tokenize."""
        return self._tokenize({"prompt": prompt, "add_special_tokens": False})

    def count_request(self, prompt: str) -> int | None:
        """Tokens in a request with this prompt, chat template and special tokens included."""
        return self._tokenize(APIS[self._endpoint.api][1](prompt))

    def _tokenize(self, content: dict[str, Any]) -> int | None:
        response = self._request("POST", "/tokenize", json={"model": self._endpoint.model, **content})
        if response.status_code != 200:
            return None
        content = self._json(response)
        return content.get("count") if isinstance(content, dict) else None

    def complete(self, prompt: str, output_tokens: int) -> Completion:
        """One real answer, not streamed."""
        path = APIS[self._endpoint.api][0]
        request = body(target(self._endpoint), prompt, output_tokens)
        response = self._request("POST", path, json=request, timeout=self._endpoint.ready_timeout_s)
        content = self._ok(response)
        try:
            usage = content["usage"]
            counts = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        except (KeyError, TypeError):
            raise self._bad_answer(path, "it has no usage with token counts") from None
        return Completion(*counts, content.get("system_fingerprint"), response.elapsed.total_seconds())

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code in (401, 403):
            raise self._unauthorized(response)
        return response

    def _ok(self, response: httpx.Response) -> Any:
        if response.status_code == 404 and "model" not in error_text(response.content):
            raise RouteMissing(
                f"{response.url} is not there (404).",
                "Give the base address of an OpenAI-compatible server as the URL, without /v1/chat/completions.",
            )
        if response.status_code != 200:
            reason = f"HTTP {response.status_code}: {error_text(response.content)}"
            raise self._bad_answer(response.url.path, reason)
        return self._json(response)

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise self._bad_answer(response.url.path, "it is not JSON") from None

    def _bad_answer(self, path: str, why: str) -> BadAnswer:
        return BadAnswer(
            f"{self._endpoint.url}{path} gave an answer that is of no use: {why}",
            "Look into the server's log; is it an OpenAI-compatible server, and does the request suit it?",
        )

    def _unauthorized(self, response: httpx.Response) -> Unauthorized:
        variable = self._endpoint.api_key_env
        given = "the key in it was refused" if api_key(self._endpoint) else "it is not set"
        return Unauthorized(
            f"{self._endpoint.url} wants an API key (HTTP {response.status_code}).",
            f"Put the server's key into the environment variable {variable} ({given}).",
        )

    def _unreachable(self, error: httpx.TransportError) -> EndpointError:
        url = self._endpoint.url
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLError):
                return TlsFailed(
                    f"No TLS connection to {url}: {cause}",
                    "Name the authority that signed its certificate in endpoint.ca_file; where the server speaks plain "
                    "HTTP, write http:// in the URL; endpoint.verify_tls: false accepts any certificate.",
                )
            if isinstance(cause, socket.gaierror):
                return NameNotFound(
                    f"The host in {url} has no address: {cause}", "Check the host's name, and DNS here."
                )
        if isinstance(error, httpx.TimeoutException):
            return TooSlow(f"{url} did not answer in time.", "Is the server overloaded, or a firewall in between?")
        return Refused(
            f"No connection to {url}: {error}",
            "Is the server started, on that port, and listening on an address that can be reached from here?",
        )


def _causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
