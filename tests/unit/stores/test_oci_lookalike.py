"""The look-alike is only worth as much as what it refuses."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import oci
import pytest

from shapebench.spec import Spec
from shapebench.stores.oci import client
from tests.oci_lookalike import NAMESPACE, ObjectStorage


@pytest.fixture
def sdk(bucket_spec: Callable[..., Spec]) -> Iterator[Any]:
    target = bucket_spec().publish.oci
    assert target is not None
    sdk = client(target)
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
