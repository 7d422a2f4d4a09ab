"""Errors of OCI Object Storage and of the connection to it, each with its remedy."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from oci.exceptions import BaseRequestException as ConnectionTrouble
from oci.exceptions import ServiceError

from shapebench.publish.targets.upload_batch import StoreError
from shapebench.spec.model import OciTarget

CLOCK_TOLERANCE = timedelta(minutes=4)  # OCI takes signatures that are up to 5 min off

_AGAIN = "then `shapebench publish RUN_ID` resumes"
_POLICY = (
    "Ask for the policies `allow group GROUP to manage objects in compartment COMPARTMENT where "
    "target.bucket.name='{bucket}'` and `allow group GROUP to read buckets in compartment COMPARTMENT where "
    "target.bucket.name='{bucket}'`; for an instance or a resource, `allow dynamic-group …`."
)
_BUCKET = (
    "Correct publish.oci.bucket, or publish.oci.region: a bucket is in one region, and {endpoint} was used; or create "
    f"the bucket. Or permission is missing, which OCI reports in the same way: {_POLICY}"
)
_NAMESPACE = "Correct publish.oci.namespace, or leave it empty to have it looked up."
_QUOTA = f"Have the quota or limit of the compartment raised, or remove old objects; {_AGAIN}."
_SERVICE = (
    "Object Storage itself lacks a permission, for example for the bucket's key in Vault or its replication: "
    "`allow service objectstorage-REGION to use keys in compartment COMPARTMENT`, and the like."
)
_NAME = "Correct publish.oci.prefix: at most 1024 bytes in all, no line breaks, no NUL."
_DAMAGED = f"It was damaged in transit, or changed while it was read; {_AGAIN}."
_GONE = f"The object or its unfinished upload was removed in the meantime; {_AGAIN}."
_HELD = (
    "The object cannot be replaced: check whether the bucket has a retention rule "
    "(`oci os retention-rule list --bucket-name {bucket}`) or is the read-only copy of a replication; "
    "set another publish.oci.prefix or bucket."
)
_MEANWHILE = f"The same object is being written by someone else; {_AGAIN}."
_BUSY = f"Wait, or contact Oracle's support with the opc-request-id; {_AGAIN}. Nothing is lost."
_LATER = "Send the report again later with `shapebench publish RUN_ID`."
_CLOCK = f"Set this machine's clock (`timedatectl set-ntp true`, or chrony); {_AGAIN}."
_ENDPOINT = "Correct publish.oci.service_endpoint: https:// and a host, no path; or leave it empty and set region."
_UNKNOWN = f"Correct publish.oci.region (or service_endpoint), or check this machine's name resolution; {_AGAIN}."
_TLS = (
    "Check whether a proxy uses its own certificate authority: set its PEM file in the variable "
    f"REQUESTS_CA_BUNDLE. Or correct publish.oci.service_endpoint; {_AGAIN}."
)
_SLOW = (
    f"Check the network, the proxy (HTTPS_PROXY) and the firewall; in a private subnet, the service gateway; {_AGAIN}."
)
_NETWORK = f"Check the network, the proxy and publish.oci.region (or service_endpoint); {_AGAIN}."

SESSION = (
    "`oci session authenticate --profile-name {profile}` makes a new one; `oci session refresh --profile {profile}` "
    "renews it, but only before it expires."
)
PAR_POLICY = (
    "Ask for the policy `allow group GROUP to manage buckets in compartment COMPARTMENT where all "
    "{{target.bucket.name='{bucket}', request.permission='PAR_MANAGE'}}` in addition to read access to the objects."
)

# Remedies for a refused signature (401), by publish.oci.auth.
_USER = (
    "Check that user, tenancy, fingerprint and key {place} belong together, that the public key is among "
    "the user's API keys, that the tenancy is subscribed to the region, and that this machine's clock is right."
)
_DYNAMIC = (
    "Check that the tenancy is subscribed to the region, that a dynamic group's rule matches this {what}, and that "
    "the clock is right; a new rule takes some minutes."
)
SIGNATURES: dict[str, str] = {
    "config_file": _USER.replace("key {place}", "key_file of the profile"),
    "block": _USER.replace("{place}", "in the block"),
    "environment": _USER.replace("{place}", "in the environment"),
    "session_token": SESSION,
    "instance_principal": _DYNAMIC.replace("{what}", "instance"),
    "resource_principal": _DYNAMIC.replace("{what}", "resource"),
}


@dataclass(frozen=True)
class Refusal:
    """The remedy for a refused request, and whether it concerns all other objects too."""

    remedy: str
    concerns_all: bool = True


BUSY = Refusal(_BUSY)
OTHER = Refusal(_LATER, concerns_all=False)

# By OCI's code, else by the HTTP status.
REFUSALS: dict[str | int, Refusal] = {
    "BucketNotFound": Refusal(_BUCKET),
    "NotAuthorizedOrNotFound": Refusal(_BUCKET),
    "InvalidBucketName": Refusal(_BUCKET),
    "NamespaceNotFound": Refusal(_NAMESPACE),
    "QuotaExceeded": Refusal(_QUOTA),
    "LimitExceeded": Refusal(_QUOTA),
    "InsufficientServicePermissions": Refusal(_SERVICE),
    "InvalidObjectName": Refusal(_NAME, concerns_all=False),
    "UnmatchedContentMD5": Refusal(_DAMAGED, concerns_all=False),
    "ConcurrentObjectUpdate": Refusal(_MEANWHILE, concerns_all=False),
    "IfNoneMatchFailed": Refusal(_MEANWHILE, concerns_all=False),
    403: Refusal(_POLICY),
    404: Refusal(_GONE, concerns_all=False),
    409: Refusal(_HELD, concerns_all=False),
    412: Refusal(_MEANWHILE, concerns_all=False),
    429: BUSY,
}

# Connection errors, by their root cause.
UNREACHABLE: dict[type[BaseException], tuple[str, str]] = {
    socket.gaierror: ("No address is known for {endpoint}: {root}", _UNKNOWN),
    ssl.SSLError: ("There is no TLS connection to {endpoint}: {root}", _TLS),
    TimeoutError: ("{endpoint} does not answer in time: {root}", _SLOW),
    BaseException: ("Cannot reach {endpoint}: {root}", _NETWORK),
}


@contextmanager
def explain_errors(target: OciTarget, storage: Any, denied: str | None = None) -> Iterator[None]:
    """Turn errors into StoreErrors; `denied` is the remedy where only permission to the bucket can be missing."""
    endpoint = storage.base_client.get_endpoint()
    try:
        yield
    except ServiceError as error:
        raise _store_error(target, error, endpoint, denied) from None
    except ConnectionTrouble as error:
        problem, remedy = next(text for kind, text in UNREACHABLE.items() if isinstance(root(error), kind))
        raise StoreError(problem.format(endpoint=endpoint, root=root(error)) + _notes(error), remedy) from None
    except ValueError as error:  # the SDK's check of the address
        raise StoreError(f"{endpoint} is not a valid address: {error}", _ENDPOINT) from None


def find_refusal(error: ServiceError) -> Refusal:
    """Look up the remedy for a refused request, except for signatures (401)."""
    known = REFUSALS.get(error.code) or REFUSALS.get(error.status)
    return known or (BUSY if error.status >= 500 else OTHER)


def concerns_all(error: ServiceError) -> bool:
    """Check whether the other objects will be refused, too."""
    return error.status == 401 or find_refusal(error).concerns_all


def remedy_for(error: ServiceError, bucket: str, endpoint: str) -> str:
    """Return the remedy in a sentence."""
    return find_refusal(error).remedy.format(bucket=bucket, endpoint=endpoint)


def describe(error: ServiceError) -> str:
    """Describe OCI's answer with the request's id, which Oracle's support needs."""
    answer = f"{error.status} {error.code or ''}".strip() + (f": {error.message}" if error.message else "")
    return f"{answer} (opc-request-id {error.request_id})"


