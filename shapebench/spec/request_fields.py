"""Checks of what a spec adds to requests: path, query, headers and fields of the body."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from shapebench.support.redact import is_secret_name

_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SOURCE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|block:[a-z0-9-]+")
_OWN_HEADERS = ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding")
_SEVERAL = ("n", "best_of")  # how many answers a request has
_OWN_FIELDS = ("model", "stream", "messages", "prompt", "input", "inputs", "contents")


def _path(path: str) -> str:
    if not path.startswith("/") or any(mark in path for mark in "?# "):
        raise ValueError("a path begins with /, such as /v3/chat/completions; what follows a ? belongs into query")
    return path


def _query(query: str) -> str:
    query = query.removeprefix("?")
    names = [part.partition("=")[0] for part in query.split("&")]
    if any(is_secret_name(name) for name in names):
        raise PydanticCustomError(
            "maybe_secret",
            "a query is written into results, and this one may hold a key: name the variable that holds it in "
            "api_key_env, or in headers",
        )
    if "#" in query or " " in query or any(not part.partition("=")[1] for part in query.split("&")):
        raise ValueError("a query consists of names and values, such as api-version=2024-10-21")
    return query


def _headers(given: object) -> object:
    return _pairs(
        given, PydanticCustomError("maybe_secret", "a header is written NAME=VARIABLE, such as api-key=AZURE_KEY")
    )


def _options(given: object) -> object:
    return _pairs(given, ValueError("an option is written NAME=VALUE, such as profile=DEFAULT"))


def _pairs(given: object, error: ValueError) -> object:
    """Accept a list of NAME=VALUE, as the command line has it; raises the error where one has no equals sign."""
    if not isinstance(given, list | tuple):
        return given
    parts = [str(text).partition("=") for text in given]
    if any(not sign for _, sign, _ in parts):
        raise error
    return {name.strip(): value.strip() for name, _, value in parts}


def _check_options(options: dict[str, str]) -> dict[str, str]:
    if secret := [name for name in options if is_secret_name(name)]:
        raise PydanticCustomError(
            "maybe_secret",
            "{names} would be written into results: secrets belong into the cloud's own files and variables, or into "
            "the variable that api_key_env names",
            {"names": ", ".join(secret)},
        )
    return options


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    wrong = [f"{name} is set by shapebench itself" for name in headers if name.lower() in _OWN_HEADERS]
    wrong += [f"{name!r} is no name of a header" for name in headers if not _HEADER_NAME.fullmatch(name)]
    wrong += [
        f"{name} needs the name of an environment variable that holds its value, or block:NAME, not the value itself"
        for name, source in headers.items()
        if not _SOURCE.fullmatch(source)
    ]
    if wrong:
        raise PydanticCustomError("maybe_secret", "{wrong}", {"wrong": "; ".join(wrong)})
    return headers


def _extra_body(given: object) -> object:
    """Accept JSON text, as the command line has it."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given or "{}")
    except ValueError as error:
        raise ValueError(f'not JSON ({error}), such as {{"top_p": 0.9}}') from None


def _check_extra_body(fields: dict[str, Any]) -> dict[str, Any]:
    if own := [name for name in fields if name in _OWN_FIELDS]:
        raise ValueError(f"{', '.join(own)} cannot be set here: shapebench sets what is sent, and streams it")
    if several := [name for name in _SEVERAL if fields.get(name, 1) not in (1, None)]:
        raise ValueError(
            f"{several[0]} has to be 1: the tokens of several answers to a request come in between each other"
        )
    if secret := [*_secrets(fields)]:
        raise PydanticCustomError(
            "maybe_secret",
            "{names} would be written into results: where the server takes it in a header, name that in "
            "endpoint.headers",
            {"names": ", ".join(secret)},
        )
    return fields


def _secrets(content: object, name: str = "") -> Iterator[str]:
    """List texts under the name of a secret at any depth; a plain `key` is usually that of a filter."""
    if isinstance(content, dict):
        for inner, value in content.items():
            yield from _secrets(value, str(inner))
    elif isinstance(content, list):
        for item in content:
            yield from _secrets(item)
    elif isinstance(content, str) and content and name.lower() != "key" and is_secret_name(name):
        yield name


Path = Annotated[str, AfterValidator(_path)]
Query = Annotated[str, AfterValidator(_query)]
Headers = Annotated[dict[str, str], BeforeValidator(_headers), AfterValidator(_check_headers)]
AuthOptions = Annotated[dict[str, str], BeforeValidator(_options), AfterValidator(_check_options)]
ExtraBody = Annotated[dict[str, Any], BeforeValidator(_extra_body), AfterValidator(_check_extra_body)]
