"""Who publishes: a user by a profile or a session, an instance, a resource; and what is said where one cannot."""

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import jwt
import oci
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shapebench.publish.targets.oci.authentication import AUTHENTICATION
from shapebench.publish.targets.oci.trouble import SIGNATURES
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.spec.model import OciTarget, Spec
from tests.instance_metadata import Metadata, serving, session_token
from tests.oci_lookalike import REGION, ObjectStorage, RefusedError, new_key, register, write_config, write_key
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]

SECRET = "hunter2"


def refusal(spec: Spec, report: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        sent(spec, report)
    return caught.value


def key_ids(storage: ObjectStorage) -> set[str]:
    return {request.headers["authorization"].partition('keyId="')[2].partition('"')[0] for request in storage.seen}


@pytest.mark.parametrize(
    "table", [AUTHENTICATION, SIGNATURES], ids=["ways to sign", "remedies for a refused signature"]
)
def test_every_authentication_that_a_spec_can_choose_is_there(table: dict[str, object]) -> None:
    assert set(table) == set(get_args(OciTarget.model_fields["auth"].annotation))


# A profile of the config file


def test_a_key_with_a_passphrase_signs(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir()
    key = new_key()
    register(storage, key)
    config_file = write_config(tmp_path / "locked", key, pass_phrase=SECRET)
    assert sent(bucket_spec(config_file=config_file), report)[0].error is None


WRONG_FIELDS = [  # a field of publish.oci with its value, the problem, what the remedy says
    ({"profile": "PROD"}, "has no profile PROD", "publish.oci.config_file and profile"),
    ({"config_file": "nowhere"}, "There is no OCI config file nowhere", "oci setup config"),
]


@pytest.mark.parametrize(("field", "problem", "remedy"), WRONG_FIELDS)
def test_a_wrong_field_is_named(
    field: dict[str, str], problem: str, remedy: str, bucket_spec: MakeSpec, report: Path
) -> None:
    error = refusal(bucket_spec(**field), report)
    assert problem in error.problem
    assert remedy in error.remedy


def incomplete(config_file: Path) -> None:
    lines = config_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("user", "fingerprint"))]
    config_file.write_text("\n".join([*kept, f"fingerprint={SECRET}"]), encoding="utf-8")


def torn(config_file: Path) -> None:
    config_file.write_text(f"[DEFAULT]\npass_phrase {SECRET}\n", encoding="utf-8")


def without_key(config_file: Path) -> None:
    (config_file.parent / "key.pem").unlink()


def with_no_key(config_file: Path) -> None:
    (config_file.parent / "key.pem").write_text(SECRET, encoding="utf-8")


def with_locked_key(config_file: Path) -> None:
    write_key(config_file.parent / "key.pem", new_key(), passphrase=SECRET)


def with_anothers_key(config_file: Path) -> None:
    write_key(config_file.parent / "key.pem", new_key())


def with_a_session(config_file: Path) -> None:
    lines = config_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("user")]
    config_file.write_text("\n".join([*kept, f"security_token_file={SECRET}"]), encoding="utf-8")


