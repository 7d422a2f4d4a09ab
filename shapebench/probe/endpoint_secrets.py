"""Secrets of an endpoint's requests: the API key and headers, from environment variables or Prefect blocks."""

import os

from shapebench.apis.target import Credentials
from shapebench.probe.endpoint_errors import BadAddressError
from shapebench.spec.model import Endpoint
from shapebench.support import credentials


def request_credentials(endpoint: Endpoint) -> Credentials:
    """Collect the secrets of requests; raises BadAddressError with all that is wrong with them."""
    wrong: list[str] = []
    headers = {name: _header(name, place, wrong) for name, place in endpoint.headers.items()}
    if wrong:
        raise BadAddressError(
            f"Headers of endpoint.headers have no usable value: {'; '.join(wrong)}.",
            "Set each variable to the header's value, on one line.",
        )
    return Credentials(api_key(endpoint), headers)


def api_key(endpoint: Endpoint) -> str | None:
    """Read the key from the spec's block, else from the environment; raises BadAddressError for a malformed one."""
    block = endpoint.api_key_block
    given = (
        credentials.secret(credentials.ENDPOINT_KEY, block)["api_key"]
        if block
        else os.environ.get(endpoint.api_key_env, "")
    )
    key = given.strip()
    if not _fits_a_header(key):
        raise BadAddressError(
            f"The API key in {key_place(endpoint)} contains invalid characters.",
            "Set it to the key only, on one line.",
        )
    return key or None


def key_place(endpoint: Endpoint) -> str:
    """Say where the API key is kept."""
    block = endpoint.api_key_block
    return f"the Prefect block {block}" if block else f"the environment variable {endpoint.api_key_env}"


def _header(name: str, place: str, wrong: list[str]) -> str:
    if block := credentials.block_name(place):
        value = credentials.secret(credentials.header_field(name), block)["api_key"].strip()
    else:
        value = os.environ.get(place, "").strip()
    if not value:
        wrong.append(f"{name} (the variable {place} is not set)")
    elif not _fits_a_header(value):
        wrong.append(f"{name} ({place} contains invalid characters)")
    return value


def _fits_a_header(value: str) -> bool:
    return value.isascii() and (not value or value.isprintable())
