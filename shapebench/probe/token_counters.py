"""Counters of tokens in a text: a server's /tokenize, in the forms that servers have, or the file of a tokenizer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from shapebench.apis.api import Json
from shapebench.apis.auth import signer
from shapebench.apis.target import Credentials, Target
from shapebench.errors import ShapebenchError
from shapebench.probe.route import tls_context

Count = Callable[[str], int | None]  # tokens of a text, without special tokens; None where it cannot be counted
Post = Callable[[str, Json], object]  # sends JSON to a path of the server; returns its JSON answer, None if it has none

_WORDS = " time time time time"


TIMEOUT_S, TRIES = 30.0, 2


class TokenizerFileError(ShapebenchError):
    """The tokenizer's file cannot be used."""


@dataclass(frozen=True)
class TokenizeForm:
    """One way to ask a server for the tokens of a text; `list_field` has them, "" if the answer itself is the list."""

    name: str
    path: str
    text_field: str
    list_field: str
    more: Json
    count_field: str = ""

    def count(self, post: Post, model: str, text: str) -> int | None:
        """Count the tokens; None where the server has no such route, or answers in another form."""
        answer = post(self.path, {"model": model, self.text_field: text, **self.more})
        if isinstance(answer, dict):
            if any(answer.get(name) == value for name, value in GUESSED.items()):
                return None
            if isinstance(count := answer.get(self.count_field), int):
                return count
            answer = answer.get(self.list_field) if self.list_field else None
        elif self.list_field:
            return None
        return len(answer) if isinstance(answer, list) and answer else None


# LiteLLM counts by OpenAI's tokenizer where it does not know the model's, and says so.
GUESSED = {"tokenizer_type": "openai_tokenizer", "count_source": "local_estimate"}

# SGLang has vLLM's form.
FORMS = (
    TokenizeForm("vLLM", "/tokenize", "prompt", "tokens", {"add_special_tokens": False}, "count"),
    TokenizeForm("llama.cpp", "/tokenize", "content", "tokens", {"add_special": False}),
    TokenizeForm("TGI", "/tokenize", "inputs", "", {"add_special_tokens": False}),
    TokenizeForm("llama-cpp-python", "/extras/tokenize/count", "input", "tokens", {}, "count"),
    TokenizeForm("LiteLLM", "/utils/token_counter", "prompt", "tokens", {}, "total_tokens"),
)


def server_counter(post: Post, model: str) -> Count | None:
    """Find how the server counts the tokens of a text; None if it does not."""
    for form in FORMS:
        once, twice = (form.count(post, model, _WORDS * times) for times in (1, 2))
        if once and twice and twice > once:
            return _without_special_tokens(form, post, model, 2 * once - twice)
    return None


def _without_special_tokens(form: TokenizeForm, post: Post, model: str, special: int) -> Count:
    def count(text: str) -> int | None:
        tokens = form.count(post, model, text)
        return None if tokens is None else max(tokens - max(special, 0), 0)

    return count


def file_counter(file: Path) -> Count:
    """Read a tokenizer.json, or the folder that has one; raises TokenizerFileError."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise TokenizerFileError(
            f"endpoint.tokenizer is {file}, but the package tokenizers is not installed.",
            "Install it: pip install 'shapebench[tokenizer]'.",
        ) from None
    path = file / "tokenizer.json" if file.is_dir() else file
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the package raises bare Exceptions
        raise TokenizerFileError(
            f"endpoint.tokenizer cannot be read from {path}: {error}",
            "Set it to the tokenizer.json of the served model, or to the folder that has it.",
        ) from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@contextmanager
def counter(target: Target, credentials: Credentials) -> Iterator[Count | None]:
    """Count as the target's token source says; None where that is no longer possible."""
    if target.token_source == "tokenizer" and target.tokenizer:
        yield file_counter(Path(target.tokenizer))
        return
    with httpx.Client(
        headers=credentials.headers,
        verify=tls_context(target.verify_tls, target.ca_file),
        timeout=TIMEOUT_S,
        trust_env=False,
    ) as http:
        yield server_counter(_poster(http, target, credentials), target.model)


def _poster(http: httpx.Client, target: Target, credentials: Credentials) -> Post:
    sign = signer(target, credentials)

    def post(path: str, content: Json) -> object:
        url, body = f"{target.url}{path}", orjson.dumps(content)
        headers = {"Content-Type": "application/json"}
        for _ in range(TRIES):
            try:
                answer = http.post(url, content=body, headers=headers | sign("POST", url, headers, body))
                return answer.json() if answer.status_code == 200 else None
            except (httpx.HTTPError, ValueError):
                continue
        return None

    return post
