"""Credentials for OCI that stand in no config file: in a Prefect block, or in the environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shapebench.publish.targets.oci import client
from shapebench.publish.targets.oci.authentication import ENVIRONMENT
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.spec.model import Spec
from shapebench.support import credentials
from tests.oci_lookalike import NAMESPACE, REGION, TENANCY, USER, ObjectStorage, fingerprint, register, write_key

MakeSpec = Callable[..., Spec]
SECRET = "hunter2"


@pytest.fixture
def values(storage: ObjectStorage, key: RSAPrivateKey, tmp_path: Path) -> dict[str, str]:
    """What a user's credentials consist of; the look-alike knows the key, which has a pass phrase."""
    register(storage, key)
    write_key(tmp_path / "given.pem", key, SECRET)
    return {
        "user": USER,
        "tenancy": TENANCY,
        "fingerprint": fingerprint(key),
        "region": REGION,
        "key_content": (tmp_path / "given.pem").read_text(encoding="utf-8"),
        "pass_phrase": SECRET,
    }


def namespace(spec: Spec) -> Any:
    """What the look-alike answers to whoever has signed well."""
    assert spec.publish.oci
    return client(spec.publish.oci).get_namespace().data


def by_block(bucket_spec: MakeSpec, values: dict[str, str]) -> Any:
    with credentials.opened({(credentials.OCI_CREDENTIALS, "ours"): values}):
        return namespace(bucket_spec(auth="block", credentials_block="ours", config_file="/nowhere"))


def in_environment(values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for field, variable in ENVIRONMENT.items():
        monkeypatch.delenv(variable, raising=False)
        if field in values:
            monkeypatch.setenv(variable, values[field])


def test_a_block_signs(bucket_spec: MakeSpec, values: dict[str, str]) -> None:
    assert by_block(bucket_spec, values) == NAMESPACE


def test_the_environment_signs(bucket_spec: MakeSpec, values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(values, monkeypatch)
    assert namespace(bucket_spec(auth="environment", config_file="/nowhere")) == NAMESPACE


def test_the_environment_may_name_a_key_file(
    bucket_spec: MakeSpec, values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment({**values, "key_content": "", "key_file": str(tmp_path / "given.pem")}, monkeypatch)
    assert namespace(bucket_spec(auth="environment")) == NAMESPACE


def test_what_the_environment_lacks_is_named_by_its_variables(
    bucket_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_environment({"region": REGION}, monkeypatch)
    with pytest.raises(StoreError, match=r"OCI_CLI_FINGERPRINT is missing.*OCI_CLI_TENANCY.*OCI_CLI_USER") as caught:
        namespace(bucket_spec(auth="environment"))
    assert "the environment" in caught.value.problem


WRONG = {
    "a pass phrase that does not fit": {"pass_phrase": "wrong"},
    "no pass phrase": {"pass_phrase": ""},
    "no key": {"key_content": f"{SECRET} is no key"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_key_that_cannot_be_read_is_refused_without_repeating_it(
    bucket_spec: MakeSpec, values: dict[str, str], wrong: dict[str, str]
) -> None:
    with pytest.raises(StoreError, match="the Prefect block ours") as caught:
        by_block(bucket_spec, {**values, **wrong})
    assert SECRET not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


def test_a_field_of_a_block_that_is_malformed_is_named(bucket_spec: MakeSpec, values: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="user is malformed"):
        by_block(bucket_spec, {**values, "user": "me"})
