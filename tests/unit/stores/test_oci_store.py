import socket
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import oci
import pytest

from shapebench.spec import Spec
from shapebench.stores import oci as store
from shapebench.stores.files import StoreError, report_files
from tests.oci_lookalike import NAMESPACE, REGION, ObjectStorage, new_key, register, write_config, write_key

MakeSpec = Callable[..., Spec]

PAGE = "shapebench/r1/index.html"
SECRET = "hunter2"  # noqa: S105 - made up


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own strategy, with waits of hundredths of a second between its attempts."""
    waits = {"retry_base_sleep_time_seconds": 0.01, "retry_max_wait_between_calls_seconds": 0.02}
    quick = oci.retry.RetryStrategyBuilder(**waits, decorrelated_jitter=0.01, max_attempts=3)
    monkeypatch.setattr(store, "RETRY", quick.get_retry_strategy())


def test_every_file_arrives_under_prefix_and_run_id(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    artifacts = store.send(bucket_spec(), "r1", report)
    assert {name: stored.content for name, stored in storage.buckets["reports"].items()} == {
        f"shapebench/r1/{artifact.name}": (report / artifact.name).read_bytes() for artifact in artifacts
    }
    assert [artifact.error for artifact in artifacts] == [None] * 3


def test_an_empty_prefix_puts_the_run_id_first(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    store.send(bucket_spec(prefix=""), "r1", report)
    assert "r1/index.html" in storage.buckets["reports"]


def test_objects_carry_their_content_types(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    store.send(bucket_spec(), "r1", report)
    assert {name.rpartition("/")[2]: stored.content_type for name, stored in storage.buckets["reports"].items()} == {
        "index.html": "text/html",
        "query.svg": "image/svg+xml",
        "samples.parquet": "application/vnd.apache.parquet",
    }


def test_an_upload_carries_the_checksum_of_its_content(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    store.send(bucket_spec(), "r1", report)
    sent = {request.path.rpartition("/")[2]: request for request in storage.seen if request.method == "PUT"}
    for name, request in sent.items():
        expected = b64encode(md5(next(report.rglob(name)).read_bytes(), usedforsecurity=False).digest()).decode()
        assert request.headers["content-md5"] == expected


def test_an_artifact_has_the_address_of_its_object(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    page = store.send(bucket_spec(), "run 1", report)[0]
    assert page.url == f"{storage.endpoint}/n/{NAMESPACE}/b/reports/o/shapebench/run%201/index.html"


def test_an_empty_file_arrives_empty(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    (report / "index.html").write_bytes(b"")
    assert store.send(bucket_spec(), "r1", report)[0].error is None
    assert storage.buckets["reports"][PAGE].content == b""


def test_the_namespace_is_looked_up_only_when_it_is_not_given(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    store.send(bucket_spec(namespace=NAMESPACE), "r1", report)
    assert not [request for request in storage.seen if request.path in ("/n", "/n/")]
    store.send(bucket_spec(), "r1", report)
    assert [request for request in storage.seen if request.path in ("/n", "/n/")]


def test_sending_again_leaves_the_same_objects(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    store.send(bucket_spec(), "r1", report)
    before = dict(storage.buckets["reports"])
    store.send(bucket_spec(), "r1", report)
    assert storage.buckets["reports"] == before


def test_a_damaged_object_is_noticed(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.damage(PAGE)
    page, *others = store.send(bucket_spec(), "r1", report)
    assert "differs" in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


def test_a_file_that_is_refused_does_not_stop_the_others(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, 400, "InvalidObjectName")
    page, *others = store.send(bucket_spec(), "r1", report)
    assert "400 InvalidObjectName" in (page.error or "")
    assert "lookalike-" in (page.error or "")  # the request id that Oracle's support asks for
    assert [artifact.error for artifact in others] == [None, None]


def test_a_file_that_failed_is_sent_the_next_time(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 400, "InvalidObjectName")
    store.send(bucket_spec(), "r1", report)
    assert store.send(bucket_spec(), "r1", report)[0].error is None
    assert PAGE in storage.buckets["reports"]


def test_a_file_that_vanished_does_not_stop_the_others(
    bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = report_files(report)
    (report / "index.html").unlink()
    monkeypatch.setattr(store, "report_files", lambda _: files)
    page, *others = store.send(bucket_spec(), "r1", report)
    assert "No such file" in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


def test_a_busy_server_is_asked_again(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 503, "ServiceUnavailable")
    assert store.send(bucket_spec(), "r1", report)[0].error is None
    assert storage.uploads().count(PAGE) == 2
    assert storage.buckets["reports"][PAGE].content == (report / "index.html").read_bytes()


def test_a_file_fails_when_the_server_stays_busy(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 503, "ServiceUnavailable", times=20)
    page, *others = store.send(bucket_spec(), "r1", report)
    assert "503 ServiceUnavailable" in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


def test_a_key_with_a_passphrase_signs(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir()
    key = new_key()
    register(storage, key)
    config_file = write_config(tmp_path / "locked", key, pass_phrase=SECRET)
    assert store.send(bucket_spec(config_file=config_file), "r1", report)[0].error is None


def test_an_instance_signs_with_its_token(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signers = oci.auth.signers

    class Instance(signers.InstancePrincipalsSecurityTokenSigner):  # type: ignore[misc, name-defined]
        """One whose token came without a metadata service."""

        def __init__(self) -> None:
            key = new_key()
            register(storage, key, "ST$token")
            self.region = REGION
            self.create_signers("ST$token", key, ["date", "(request-target)", "host"], [])

        def __call__(self, request: Any, enforce_content_headers: bool = True) -> Any:
            return self.do_request_sign(request, enforce_content_headers)

    monkeypatch.setattr(signers, "InstancePrincipalsSecurityTokenSigner", Instance)
    spec = bucket_spec(auth="instance_principal", config_file="/nowhere")
    assert store.send(spec, "r1", report)[0].error is None
    assert all('keyId="ST$token"' in request.headers["authorization"] for request in storage.seen)


def test_without_a_service_endpoint_the_region_says_where(config_file: Path, make_spec: MakeSpec) -> None:
    target = make_spec(oci={"bucket": "b", "config_file": config_file, "region": "uk-london-1"}).publish.oci
    assert target is not None
    assert "uk-london-1" in store.client(target).base_client.get_endpoint()


def refusal(spec: Spec, report: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        store.send(spec, "r1", report)
    return caught.value


WRONG_FIELDS = [  # a field of publish.oci with its value, the problem, what the remedy says
    ({"bucket": "other"}, "404 BucketNotFound", "publish.oci.bucket"),
    ({"namespace": "other"}, "404 NamespaceNotFound", "publish.oci.namespace"),
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


SPOILED: dict[Callable[[Path], None], tuple[str, str]] = {
    incomplete: ("fingerprint is malformed, user is missing", "Correct those fields"),
    torn: ("is not an OCI config file", "oci setup config"),
    without_key: ("key_file of profile DEFAULT", "Correct key_file"),
    with_no_key: ("The key of profile DEFAULT", "Correct key_file"),
    with_locked_key: ("is encrypted", "pass_phrase"),
    with_anothers_key: ("401 NotAuthenticated", "fingerprint and key_file of the profile belong together"),
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


def test_a_missing_policy_is_written_out(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 403, "NotAuthorized")
    assert "allow group GROUP to manage objects" in refusal(bucket_spec(), report).remedy


def test_what_concerns_every_file_ends_the_sending(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 403, "NotAuthorized")
    refusal(bucket_spec(), report)
    assert storage.uploads() == [PAGE]


def test_an_address_where_nobody_listens_is_named(bucket_spec: MakeSpec, report: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    error = refusal(bucket_spec(service_endpoint=endpoint), report)
    assert error.problem.startswith(f"Cannot reach {endpoint}: ")
    assert "Connection refused" in error.problem
    assert "region" in error.remedy


def test_a_clock_that_is_wrong_is_named_as_a_reason(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.ahead = timedelta(hours=1)
    assert "clock" in refusal(bucket_spec(), report).remedy


def test_a_machine_that_is_no_instance_is_told_so(
    bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_metadata() -> None:
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(oci.auth.signers, "InstancePrincipalsSecurityTokenSigner", no_metadata)
    assert "publish.oci.auth" in refusal(bucket_spec(auth="instance_principal"), report).remedy


def test_nothing_is_printed_or_logged(
    bucket_spec: MakeSpec, report: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.send(bucket_spec(), "r1", report)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
