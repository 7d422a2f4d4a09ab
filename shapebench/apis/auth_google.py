"""Access tokens of Google Cloud, by google-auth."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shapebench.apis.renewed import Renewed
from shapebench.apis.signing import AuthError, Signer, missing_extra
from shapebench.apis.target import Target

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RENEW_BEFORE_S = 600.0  # a request may have been written minutes before it is sent
REMEDY = (
    "Run `gcloud auth application-default login`, or set endpoint.auth_options service_account_file to a key file, or "
    "GOOGLE_APPLICATION_CREDENTIALS."
)


def make_google_signer(target: Target) -> Signer:
    """Make a signer that adds a token of the default credentials, or of a service account's key file."""
    try:
        import google.auth.exceptions
        from google.auth.transport.requests import Request
    except ImportError:
        raise missing_extra("google", "vertex") from None
    try:
        credentials = _credentials(target.auth_options)

        def fetch() -> tuple[str, float]:
            credentials.refresh(Request())
            return str(credentials.token), _usable_s(credentials.expiry)

        token = Renewed(fetch)
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise AuthError(f"There is no access token for Google Cloud: {_reason(error)}.", REMEDY) from None
    billed = target.auth_options.get("quota_project") or getattr(credentials, "quota_project_id", None)
    project = {"x-goog-user-project": str(billed)} if billed else {}

    def sign(_method: str, _url: str, _headers: Mapping[str, str], _body: bytes) -> dict[str, str]:
        return {"Authorization": f"Bearer {token.get()}", **project}

    return sign


def _credentials(options: Mapping[str, str]) -> "Credentials":
    import google.auth
    from google.oauth2 import service_account

    credentials: Credentials
    if file := options.get("service_account_file"):
        credentials = service_account.Credentials.from_service_account_file(Path(file).expanduser(), scopes=[SCOPE])
    else:
        credentials, _project = google.auth.default(scopes=[SCOPE])
    return credentials


def _usable_s(expiry: datetime | None) -> float:
    """Return for how long a token can be used before it should be renewed; half its life if that is short."""
    if expiry is None:
        return RENEW_BEFORE_S
    left_s = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    return max(left_s - RENEW_BEFORE_S, left_s / 2)


def _reason(error: Exception) -> str:
    """Say what is wrong in google-auth's words, without what the token server answered, which may be long."""
    if isinstance(error, OSError):
        return str(error)
    return str(error.args[0] if error.args else type(error).__name__).splitlines()[0].rstrip(".")
