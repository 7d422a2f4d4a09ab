"""Secrets from a higher layer, such as a Prefect block: in memory only, and only while they are needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from shapebench.errors import ShapebenchError

# Fields of the spec that name a secret.
ENDPOINT_KEY = "endpoint.api_key_block"
OCI_CREDENTIALS = "publish.oci.credentials_block"
HEADERS = "endpoint.headers"  # followed by a dot and the header's name
BLOCK = "block:"  # before a block's name, where the name of a variable could stand

Secrets = Mapping[tuple[str, str], Mapping[str, str]]  # by the spec's field and the name that stands in it


def header_field(name: str) -> str:
    """Return the field of the spec that names the value of a header."""
    return f"{HEADERS}.{name}"


def block_name(place: str) -> str | None:
    """Return the name of the block in which a value is; None where the place is a variable."""
    return place.removeprefix(BLOCK) if place.startswith(BLOCK) else None


_available: ContextVar[tuple[Secrets, ...]] = ContextVar("available secrets", default=())


class SecretNotAvailableError(ShapebenchError):
    """The secret that the spec names is not available here."""


@contextmanager
def opened(secrets: Secrets) -> Iterator[None]:
    """Make these secrets available while the block runs."""
    token = _available.set((secrets, *_available.get()))
    try:
        yield
    finally:
        _available.reset(token)


def secret(field: str, name: str) -> Mapping[str, str]:
    """Return the values behind the name in a field of the spec; raises SecretNotAvailableError."""
    for secrets in _available.get():
        if (field, name) in secrets:
            return secrets[field, name]
    raise SecretNotAvailableError(
        f"{field} is the Prefect block {name}, which was not loaded.",
        "Run it as a flow (`shapebench run`, or a deployment), or set the secret in the environment.",
    )