def root(error: BaseException) -> BaseException:
    """Return the innermost cause."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _store_error(target: OciTarget, error: ServiceError, endpoint: str, denied: str | None) -> StoreError:
    problem = f"OCI Object Storage refuses: {describe(error)}"
    if error.status == 401:
        skew = _clock_skew(error)
        remedy = _CLOCK if skew else SIGNATURES[target.auth].format(profile=target.profile)
        return StoreError(problem + skew + _notes(error), remedy)
    if denied and error.status in (403, 404):
        return StoreError(problem, denied.format(bucket=target.bucket))
    return StoreError(problem + _notes(error), remedy_for(error, target.bucket, endpoint))


def _clock_skew(error: ServiceError) -> str:
    """Describe how far this machine's clock is off, as the end of a sentence; empty where it is right or unknown."""
    try:
        off = datetime.now(UTC) - parsedate_to_datetime(error.headers.get("date", ""))
    except (TypeError, ValueError):  # no date, or one without a time zone
        return ""
    minutes = round(abs(off).total_seconds() / 60)
    direction = "ahead of" if off > timedelta() else "behind"
    return f"; this machine's clock is {minutes} min {direction} OCI's" if abs(off) > CLOCK_TOLERANCE else ""


def _notes(error: BaseException) -> str:
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
