"""Signatures of OCI's APIs, made by the SDK: RSA-SHA256 over the date, the target and the body's checksum."""

import configparser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shapebench.apis.signing import AuthError, Signer
from shapebench.apis.target import Target

# What each kind of signer says when it cannot be made; the SDK's own messages can quote a line with a secret.
PROBLEMS = {
    "config_file": "Profile {profile} of the OCI config file {config_file} cannot be used",
    "instance_principal": "This machine gets no token as an OCI instance",
    "resource_principal": "This process has no token as an OCI resource",
}
REMEDIES = {
    "config_file": "Set endpoint.auth_options profile and config_file to a profile that `oci setup config` wrote.",
    "instance_principal": "Only an OCI instance can sign as itself; elsewhere set endpoint.auth_options kind to "
    "config_file.",
    "resource_principal": "OCI sets OCI_RESOURCE_PRINCIPAL_VERSION for a resource, such as a container instance; "
    "elsewhere set endpoint.auth_options kind to config_file.",
}


@dataclass
class _Request:
    """The part of a request that the SDK reads and adds headers to."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def path_url(self) -> str:
        parts = urlsplit(self.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")


def make_oci_signer(target: Target) -> Signer:
    """Make a signer from a profile of the config file, or as the instance or resource that this process runs on."""
    options = {"kind": "config_file", "profile": "DEFAULT", "config_file": "~/.oci/config", **target.auth_options}
    kind = options["kind"]
    if kind not in _SIGNERS:
        raise AuthError(f"There is no kind {kind} of OCI signer.", f"Use one of {', '.join(_SIGNERS)}.")
    try:
        sdk_signer = _SIGNERS[kind](options)
    except Exception as error:  # noqa: BLE001 - the SDK raises many kinds, whose words can quote a secret
        raise AuthError(
            f"{PROBLEMS[kind].format(**options)}: {_reason(error)}.",
            REMEDIES[kind],
        ) from None

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        given = {name.lower(): value for name, value in headers.items()}
        given["content-length"] = str(len(body))  # the request has it anyway
        signed = sdk_signer(_Request(method, url, dict(given), body)).headers
        return {name: value for name, value in signed.items() if name not in given}

    return sign


def _reason(error: Exception) -> str:
    """Say what is wrong, in words that cannot contain a secret."""
    import oci

    if isinstance(error, oci.exceptions.InvalidConfig):
        return ", ".join(f"{key} is {what}" for key, what in sorted(error.errors.items()))
    reasons: dict[type[Exception], str] = {
        oci.exceptions.ConfigFileNotFound: "there is no such file",
        oci.exceptions.ProfileNotFound: "there is no such profile",
        oci.exceptions.InvalidKeyFilePath: "its key_file does not exist",
        oci.exceptions.MissingPrivateKeyPassphrase: "its key is encrypted, and pass_phrase is missing",
        oci.exceptions.InvalidPrivateKey: "its key is not a private key, or pass_phrase is wrong",
        configparser.Error: "it is not an OCI config file",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), type(error).__name__)


def _from_config_file(options: Mapping[str, str]) -> Any:
    import oci

    config = oci.config.from_file(options["config_file"], options["profile"])
    if token_file := config.get("security_token_file"):  # of `oci session authenticate`
        key = oci.signer.load_private_key_from_file(config["key_file"], config.get("pass_phrase"))
        token = Path(token_file).expanduser().read_text(encoding="utf-8").strip()
        return oci.auth.signers.SecurityTokenSigner(token, key)
    oci.config.validate_config(config)
    return oci.signer.Signer.from_config(config)


def _as_instance(_options: Mapping[str, str]) -> Any:
    import oci

    return oci.auth.signers.InstancePrincipalsSecurityTokenSigner()


def _as_resource(_options: Mapping[str, str]) -> Any:
    import oci

    return oci.auth.signers.get_resource_principals_signer()


_SIGNERS: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "config_file": _from_config_file,
    "instance_principal": _as_instance,
    "resource_principal": _as_resource,
}
