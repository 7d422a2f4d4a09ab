"""Reports to a bucket in OCI Object Storage; import it only to use it, for the SDK takes half a second to import."""

import configparser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import oci
from oci.exceptions import BaseRequestException as ConnectionTrouble
from oci.exceptions import ServiceError

from shapebench.records import Artifact
from shapebench.spec import OciTarget, Spec
from shapebench.stores.files import ReportFile, StoreError, report_files

RETRY = oci.retry.DEFAULT_RETRY_STRATEGY  # 8 attempts within 10 minutes: throttling, 5xx, timeouts, lost connections

_SIGNATURE = (
    "Check that user, tenancy, fingerprint and key_file of the profile belong together, that the public key is among "
    "the user's API keys, that the tenancy is subscribed to the region, and that this machine's clock is right."
)
_POLICY = (
    "Ask for a policy such as `allow group GROUP to manage objects in compartment COMPARTMENT where "
    "target.bucket.name='BUCKET'`; for an instance, `allow dynamic-group …`."
)
_BUCKET = (
    "Correct publish.oci.bucket or region, or create the bucket. "
    f"It may also be that access is missing, for OCI does not tell the two apart: {_POLICY}"
)
_NAMESPACE = "Correct publish.oci.namespace, or leave it empty to have it looked up."
_CONFIG_FILE = "Make one with `oci setup config`, or name another in publish.oci.config_file and profile."
_PROFILE = "Correct those fields in the config file; `oci setup config` writes a complete one."
_KEY = "Correct key_file in the profile: the private key's PEM file; one that is encrypted needs pass_phrase too."
_ENDPOINT = "Correct publish.oci.service_endpoint: https:// and a host, no path; or leave it empty and set region."
_NETWORK = (
    "Check the network, the proxy and publish.oci.region (or service_endpoint), then send the report again "
    "with `shapebench publish RUN_ID`."
)
_INSTANCE = "Only an OCI instance can authenticate as itself; elsewhere set publish.oci.auth to config_file."
_LATER = "Send the report again later with `shapebench publish RUN_ID`."

# What concerns every file, by OCI's code or by the HTTP status; any other refusal concerns the one file.
REMEDIES: dict[str | int, str] = {
    401: _SIGNATURE,
    403: _POLICY,
    "BucketNotFound": _BUCKET,
    "NotAuthorizedOrNotFound": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "NamespaceNotFound": _NAMESPACE,
}

# What may be wrong with a config file. The SDK's own messages are not passed on: they can quote a line with a secret.
CONFIG_TROUBLE: dict[type[Exception], tuple[str, str]] = {
    oci.exceptions.ConfigFileNotFound: ("There is no OCI config file {file}", _CONFIG_FILE),
    oci.exceptions.ProfileNotFound: ("The OCI config file {file} has no profile {profile}", _CONFIG_FILE),
    oci.exceptions.InvalidKeyFilePath: ("The key_file of profile {profile} in {file} does not exist", _KEY),
    oci.exceptions.MissingPrivateKeyPassphrase: ("The key of profile {profile} in {file} is encrypted", _KEY),
    oci.exceptions.InvalidPrivateKey: (
        "The key of profile {profile} in {file} is none, or its pass_phrase wrong",
        _KEY,
    ),
    configparser.Error: ("{file} is not an OCI config file", _CONFIG_FILE),
    OSError: ("The OCI config file {file}, or the key that profile {profile} names, cannot be read", _CONFIG_FILE),
    ValueError: ("The OCI config file {file} cannot be used with profile {profile}", _CONFIG_FILE),
}


@dataclass(frozen=True)
class Bucket:
    """A bucket, and who may write to it."""

    client: Any
    namespace: str
    name: str

    @property
    def place(self) -> tuple[str, str]:
        return self.namespace, self.name

    def url(self, object_name: str) -> str:
        path = f"n/{quote(self.namespace)}/b/{quote(self.name)}/o/{quote(object_name)}"
        return f"{self.client.base_client.get_endpoint()}/{path}"


def send(spec: Spec, run_id: str, report: Path) -> list[Artifact]:
    """Upload a report as PREFIX/RUN_ID/… and check what arrived; raises StoreError for what concerns every file."""
    target = spec.publish.oci
    if target is None:
        raise StoreError("The spec names no bucket", "Set publish.oci.bucket.")
    files = report_files(report)
    folder = "/".join(part for part in (target.prefix.strip("/"), run_id) if part)
    with _bucket(target) as bucket:
        return [_store(bucket, f"{folder}/{file.name}", file, run_id) for file in files]


