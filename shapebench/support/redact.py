"""What nobody is to read is covered: passwords in addresses, keys in the options and variables of a command."""

import re

_WORD = r"""(?:"[^"]*"|'[^']*'|\S+)"""
_SECRETS = (  # in addresses, and in the options and variables of a launch command
    (re.compile(r"://[^/\s@]+@"), "://…@"),
    (re.compile(rf"(--[\w-]*(?:key|token|secret|password)[= ]+){_WORD}", re.IGNORECASE), r"\1…"),
    (re.compile(rf"(\w*(?:KEY|TOKEN|SECRET|PASSWORD)=){_WORD}"), r"\1…"),
)


def without_secrets(text: str) -> str:
    for secret, cover in _SECRETS:
        text = secret.sub(cover, text)
    return text


def one_line(text: str, longest: int) -> str:
    """Text from a server or a person as a part of a line: secrets covered, on one line, cut where it is too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in without_secrets(text)).split())
    return line if len(line) <= longest else f"{line[:longest]}…"