SPOILED: dict[Callable[[Path], None], tuple[str, str]] = {
    incomplete: ("fingerprint is malformed, user is missing", "Correct those fields"),
    torn: ("is not an OCI config file", "oci setup config"),
    without_key: ("key_file of profile DEFAULT", "Correct key_file"),
    with_no_key: ("The key of profile DEFAULT", "Correct key_file"),
    with_locked_key: ("is encrypted", "pass_phrase"),
    with_anothers_key: ("401 NotAuthenticated", "fingerprint and key_file of the profile belong together"),
    with_a_session: ("user is missing", "set publish.oci.auth to session_token"),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_spoiled_config_file_is_explained_without_its_secrets(
    spoil: Callable[[Path], None], config_file: Path, bucket_spec: MakeSpec, report: Path
) -> None:
    spoil(config_file)
    error = refusal(bucket_spec(), report)
    problem, remedy = SPOILED[spoil]
    assert problem in error.problem
    assert remedy in error.remedy
    assert SECRET not in str(error)


# A session


@pytest.fixture
def session(storage: ObjectStorage, key: RSAPrivateKey, tmp_path: Path) -> Callable[..., Path]:
    """Makes what `oci session authenticate` leaves behind: a profile without a user, a key, a token; gives the file."""

    def make(token: str, **fields: str) -> Path:
        register(storage, key, f"ST${token}")
        (tmp_path / "token").write_text(f"{token}\n", encoding="utf-8")
        file = write_config(tmp_path, key, security_token_file=str(tmp_path / "token"), **fields)
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text("\n".join(line for line in lines if not line.startswith("user=")), encoding="utf-8")
        return file

    return make


def test_a_session_signs_with_its_token(
    storage: ObjectStorage, session: Callable[..., Path], bucket_spec: MakeSpec, report: Path
) -> None:
    token = session_token()
    spec = bucket_spec(auth="session_token", config_file=session(token))
    assert [artifact.error for artifact in sent(spec, report)] == [None] * 3
    assert key_ids(storage) == {f"ST${token}"}


def test_a_session_that_has_expired_is_not_tried(
    storage: ObjectStorage, session: Callable[..., Path], bucket_spec: MakeSpec, report: Path
) -> None:
    file = session(session_token(-timedelta(hours=1)))
    error = refusal(bucket_spec(auth="session_token", config_file=file), report)
    assert "expired at 20" in error.problem
    assert "`oci session authenticate --profile-name DEFAULT`" in error.remedy
    assert storage.seen == []


def test_a_session_that_expires_meanwhile_is_told_to_authenticate(
    storage: ObjectStorage, session: Callable[..., Path], bucket_spec: MakeSpec, report: Path
) -> None:
    file = session(session_token(timedelta(minutes=3)))
    storage.ahead = timedelta(minutes=3, seconds=30)
    error = refusal(bucket_spec(auth="session_token", config_file=file), report)
    assert "401 NotAuthenticated" in error.problem
    assert "`oci session refresh --profile DEFAULT`" in error.remedy


def no_token(folder: Path) -> None:
    (folder / "token").unlink()


def another_text(folder: Path) -> None:
    (folder / "token").write_text(SECRET, encoding="utf-8")


def without_an_end(folder: Path) -> None:
    (folder / "token").write_text(jwt.encode({"sub": "me"}, SECRET * 10, algorithm="HS256"), encoding="utf-8")


SPOILED_TOKENS = {
    no_token: "cannot be read",
    another_text: "contains no session token",
    without_an_end: "contains no session",
}


@pytest.mark.parametrize("spoil", SPOILED_TOKENS)
def test_a_token_that_is_none_is_explained_without_repeating_it(
    spoil: Callable[[Path], None], session: Callable[..., Path], bucket_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    file = session(session_token())
    spoil(tmp_path)
    error = refusal(bucket_spec(auth="session_token", config_file=file), report)
    assert SPOILED_TOKENS[spoil] in error.problem
    assert "oci session authenticate" in error.remedy
    assert SECRET not in str(error)


def test_a_profile_without_a_session_says_what_it_lacks(config_file: Path, bucket_spec: MakeSpec, report: Path) -> None:
    error = refusal(bucket_spec(auth="session_token", config_file=config_file), report)
    assert "security_token_file is missing" in error.problem


# An instance


@pytest.fixture
def metadata(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """An instance's services; where they are, the SDK takes from the environment and from an argument."""
    signers = oci.auth.signers
    with serving(storage) as metadata:

        class Instance(signers.InstancePrincipalsSecurityTokenSigner):  # type: ignore[misc, name-defined]
            """One whose tokens come from here, and not from https://auth.REGION.oraclecloud.com."""

            def __init__(self) -> None:
                super().__init__(federation_endpoint=f"{metadata.url}/v1/x509")

        monkeypatch.setattr(signers, "InstancePrincipalsSecurityTokenSigner", Instance)
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{metadata.url}/opc/v2")
        quick = oci.retry.RetryStrategyBuilder(max_attempts=1).get_retry_strategy()
        of_signer = "oci.auth.signers.instance_principals_security_token_signer"
        monkeypatch.setattr(f"{of_signer}.INSTANCE_METADATA_URL_CERTIFICATE_RETRIEVER_RETRY_STRATEGY", quick)
        yield metadata
        gc.collect()  # while the warnings that a test expects are ignored still


sockets_are_left = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # by the SDK, to be collected


def as_instance(spec: MakeSpec) -> Spec:
    return spec(auth="instance_principal", config_file="/nowhere")


@sockets_are_left
def test_an_instance_signs_with_the_token_that_its_certificate_gets(
    storage: ObjectStorage, metadata: Metadata, bucket_spec: MakeSpec, report: Path
) -> None:
    assert [artifact.error for artifact in sent(as_instance(bucket_spec), report)] == [None] * 3
    assert metadata.tokens == 1
    assert key_ids(storage) == {key_id for key_id in storage.keys if key_id.startswith("ST$")}


@sockets_are_left
def test_an_instance_publishes_in_its_own_region(metadata: Metadata, make_spec: MakeSpec) -> None:
    target = make_spec(oci={"bucket": "b", "auth": "instance_principal"}).publish.oci
    assert metadata.url
    assert target is not None
    endpoint = oci.object_storage.ObjectStorageClient(**AUTHENTICATION[target.auth](target)).base_client.endpoint
    assert REGION in endpoint


@sockets_are_left
def test_an_instance_that_no_policy_knows_is_told_of_dynamic_groups(
    storage: ObjectStorage, metadata: Metadata, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert metadata.url
    monkeypatch.setattr("tests.oci_lookalike.verify", deny)
    assert "a dynamic group's rule matches this instance" in refusal(as_instance(bucket_spec), report).remedy


def deny(*_: object) -> None:
    raise RefusedError(401, "NotAuthenticated")


@sockets_are_left
def test_a_machine_that_is_no_instance_is_told_so(metadata: Metadata, bucket_spec: MakeSpec, report: Path) -> None:
    metadata.pages.clear()
    error = refusal(as_instance(bucket_spec), report)
    assert error.problem.startswith("This machine gets no token as an OCI instance: 404")
    assert "publish.oci.auth" in error.remedy


@sockets_are_left
def test_a_machine_without_metadata_is_told_so(
    metadata: Metadata, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert metadata.url
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2")
    error = refusal(as_instance(bucket_spec), report)
    assert "no token as an OCI instance" in error.problem
    assert "Connection refused" in error.problem


@sockets_are_left
def test_a_key_that_the_metadata_service_gives_is_not_repeated_where_it_is_none(
    metadata: Metadata, bucket_spec: MakeSpec, report: Path
) -> None:
    metadata.pages["identity/key.pem"] = SECRET.encode()
    error = refusal(as_instance(bucket_spec), report)
    assert "InvalidCertificateFromInstanceMetadataError" in error.problem
    assert SECRET not in str(error)


# A resource


@pytest.fixture
def resource(storage: ObjectStorage, key: RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What OCI sets for a function or a container instance; gives the token."""
    token = session_token()
    register(storage, key, f"ST${token}")
    write_key(tmp_path / "resource.pem", key)
    (tmp_path / "rpst").write_text(token, encoding="utf-8")
    given = {"VERSION": "2.2", "RPST": str(tmp_path / "rpst"), "PRIVATE_PEM": str(tmp_path / "resource.pem")}
    for name, value in {**given, "REGION": REGION}.items():
        monkeypatch.setenv(f"OCI_RESOURCE_PRINCIPAL_{name}", value)
    return token


def as_resource(spec: MakeSpec) -> Spec:
    return spec(auth="resource_principal", config_file="/nowhere")


def test_a_resource_signs_with_its_token(
    storage: ObjectStorage, resource: str, bucket_spec: MakeSpec, report: Path
) -> None:
    assert [artifact.error for artifact in sent(as_resource(bucket_spec), report)] == [None] * 3
    assert key_ids(storage) == {f"ST${resource}"}


def test_a_process_that_is_no_resource_is_told_so(
    bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCI_RESOURCE_PRINCIPAL_VERSION", raising=False)
    error = refusal(as_resource(bucket_spec), report)
    assert "OCI_RESOURCE_PRINCIPAL_VERSION is not defined" in error.problem
    assert "publish.oci.auth" in error.remedy


@pytest.mark.parametrize("file", ["rpst", "resource.pem"])
def test_what_a_resource_was_given_is_not_repeated_where_it_is_of_no_use(
    file: str, resource: str, bucket_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(SECRET, encoding="utf-8")
    error = refusal(as_resource(bucket_spec), report)
    assert error.problem.startswith("This process has no token as an OCI resource")
    assert SECRET not in str(error)
    assert resource not in str(error)