def client(target: OciTarget) -> Any:
    """An ObjectStorageClient that has not spoken to OCI yet; raises StoreError where the set-up does not allow one."""
    return oci.object_storage.ObjectStorageClient(
        **AUTHENTICATION[target.auth](target),
        service_endpoint=(target.service_endpoint or "").rstrip("/"),  # empty: the region's
        retry_strategy=RETRY,
        # A few files need no circuit breaker, and one that fails must not open it for the others.
        circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
    )


def _profile(target: OciTarget) -> dict[str, Any]:
    try:
        config = oci.config.from_file(str(target.config_file), target.profile)
        config |= {"region": target.region} if target.region else {}
        oci.config.validate_config(config)
        return {"config": config, "signer": oci.signer.Signer.from_config(config)}
    except oci.exceptions.InvalidConfig as error:
        wrong = ", ".join(f"{key} is {what}" for key, what in sorted(error.errors.items()))
        problem = f"Profile {target.profile} in {target.config_file} cannot be used: {wrong}"
        raise StoreError(problem, _PROFILE) from None
    except tuple(CONFIG_TROUBLE) as error:
        problem, remedy = next(text for kind, text in CONFIG_TROUBLE.items() if isinstance(error, kind))
        raise StoreError(problem.format(file=target.config_file, profile=target.profile), remedy) from None


def _instance(target: OciTarget) -> dict[str, Any]:
    try:
        signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner()
    except (OSError, ServiceError, ValueError) as error:  # a ConnectionTrouble is an OSError
        raise StoreError(f"OCI gives this machine no token as an instance: {_root(error)}", _INSTANCE) from None
    return {"config": {"region": target.region} if target.region else {}, "signer": signer}


AUTHENTICATION: dict[str, Callable[[OciTarget], dict[str, Any]]] = {
    "config_file": _profile,
    "instance_principal": _instance,
}


@contextmanager
def _bucket(target: OciTarget) -> Iterator[Bucket]:
    storage = client(target)
    try:
        with _explained(storage):
            yield Bucket(storage, target.namespace or storage.get_namespace().data, target.bucket)
    finally:
        storage.base_client.session.close()


@contextmanager
def _explained(storage: Any) -> Iterator[None]:
    endpoint = storage.base_client.get_endpoint()
    try:
        yield
    except ServiceError as error:
        raise StoreError(f"OCI Object Storage refuses: {_refusal(error)}", _remedy(error) or _LATER) from None
    except ConnectionTrouble as error:
        raise StoreError(f"Cannot reach {endpoint}: {_root(error)}", _NETWORK) from None
    except ValueError as error:  # the SDK's check of the address
        raise StoreError(f"{endpoint} is not an address: {error}", _ENDPOINT) from None


def _store(bucket: Bucket, name: str, file: ReportFile, run_id: str) -> Artifact:
    try:
        _put(bucket, name, file)
        error = _damage(bucket, name, file)
    except ServiceError as refusal:
        if _remedy(refusal):
            raise
        error = _refusal(refusal)
    except ConnectionTrouble:
        raise  # an OSError as well, yet it is the network's and not the file's
    except OSError as failure:
        error = f"{file.path.name}: {failure.strerror}"
    return file.artifact(run_id, bucket.url(name), error)


def _put(bucket: Bucket, name: str, file: ReportFile) -> None:
    with file.path.open("rb") as body:
        bucket.client.put_object(
            *bucket.place,
            name,
            body,
            content_type=file.content_type,
            content_md5=file.content_md5,
        )


def _damage(bucket: Bucket, name: str, file: ReportFile) -> str | None:
    """How the object differs from the file; None where it does not."""
    there = bucket.client.head_object(*bucket.place, name).headers
    sent = {"content-length": str(file.size_bytes), "content-md5": file.content_md5}
    differs = [f"{key} {there.get(key)}, not {value}" for key, value in sent.items() if there.get(key) != value]
    return f"what arrived differs: {'; '.join(differs)}" if differs else None


def _remedy(error: ServiceError) -> str | None:
    return REMEDIES.get(error.code) or REMEDIES.get(error.status)


def _refusal(error: ServiceError) -> str:
    said = f"{error.status} {error.code or ''}".strip() + (f": {error.message}" if error.message else "")
    return f"{said} (opc-request-id {error.request_id})"


def _root(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
