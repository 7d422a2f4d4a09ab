"""Redaction: a single set of rules that hides secrets in texts, command lines and JSON-like data.

Everything that is stored, logged, shown or published goes through here. A secret is known by its name (`--api-key x`,
`HF_TOKEN=x`, `Authorization: x`, `{"auth_token": "x"}`), by its place in a URL, or by its shape (`hf_…`, `eyJ…`).
Redacting twice changes nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

REDACTED = "…"

T = TypeVar("T")

# Words of a name (`--ssl-keyfile`, `HF_TOKEN`, `clientSecret`) that make it a secret's.
_SECRET = re.compile(
    r"passw|passphrase|pass_phrase|_pwd$|secret|credential|authorization|bearer|cookie|api_?key|key_?file"
    r"|(?:basic|http|proxy)_auth$|^x_auth$|subscription_key|(?:^|_)signature$"
    r"|(?:^|_)key(?:_id|_pem|_content|_data|_path)?$"
    r"|(?:access|private|signing|account|encryption|master|admin|server)_keys$"
    r"|(?:^|_)token(?:_file|_path|_value)?$"
    r"|(?:auth|access|api|hf|hub|my|refresh|session|security|private|shared|account|master|admin|server|signing|encryption"
    r"|ai|aws|azure|oci|ngc|github|gitlab)(?:key|token)$"  # names without a word's border, such as APITOKEN
    r"|(?:api|auth|access|refresh|session|security|hf|hub|id)_tokens$"
    r"|[a-z](?:token|key)$"  # written together, as in HFTOKEN or --sshkey
)
# Names that look like it and are none: references to where a secret is kept, special tokens of a vocabulary, counts.
_HARMLESS = re.compile(
    r"_(?:env|block|var|type|count|counts|name|names)$"
    r"|(?:^|_)(?:public|cache|primary|foreign|partition|sort|group|hash|prefix)_?keys?$"
    r"|(?:^|_)(?:mon|tur|don|hoc|joc|whis|hot)key$"
    r"|(?:^|_)(?:per|first|next|last|second|new|each|input|output|prompt|completion|cached|reasoning|eos|bos|pad|unk|sep"
    r"|max|min|num|total|cls|mask|stop|special|image|audio|video|added|decoder_?start|draft|generated)_?token$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-.\s]+")
_SIGNATURES = {"sig"}  # in URLs, which is short for signature there

# A word of a shell, or what stands for one in a sentence: an unmatched quote is a character like any other.
_WORD = r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|(?!\\\n)\S)+"""
_SPACE = r"(?:[ \t]|\\\n)+"
_NEXT = rf"""(?!["']?[-;&|<>]){_WORD}"""  # neither another option nor the end of the command
_NAME = r"(?P<name>[A-Za-z_][\w.-]{0,127})"  # bounded, as is the quote of a field: else long lines take minutes
_QUOTE = r"""(?P<quote>["']?)"""

_PARAMETER = re.compile(rf"[?&]{_NAME}=")
_PARAMETER_VALUE = re.compile(r"""[^&#\s'"]+""")
_OPTION = re.compile(rf"""(?<![^\s'"])--?{_NAME}["']?,?{_SPACE}""")
_OPTION_VALUES = re.compile(rf"{_NEXT}(?:{_SPACE}{_NEXT})*")
_ASSIGNMENT = re.compile(rf"(?<![\w?&.-]){_QUOTE}-{{0,2}}{_NAME}(?:=|(?P<spaced>[ \t]+=[ \t]+))")
_FIELD = re.compile(rf"""(?P<quote>\\{{0,16}}["']){_NAME}(?P=quote)\s*:\s*""")
_HEADER = re.compile(rf"(?<![\w-]){_QUOTE}{_NAME}:[ \t]*(?!//)")
_HEADER_VALUE = re.compile(
    r"""(?:AWS4-HMAC-SHA256|Signature)[ \t][^\n]+"""  # of clouds: a list of what was signed, and the signature
    r"""|(?:(?:Bearer|Basic|Digest|Token|ApiKey)[ \t]+)?(?:(?:"[^"\n]*"|'[^'\n]*')[^\s"']*|[^\s"']+)""",
    re.IGNORECASE,
)
_COOKIES = re.compile(r"""[^\n"']+""")
_LIST = r"\[[^\]\n]*\]"  # of several secrets, as vLLM prints its API keys
_PROSE = {  # "Invalid token: …"
    *("token", "key", "secret", "bearer", "credential", "credentials", "cookie", "cookies", "signature"),
}

# What follows a name after the quote before it, with its closing quote and what a shell joins to that.
_REST = {
    "": re.compile(rf"{_LIST}(?:{_WORD})?|{_WORD}"),
    **{q: re.compile(rf"""[^{q}]*(?:{q}(?:(?=["'\w]){_WORD})?)?""", re.DOTALL) for q in ("'", '"')},
}

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A password may have a ' in it; one before the end of a quotation ends the address instead.
    (re.compile(r"://(?:[^/\s'\"<>]|'(?![\s,;:)}\]]|$))+@"), f"://{REDACTED}@"),
    (re.compile(r"/p/[\w-]{16,}/n/"), f"/p/{REDACTED}/n/"),  # OCI's pre-authenticated requests
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"\b(Bearer[ \t]+)(?!tokens?\b|auth|scheme)[^\s\"',;)}\]]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}\b"), REDACTED),
    (re.compile(r"(?<![\w-])sk-(?:(?=[\w-]*\d)[\w-]{6,}|[\w-]{20,})"), REDACTED),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), REDACTED),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,})"), REDACTED),
    (re.compile(r"\b(?:xox[abprs]-[\w-]{10,}|nvapi-[\w-]{20,}|AIza[\w-]{30,})"), REDACTED),
    (re.compile(r"\bya29\.[\w.-]{6,}"), REDACTED),  # Google's access tokens
    (re.compile(r"\beyJ[\w-]{6,}(?:\.[\w-]*){0,4}"), REDACTED),  # JSON web tokens
)


