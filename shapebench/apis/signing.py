"""The form of a signer, and its errors."""

from collections.abc import Callable

from shapebench.errors import ShapebenchError

# Takes the method, the URL, the other headers and the body; returns the headers to add.
Signer = Callable[[str, str, dict[str, str], bytes], dict[str, str]]


class AuthError(ShapebenchError):
    """Requests cannot be authenticated."""


def missing_extra(auth: str, extra: str) -> AuthError:
    """Return the error for a library that only an extra installs."""
    return AuthError(
        f"endpoint.auth {auth} needs a library that is not installed.", f"Install it: `pip install '.[{extra}]'`."
    )
