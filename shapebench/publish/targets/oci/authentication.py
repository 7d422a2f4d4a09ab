"""Authentication with OCI Object Storage: a signer for each value of publish.oci.auth."""

import configparser
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import oci
from oci.auth.certificate_retriever import InvalidCertificateFromInstanceMetadataError
from oci.exceptions import ServiceError

from shapebench.publish.targets.oci.trouble import SESSION, describe, root
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.spec.model import OciTarget
from shapebench.support import credentials

Signing = dict[str, Any]  # arguments of the SDK's client: config and signer

_CONFIG_FILE = "Create one with `oci setup config`, or set publish.oci.config_file and profile."
_PROFILE = "Correct those fields in the config file; `oci setup config` writes a complete one."
_KEY = "Correct key_file in the profile: the private key's PEM file; one that is encrypted needs pass_phrase too."
_TOKEN = "The profile is one of `oci session authenticate`: set publish.oci.auth to session_token."
_VALUES = "Correct these fields; `oci setup keys` creates a key, and the console shows the other values."
_INSTANCE = "Only an OCI instance can authenticate as itself; elsewhere set publish.oci.auth to config_file."
_RESOURCE = (
    "OCI sets OCI_RESOURCE_PRINCIPAL_VERSION and related variables for resource principals, such as a function or a "
    "container instance; elsewhere set publish.oci.auth to config_file."
)

# Problems of a config file. The SDK's own messages are not shown, since they can quote a line with a secret.
CONFIG_TROUBLE: dict[type[Exception], tuple[str, str]] = {
    oci.exceptions.ConfigFileNotFound: ("There is no OCI config file {file}", _CONFIG_FILE),
    oci.exceptions.ProfileNotFound: ("The OCI config file {file} has no profile {profile}", _CONFIG_FILE),
    oci.exceptions.InvalidKeyFilePath: ("The key_file of profile {profile} in {file} does not exist", _KEY),
    oci.exceptions.MissingPrivateKeyPassphrase: ("The key of profile {profile} in {file} is encrypted", _KEY),
    oci.exceptions.InvalidPrivateKey: (
        "The key of profile {profile} in {file} is not a private key, or its pass_phrase is wrong",
        _KEY,
    ),
    configparser.Error: ("{file} is not an OCI config file", _CONFIG_FILE),
    OSError: ("The OCI config file {file}, or the key that profile {profile} names, cannot be read", _CONFIG_FILE),
    ValueError: ("The OCI config file {file} cannot be used with profile {profile}", _CONFIG_FILE),
}

KEY_TROUBLE = (oci.exceptions.InvalidPrivateKey, oci.exceptions.MissingPrivateKeyPassphrase)
SESSION_FIELDS = ("key_file", "region", "security_token_file")

# The variables of OCI's command line.
ENVIRONMENT = {
    "user": "OCI_CLI_USER",
    "tenancy": "OCI_CLI_TENANCY",
    "fingerprint": "OCI_CLI_FINGERPRINT",
    "region": "OCI_CLI_REGION",
    "key_file": "OCI_CLI_KEY_FILE",
    "key_content": "OCI_CLI_KEY_CONTENT",
    "pass_phrase": "OCI_CLI_PASSPHRASE",
}


def _profile(target: OciTarget) -> Signing:
    with _read_profile(target) as config:
        oci.config.validate_config(config)
        return {"config": config, "signer": oci.signer.Signer.from_config(config)}


def _session(target: OciTarget) -> Signing:
    with _read_profile(target) as config:
        if missing := {field: "missing" for field in SESSION_FIELDS if not config.get(field)}:
            raise oci.exceptions.InvalidConfig(missing)
        token = _fresh_token(Path(config["security_token_file"]).expanduser(), target)
        key = oci.signer.load_private_key_from_file(config["key_file"], config.get("pass_phrase"))
        return {"config": config, "signer": oci.auth.signers.SecurityTokenSigner(token, key)}


def _fresh_token(file: Path, target: OciTarget) -> str:
    remedy = SESSION.format(profile=target.profile)
    try:
        token = file.read_text(encoding="utf-8").strip()
        expires_at = datetime.fromtimestamp(jwt.decode(token, options={"verify_signature": False})["exp"], UTC)
    except OSError as error:
        raise StoreError(f"The session token in {file} cannot be read: {error.strerror}", remedy) from None
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise StoreError(f"{file} contains no session token", remedy) from None
    if expires_at <= datetime.now(UTC):
        raise StoreError(f"The session token in {file} expired at {expires_at:%Y-%m-%d %H:%M} UTC", remedy)
    return token


