"""The look-alike is only worth as much as what it refuses."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import httpx
import oci
import pytest

from shapebench.publish.targets.oci import client
from shapebench.spec.model import Spec
from tests.instance_metadata import session_token
from tests.oci_lookalike import NAMESPACE, ObjectStorage, new_key, register


@pytest.fixture
def sdk(bucket_spec: Callable[..., Spec]) -> Iterator[Any]:
    target = bucket_spec().publish.oci
    assert target is not None
    made = client(target)
    sdk = oci.object_storage.ObjectStorageClient(  # the SDK's own, without what ours adds
        made.base_client.config, signer=made.base_client.signer, service_endpoint=target.service_endpoint
    )
    sdk.retry_strategy = oci.retry.NoneRetryStrategy()
    yield sdk
    sdk.base_client.session.close()


def test_a_request_without_a_signature_is_refused(storage: ObjectStorage) -> None:
    answer = httpx.get(f"{storage.endpoint}/n")
    assert (answer.status_code, answer.json()["code"]) == (401, "NotAuthenticated")


def test_a_signature_does_for_one_path_only(storage: ObjectStorage, sdk: Any) -> None:
    sdk.get_namespace()
    request = storage.seen[0]
    signed = {name: request.headers[name] for name in ("date", "host", "authorization")}
    assert httpx.get(f"{storage.endpoint}{request.target}", headers=signed).status_code == httpx.codes.OK
    other = f"{storage.endpoint}/n/{NAMESPACE}/b/reports"
    assert httpx.get(other, headers=signed).status_code == httpx.codes.UNAUTHORIZED


def test_an_upload_that_does_not_match_its_checksum_is_refused(storage: ObjectStorage, sdk: Any) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        sdk.put_object(NAMESPACE, "reports", "a", b"one", content_md5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert (caught.value.status, caught.value.code) == (400, "UnmatchedContentMD5")
    assert storage.buckets == {"reports": {}}


def test_an_object_can_be_listed_and_read_back(sdk: Any) -> None:
    for name in ("r1/a", "r2/a"):
        sdk.put_object(NAMESPACE, "reports", name, name.encode())
    listed = sdk.list_objects(NAMESPACE, "reports", prefix="r1/").data.objects
    assert [entry.name for entry in listed] == ["r1/a"]
    assert sdk.get_object(NAMESPACE, "reports", "r1/a").data.content == b"r1/a"


def test_a_bucket_that_is_there_is_described(sdk: Any) -> None:
    assert sdk.get_bucket(NAMESPACE, "reports").data.name == "reports"
    assert sdk.head_bucket(NAMESPACE, "reports").status == httpx.codes.OK


def test_an_object_that_is_not_there_is_not_found(sdk: Any) -> None:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        sdk.get_object(NAMESPACE, "reports", "a")
    assert caught.value.code == "ObjectNotFound"


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        call()
    return caught.value.status, caught.value.code


def model(kind: str, /, **fields: Any) -> Any:
    return getattr(oci.object_storage.models, kind)(**fields)


# Sessions


def as_session(sdk: Any, storage: ObjectStorage, expires_in: timedelta) -> None:
    key, token = new_key(), session_token(expires_in)
    register(storage, key, f"ST${token}")
    sdk.base_client.signer = oci.auth.signers.SecurityTokenSigner(token, key)


def test_a_session_is_known_by_its_token_until_it_expires(storage: ObjectStorage, sdk: Any) -> None:
    as_session(sdk, storage, timedelta(minutes=1))
    assert sdk.get_namespace().data == NAMESPACE
    storage.ahead = timedelta(minutes=2)
    assert refused(sdk.get_namespace) == (401, "NotAuthenticated")


def test_a_token_with_anothers_key_is_refused(storage: ObjectStorage, sdk: Any) -> None:
    as_session(sdk, storage, timedelta(minutes=1))
    sdk.base_client.signer = oci.auth.signers.SecurityTokenSigner(session_token(), new_key())
    assert refused(sdk.get_namespace) == (401, "NotAuthenticated")


def test_a_clock_that_is_off_is_refused_with_the_right_time(storage: ObjectStorage, sdk: Any) -> None:
    storage.ahead = timedelta(minutes=6)
    with pytest.raises(oci.exceptions.ServiceError) as caught:
        sdk.get_namespace()
    told = datetime.strptime(caught.value.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert told - datetime.now(UTC) > timedelta(minutes=5)


# Bodies


def test_a_body_that_is_not_the_one_that_was_signed_is_refused(storage: ObjectStorage, sdk: Any) -> None:
    sdk.create_multipart_upload(NAMESPACE, "reports", model("CreateMultipartUploadDetails", object="a"))
    [request] = [seen for seen in storage.seen if seen.method == "POST"]
    kept = ("date", "host", "authorization", "content-type", "x-content-sha256")
    signed = {name: request.headers[name] for name in kept}
    other = request.body.replace(b'"a"', b'"b"')
    again = httpx.post(f"{storage.endpoint}{request.target}", headers=signed, content=other)
    assert (again.status_code, len(storage.unfinished)) == (401, 1)
    assert httpx.post(f"{storage.endpoint}{request.target}", headers=signed, content=request.body).status_code == 200


# Parts


@pytest.fixture
def upload_id(sdk: Any) -> str:
    details = model("CreateMultipartUploadDetails", object="a", content_type="text/plain")
    return str(sdk.create_multipart_upload(NAMESPACE, "reports", details).data.upload_id)


def commit(sdk: Any, upload_id: str, etags: list[str]) -> Any:
    parts = [
        model("CommitMultipartUploadPartDetails", part_num=number, etag=etag)
        for number, etag in enumerate(etags, start=1)
    ]
    details = model("CommitMultipartUploadDetails", parts_to_commit=parts)
    return sdk.commit_multipart_upload(NAMESPACE, "reports", "a", upload_id, details)


def put_part(sdk: Any, upload_id: str, number: int, content: bytes, **options: Any) -> str:
    answer = sdk.upload_part(NAMESPACE, "reports", "a", upload_id, number, BytesIO(content), **options)
    return str(answer.headers["etag"])


def test_parts_become_an_object_when_they_are_committed(storage: ObjectStorage, sdk: Any, upload_id: str) -> None:
    etags = [put_part(sdk, upload_id, number, content) for number, content in ((1, b"one"), (2, b"two"))]
    assert storage.buckets == {"reports": {}}
    commit(sdk, upload_id, etags)
    stored = storage.buckets["reports"]["a"]
    assert (stored.content, stored.content_type, stored.content_md5[-2:]) == (b"onetwo", "text/plain", "-2")
    head = sdk.head_object(NAMESPACE, "reports", "a").headers
    assert (head["opc-multipart-md5"], "content-md5" in head) == (stored.content_md5, False)


def test_a_part_with_another_checksum_is_refused(sdk: Any, upload_id: str) -> None:
    wrong = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert refused(lambda: put_part(sdk, upload_id, 1, b"one", content_md5=wrong)) == (400, "UnmatchedContentMD5")


def test_a_commit_that_names_another_part_is_refused(sdk: Any, upload_id: str) -> None:
    put_part(sdk, upload_id, 1, b"one")
    assert refused(lambda: commit(sdk, upload_id, ["another"])) == (400, "InvalidUploadPart")


def test_an_upload_that_was_aborted_is_gone(storage: ObjectStorage, sdk: Any, upload_id: str) -> None:
    sdk.abort_multipart_upload(NAMESPACE, "reports", "a", upload_id)
    assert refused(lambda: put_part(sdk, upload_id, 1, b"one")) == (404, "UploadNotFound")
    assert storage.unfinished == {}


def test_unfinished_uploads_and_their_parts_are_listed(sdk: Any, upload_id: str) -> None:
    put_part(sdk, upload_id, 1, b"one")
    [upload] = sdk.list_multipart_uploads(NAMESPACE, "reports").data
    [part] = sdk.list_multipart_upload_parts(NAMESPACE, "reports", "a", upload_id).data
    assert (upload.object, upload.upload_id) == ("a", upload_id)
    assert (part.part_number, part.size) == (1, 3)


# Pre-authenticated requests


def preauthenticate(sdk: Any, expires_in: timedelta) -> Any:
    fields = {"name": "n", "access_type": "ObjectRead", "object_name": "a"}
    details = model("CreatePreauthenticatedRequestDetails", **fields, time_expires=datetime.now(UTC) + expires_in)
    return sdk.create_preauthenticated_request(NAMESPACE, "reports", details).data


def test_a_preauthenticated_request_for_one_object_opens_that_one(storage: ObjectStorage, sdk: Any) -> None:
    for name in ("a", "ab"):
        sdk.put_object(NAMESPACE, "reports", name, name.encode())
    folder = f"{storage.endpoint}{preauthenticate(sdk, timedelta(days=1)).access_uri}"
    assert [httpx.get(folder + name).status_code for name in ("a", "ab")] == [200, 404]


def test_a_preauthenticated_request_that_has_expired_already_is_refused(sdk: Any) -> None:
    assert refused(lambda: preauthenticate(sdk, -timedelta(days=1))) == (400, "InvalidParameter")


def test_a_token_that_nobody_was_given_opens_nothing(storage: ObjectStorage, sdk: Any) -> None:
    sdk.put_object(NAMESPACE, "reports", "a", b"a")
    assert httpx.get(f"{storage.endpoint}/p/guessed/n/{NAMESPACE}/b/reports/o/a").status_code == 404