# Every text with a secret has one of these, in small letters; most lines of a server's log have none.
_TRIGGERS = (
    *("key", "token", "secret", "passw", "phrase", "pwd", "credential", "auth", "bearer", "cookie"),
    *("sig", "://", "/p/", "hf_", "sk-", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *("github_pat_", "glpat-", "xox", "nvapi-", "aiza", "eyj", "ya29."),
)


@lru_cache(4096)  # a server's log has the same names in each line
def is_secret_name(name: str) -> bool:
    """Check whether an option, variable, field or header of this name contains a secret."""
    words = _CAMEL.sub("_", name).strip("_").lower()
    return bool(_SECRET.search(words)) and not _HARMLESS.search(words)


def redact(text: str) -> str:
    """Replace the secrets in a text or a shell's command line by `…`."""
    lowered = text.lower()
    if not any(trigger in lowered for trigger in _TRIGGERS):
        return text
    for names, value_of in _NAMED:
        text = _hide(text, names, value_of)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def redact_value(text: str, secret: str | None) -> str:
    """Replace one known secret wherever the text repeats it."""
    return text.replace(secret, REDACTED) if secret else text


def redact_mapping(content: T) -> T:
    """Redact JSON-like data at any depth: values with the name of a secret, all headers, and secrets within texts."""
    return cast("T", _redact_json(content))


def _redact_json(content: object) -> object:
    if isinstance(content, dict):
        return {key: _redact_item(str(key), value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        words = [item for item in content if isinstance(item, str)]
        return [*_redact_words(words)] if len(words) == len(content) else [_redact_json(item) for item in content]
    return redact(content) if isinstance(content, str) else content


def _redact_item(name: str, value: object) -> object:
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return value
    if isinstance(value, (int, float)) and "token" in name.lower():
        return value  # a count, whatever its name
    if is_secret_name(name) or name.lower().endswith(("header", "headers")):
        return REDACTED
    return _redact_json(value)


def _redact_words(words: Iterable[str]) -> Iterator[str]:
    """Redact a command line that is given as a list: an option may have several values."""
    secret = False
    for word in words:
        if word.startswith("-"):
            secret = "=" not in word and is_secret_name(word)
            yield redact(word)
        else:
            yield REDACTED if secret else redact(word)


class _Value(NamedTuple):
    """Pattern of the secret after a name, and its replacement."""

    pattern: re.Pattern[str]
    replacement: str = REDACTED


def _hide(text: str, names: re.Pattern[str], value_of: "Callable[[re.Match[str]], _Value | None]") -> str:
    parts, position = [], 0
    for name in names.finditer(text):
        if name.start() < position or not (value := value_of(name)):
            continue
        if found := value.pattern.match(text, name.end()):
            parts += [text[position : name.end()], value.replacement]
            position = found.end()
    return "".join([*parts, text[position:]])


def _parameter(found: re.Match[str]) -> _Value | None:
    name = found["name"]
    known = is_secret_name(name) or name.lower() in _SIGNATURES
    return _Value(_PARAMETER_VALUE) if known else None


def _option(found: re.Match[str]) -> _Value | None:
    return _Value(_OPTION_VALUES) if is_secret_name(found["name"]) else None


def _assignment(found: re.Match[str]) -> _Value | None:
    name, quote = found["name"], found["quote"]
    if not is_secret_name(name) or (found["spaced"] and name.lower() in _PROSE):
        return None
    return _Value(_REST[quote], REDACTED + quote)


def _field(found: re.Match[str]) -> _Value | None:
    quote = found["quote"]
    if not is_secret_name(found["name"]):
        return None
    q = re.escape(quote)
    value = re.compile(rf"{q}(?:(?!{q}).)*(?:{q})?|{_LIST}|\{{[^}}]*\}}|[^\s,}}\]]+", re.DOTALL)
    return _Value(value, f"{quote}{REDACTED}{quote}")


def _header(found: re.Match[str]) -> _Value | None:
    name, quote = found["name"].lower(), found["quote"]
    if not is_secret_name(name):
        return None
    if quote:
        return _Value(_REST[quote], REDACTED + quote)
    if name in _PROSE:
        return _Value(_COOKIES) if name == "cookie" else None
    return _Value(_COOKIES if "cookie" in name else _HEADER_VALUE)


_NAMED = (
    (_PARAMETER, _parameter),
    (_OPTION, _option),
    (_ASSIGNMENT, _assignment),
    (_FIELD, _field),
    (_HEADER, _header),
)


def one_line(text: str, max_length: int) -> str:
    """Put a text of a server or a person on one line: redacted, without control characters, cut at `max_length`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in redact(text)).split())
    return line if len(line) <= max_length else f"{line[:max_length]}…"
