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