@contextmanager
def _read_profile(target: OciTarget) -> Iterator[dict[str, Any]]:
    """Yield the fields of the profile; errors, also while they are used, become StoreErrors."""
    config: dict[str, Any] = {}
    try:
        config |= oci.config.from_file(str(target.config_file), target.profile)
        config |= {"region": target.region} if target.region else {}
        config["log_requests"] = False  # a log of requests would contain the URLs of links
        yield config
    except oci.exceptions.InvalidConfig as error:
        wrong = ", ".join(f"{key} is {what}" for key, what in sorted(error.errors.items()))
        problem = f"Profile {target.profile} in {target.config_file} cannot be used: {wrong}"
        of_session = "security_token_file" in config and target.auth == "config_file"
        raise StoreError(problem, _TOKEN if of_session else _PROFILE) from None
    except tuple(CONFIG_TROUBLE) as error:
        problem, remedy = next(text for kind, text in CONFIG_TROUBLE.items() if isinstance(error, kind))
        raise StoreError(problem.format(file=target.config_file, profile=target.profile), remedy) from None


@dataclass(frozen=True)
class Principal:
    """An OCI principal: the name of its signer in the SDK, and its error."""

    signer: str
    trouble: str
    remedy: str


INSTANCE = Principal(
    "InstancePrincipalsSecurityTokenSigner", "This machine gets no token as an OCI instance", _INSTANCE
)
RESOURCE = Principal("get_resource_principals_signer", "This process has no token as an OCI resource", _RESOURCE)
SAFE_ERRORS = (OSError, ServiceError)  # the messages of others can quote a key
PRINCIPAL_TROUBLE = (
    *SAFE_ERRORS,
    *KEY_TROUBLE,
    InvalidCertificateFromInstanceMetadataError,
    jwt.PyJWTError,
    RuntimeError,
    ValueError,
)


def _principal(principal: Principal, target: OciTarget) -> Signing:
    try:
        signer = getattr(oci.auth.signers, principal.signer)()
    except PRINCIPAL_TROUBLE as error:
        raise StoreError(f"{principal.trouble}: {_safe_message(error)}", principal.remedy) from None
    return {"config": {"region": target.region} if target.region else {}, "signer": signer}


def _safe_message(error: Exception) -> str:
    if isinstance(error, ServiceError):
        return describe(error)
    return str(root(error)) if isinstance(error, SAFE_ERRORS) else type(error).__name__


def _block(target: OciTarget) -> Signing:
    name = target.credentials_block or ""
    return _from_values(target, credentials.secret(credentials.OCI_CREDENTIALS, name), {}, f"the Prefect block {name}")


def _environment(target: OciTarget) -> Signing:
    values = {field: os.environ.get(variable, "") for field, variable in ENVIRONMENT.items()}
    return _from_values(target, values, ENVIRONMENT, "the environment")


def _from_values(target: OciTarget, values: Mapping[str, str], names: Mapping[str, str], place: str) -> Signing:
    """Use credentials from elsewhere than a config file; `names` are the names of the fields there."""
    config = {field: value for field, value in values.items() if value}
    config |= {"region": target.region} if target.region else {}
    try:
        oci.config.validate_config(config)
        owner = (config["tenancy"], config["user"], config["fingerprint"])
        key = (config.get("key_file"), config.get("pass_phrase"), config.get("key_content"))
        return {"config": config, "signer": oci.signer.Signer(*owner, *key)}
    except oci.exceptions.InvalidConfig as error:
        wrong = ", ".join(f"{names.get(field, field)} is {what}" for field, what in sorted(error.errors.items()))
        raise StoreError(f"The OCI credentials in {place} cannot be used: {wrong}", _VALUES) from None
    except (*KEY_TROUBLE, OSError, ValueError):  # their messages could quote the key
        raise StoreError(
            f"The private key in {place} is not a private key, or its pass phrase is wrong", _VALUES
        ) from None


AUTHENTICATION: dict[str, Callable[[OciTarget], Signing]] = {
    "config_file": _profile,
    "session_token": _session,
    "instance_principal": partial(_principal, INSTANCE),
    "resource_principal": partial(_principal, RESOURCE),
    "block": _block,
    "environment": _environment,
}
