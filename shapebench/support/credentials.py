"""Secrets that somebody above the core keeps, such as a Prefect block: here only in memory, while they are needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from shapebench.errors import ShapebenchError

# The fields of the spec that name a secret.
ENDPOINT_KEY = "endpoint.api_key_block"
OCI_CREDENTIALS = "publish.oci.credentials_block"

Secrets = Mapping[tuple[str, str], Mapping[str, str]]  # by the spec's field and the name that stands in it

_open: list[Secrets] = []


class NotOpen(ShapebenchError):
    """Nobody has handed over the secret that the spec names."""


@contextmanager
def opened(secrets: Secrets) -> Iterator[None]:
    """Have these secrets at hand while the block runs."""
    _open.append(secrets)
    try:
        yield
    finally:
        _open.remove(secrets)


def secret(field: str, name: str) -> Mapping[str, str]:
    """The values behind the name in a field of the spec; raises NotOpen where they are not at hand."""
    for secrets in reversed(_open):
        if (field, name) in secrets:
            return secrets[field, name]
    raise NotOpen(
        f"{field} names the Prefect block {name}, and nobody has opened it here.",
        "Run it as a flow (`shapebench run`, or a deployment), or give the secret in the environment.",
    )
