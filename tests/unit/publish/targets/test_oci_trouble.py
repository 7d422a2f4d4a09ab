"""Whatever OCI refuses, and whatever keeps it out of reach, is named with its own remedy."""

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shapebench.publish.targets.oci import connection, send
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec
from tests.oci_lookalike import HangUpError, ObjectStorage, RefusedError, register, running
from tests.upload_batches import batch, sent

MakeSpec = Callable[..., Spec]

PAGE = "shapebench/r1/index.html"
EVERYTHING = ".*"


def refusal(spec: Spec, report: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        sent(spec, report)
    return caught.value


# What concerns all files: status, code, words of its remedy
OF_ALL = [
    (
        403,
        "NotAuthorized",
        "allow group GROUP to manage objects in compartment COMPARTMENT where target.bucket.name='re",
    ),
    (403, "NotAllowed", "allow group GROUP to manage objects"),
    (404, "NotAuthorizedOrNotFound", "Or permission is missing"),
    (404, "BucketNotFound", "a bucket is in one region, and http://127.0.0.1:"),
    (400, "QuotaExceeded", "quota or limit of the compartment"),
    (400, "LimitExceeded", "quota or limit of the compartment"),
    (409, "InsufficientServicePermissions", "allow service objectstorage-REGION"),
    (429, "TooManyRequests", "opc-request-id"),
    (500, "InternalServerError", "opc-request-id"),
    (503, "ServiceUnavailable", "Nothing is lost"),
]


@pytest.mark.parametrize(("status", "code", "remedy"), OF_ALL)
def test_what_concerns_every_file_ends_the_sending_with_its_remedy(
    status: int, code: str, remedy: str, storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, status, code, times=10)
    error = refusal(bucket_spec(), report)
    assert f"{status} {code}" in error.problem
    assert "(opc-request-id lookalike-" in error.problem
    assert remedy in error.remedy
    assert set(storage.uploads()) == {PAGE}


# What concerns one file
OF_ONE = [
    (400, "InvalidObjectName", "publish.oci.prefix"),
    (400, "UnmatchedContentMD5", "damaged in transit"),
    (404, "ObjectNotFound", "was removed in the meantime"),
    (409, "ObjectRetained", "oci os retention-rule list --bucket-name reports"),
    (409, "ConcurrentObjectUpdate", "is being written by someone else"),
    (412, "IfNoneMatchFailed", "is being written by someone else"),
    (418, "Teapot", "`shapebench publish RUN_ID`"),
]


@pytest.mark.parametrize(("status", "code", "remedy"), OF_ONE)
def test_what_concerns_one_file_is_told_of_it_with_its_remedy(
    status: int, code: str, remedy: str, storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, status, code)
    page, *others = sent(bucket_spec(), report)
    assert f"{status} {code}" in (page.error or "")
    assert remedy in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


@pytest.mark.parametrize(
    ("status", "code"), [(409, "IncorrectState"), (429, "TooManyRequests"), (500, "InternalServerError")]
)
def test_what_will_pass_is_tried_again(
    status: int, code: str, storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, status, code)
    assert [artifact.error for artifact in sent(bucket_spec(), report)] == [None] * 3
    assert storage.uploads().count(PAGE) == 2


WRONG_PLACES = [({"bucket": "other"}, "404 BucketNotFound", "publish.oci.bucket")]
WRONG_PLACES += [({"namespace": "other"}, "404 NamespaceNotFound", "publish.oci.namespace")]


@pytest.mark.parametrize(("field", "problem", "remedy"), WRONG_PLACES)
def test_a_bucket_that_is_not_there_is_named(
    field: dict[str, str], problem: str, remedy: str, bucket_spec: MakeSpec, report: Path
) -> None:
    error = refusal(bucket_spec(**field), report)
    assert problem in error.problem
    assert remedy in error.remedy


def test_a_bucket_without_the_right_to_look_at_it_is_told_the_policy(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.inject("GET", r".*/o", RefusedError(404, "NotAuthorizedOrNotFound"))
    assert "allow group GROUP to read buckets" in refusal(bucket_spec(), report).remedy


def test_what_arrived_before_the_trouble_is_told_of(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse("shapebench/r1/samples.parquet", 403, "NotAuthorized")
    told: list[Artifact] = []
    with pytest.raises(StoreError):
        told.extend(send(bucket_spec(), batch(report)))
    assert [(artifact.name, artifact.error) for artifact in told] == [("index.html", None), ("plots/query.svg", None)]


def test_the_next_time_goes_on_after_what_had_arrived(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse("shapebench/r1/samples.parquet", 403, "NotAuthorized")
    refusal(bucket_spec(), report)
    assert [artifact.sent for artifact in sent(bucket_spec(), report)] == [False, False, True]


# The clock


@pytest.mark.parametrize(
    ("ahead", "words"), [(timedelta(hours=1), "60 min behind OCI's"), (-timedelta(minutes=17), "17 min ahead of OCI's")]
)
def test_a_clock_that_is_wrong_is_named_with_how_far(
    ahead: timedelta, words: str, storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.ahead = ahead
    error = refusal(bucket_spec(), report)
    assert f"this machine's clock is {words}" in error.problem
    assert "timedatectl set-ntp true" in error.remedy


def test_a_refused_signature_is_not_put_down_to_a_clock_that_is_right(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.keys.clear()
    error = refusal(bucket_spec(), report)
    assert "clock" not in error.problem
    assert "the tenancy is subscribed to the region" in error.remedy


# Out of reach


def test_an_address_where_nobody_listens_is_named(bucket_spec: MakeSpec, report: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    error = refusal(bucket_spec(service_endpoint=endpoint), report)
    assert error.problem.startswith(f"Cannot reach {endpoint}: ")
    assert "Connection refused" in error.problem
    assert "region" in error.remedy


def test_a_region_that_has_no_address_is_named(
    bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(host: str, *_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no name service is asked in tests
    error = refusal(bucket_spec(service_endpoint=None, region="eu-nowhere-1"), report)
    assert "No address is known for https://objectstorage.eu-nowhere-1.oraclecloud.com" in error.problem
    assert "publish.oci.region" in error.remedy


def test_a_server_that_does_not_answer_in_time_is_named(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT_S", (1, 0.4))
    storage.inject("PUT", EVERYTHING, 1.0, times=3)
    error = refusal(bucket_spec(), report)
    assert f"{storage.endpoint} does not answer in time" in error.problem
    assert "service gateway" in error.remedy


def test_a_slow_answer_is_waited_for_the_next_time(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TIMEOUT_S", (1, 0.4))
    storage.inject("PUT", EVERYTHING, 1.0, times=1)
    assert [artifact.error for artifact in sent(bucket_spec(), report)] == [None] * 3


def test_a_lost_connection_is_made_anew(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.inject("PUT", EVERYTHING, HangUpError(), times=2)
    assert [artifact.error for artifact in sent(bucket_spec(), report)] == [None] * 3
    assert storage.buckets["reports"][PAGE].content == (report / "index.html").read_bytes()


def test_connections_that_are_lost_again_and_again_are_named(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.inject("PUT", EVERYTHING, HangUpError(), times=10)
    assert refusal(bucket_spec(), report).problem.startswith(f"Cannot reach {storage.endpoint}: ")


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def with_tls(authority: trustme.CA, folder: Path) -> Path:
    file = folder / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


def test_a_certificate_of_an_unknown_authority_is_named(
    authority: trustme.CA, bucket_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    with running(with_tls(authority, tmp_path)) as tls:
        error = refusal(bucket_spec(service_endpoint=tls.endpoint), report)
    assert error.problem.startswith(f"There is no TLS connection to {tls.endpoint}: ")
    assert "REQUESTS_CA_BUNDLE" in error.remedy


def test_an_authority_that_is_named_as_the_remedy_says_is_trusted(
    authority: trustme.CA,
    key: RSAPrivateKey,
    bucket_spec: MakeSpec,
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with running(with_tls(authority, tmp_path)) as tls:
        register(tls, key)
        assert [artifact.error for artifact in sent(bucket_spec(service_endpoint=tls.endpoint), report)] == [None] * 3


def test_an_address_without_tls_is_named(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    endpoint = storage.endpoint.replace("http:", "https:")
    assert "There is no TLS connection" in refusal(bucket_spec(service_endpoint=endpoint), report).problem
