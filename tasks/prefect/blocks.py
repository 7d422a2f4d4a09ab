"""Secrets as Prefect blocks: a spec names a block, whose values are passed to the core while they are needed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from shapebench.errors import ShapebenchError
from shapebench.spec.model import Spec
from shapebench.support import credentials


class EndpointKey(Block):
    """API key of an LLM server, or the value of a header; specs name the block in endpoint.api_key_block or headers."""

    _block_type_name: ClassVar[str | None] = "Endpoint key"
    _block_type_slug: ClassVar[str | None] = "endpoint-key"

    api_key: SecretStr = Field(title="API key", description="The key, on one line.")


class OciCredentials(Block):
    """User of OCI; specs name the block in publish.oci.credentials_block, with publish.oci.auth: block."""

    _block_type_name: ClassVar[str | None] = "OCI credentials"
    _block_type_slug: ClassVar[str | None] = "oci-credentials"

    user: str = Field(title="User", description="OCID of the user, ocid1.user.…")
    tenancy: str = Field(title="Tenancy", description="OCID of the tenancy, ocid1.tenancy.…")
    fingerprint: str = Field(title="Fingerprint", description="Of the public key, as the console shows it.")
    region: str = Field(title="Region", description="Such as eu-frankfurt-1.")
    key_content: SecretStr = Field(title="Private key", description="The PEM file's text, all lines of it.")
    pass_phrase: SecretStr | None = Field(None, title="Pass phrase", description="Where the private key has one.")


class BlockError(ShapebenchError):
    """A block of the spec cannot be read."""


BLOCKS: dict[str, type[Block]] = {credentials.ENDPOINT_KEY: EndpointKey, credentials.OCI_CREDENTIALS: OciCredentials}


@contextmanager
def credentials_from_blocks(spec: Spec, fields: Iterable[str] | None = None) -> Iterator[None]:
    """Read the blocks that fields of the spec name, all or these, for as long as the block runs; raises BlockError."""
    named = {field: name for field, name in spec.blocks.items() if fields is None or field in fields}
    with credentials.opened({(field, name): _values(field, name) for field, name in named.items()}):
        yield


def _values(field: str, name: str) -> dict[str, str]:
    kind = BLOCKS.get(field, EndpointKey)  # headers' values are kept as keys are
    try:
        block = kind.load(name)
    except ValueError:  # which quotes nothing, but would be a traceback
        raise BlockError(
            f"{field} is {name}, but Prefect has no block of that name and the type {kind.get_block_type_slug()}.",
            "Create it on the page Blocks of the UI (docs/operating.md), or correct the name or PREFECT_API_URL.",
        ) from None
    return {key: _plain(getattr(block, key)) for key in kind.model_fields}


def _plain(value: str | SecretStr | None) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""
