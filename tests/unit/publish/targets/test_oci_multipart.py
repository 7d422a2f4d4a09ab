"""Large files go in parts, and an upload that came to no end is gone on with, or removed."""

import gc
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path

import pytest

from shapebench.publish.targets.oci import upload
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.runs.records import Artifact
from shapebench.spec.model import Spec
from tests.oci_lookalike import HangUpError, ObjectStorage, RefusedError
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]

NAME = "shapebench/r1/samples.parquet"  # 256,000 bytes
PART_BYTES = 60_000
PARTS = [1, 2, 3, 4, 5]
UPLOADED = rf"/n/[^/]+/b/[^/]+/u/{NAME}"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(upload, "PART_BYTES", PART_BYTES)
    yield
    gc.collect()  # while the warnings that a test expects are ignored still


# UploadManager leaves its pool of threads to the garbage collector where a part fails.
pool_is_left = pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")


def samples_of(artifacts: list[Artifact]) -> Artifact:
    return next(artifact for artifact in artifacts if artifact.name == "samples.parquet")


def lose_part(storage: ObjectStorage, what: Exception, times: int = 3) -> None:
    """Let a part fail for as often as it is tried: which one is up to the threads."""
    storage.inject("PUT", UPLOADED, what, times)


def test_a_large_file_goes_in_parts_and_a_small_one_does_not(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    assert [artifact.error for artifact in sent(bucket_spec(), report)] == [None] * 3
    assert sorted(storage.parts()) == PARTS
    assert storage.uploads() == ["shapebench/r1/index.html", "shapebench/r1/plots/query.svg"]
    assert storage.buckets["reports"][NAME].content == (report / "samples.parquet").read_bytes()
    assert storage.unfinished == {}


def test_a_file_of_just_one_part_goes_whole(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    (report / "samples.parquet").write_bytes(bytes(PART_BYTES))
    sent(bucket_spec(), report)
    assert (storage.parts(), NAME in storage.uploads()) == ([], True)


def test_a_file_of_more_parts_than_oci_takes_has_larger_ones(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MAX_PARTS", 3)
    assert samples_of(sent(bucket_spec(), report)).error is None
    assert sorted(storage.parts()) == [1, 2, 3]


def test_a_part_carries_the_checksum_of_its_content(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    content = (report / "samples.parquet").read_bytes()
    for request in (r for r in storage.seen if "uploadPartNum" in r.query):
        begin = PART_BYTES * (int(request.query["uploadPartNum"]) - 1)
        digest = md5(content[begin : begin + PART_BYTES], usedforsecurity=False).digest()
        assert request.headers["content-md5"] == b64encode(digest).decode()


def test_a_large_object_is_described_as_a_small_one_is(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report, model="Möglich")
    stored = storage.buckets["reports"][NAME]
    assert stored.content_type == "application/vnd.apache.parquet"
    assert stored.headers == {
        "cache-control": "private, max-age=86400",
        "content-disposition": 'attachment; filename="r1-samples.parquet"',
        "opc-meta-model": "M%C3%B6glich",
    }


def test_a_large_file_that_is_there_already_is_not_sent_again(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    storage.seen = []
    assert not samples_of(sent(bucket_spec(), report)).sent
    assert storage.parts() == []


def test_a_large_file_that_went_whole_once_is_not_sent_again(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 10 * PART_BYTES)
    sent(bucket_spec(), report)
    monkeypatch.setattr(upload, "PART_BYTES", PART_BYTES)
    assert not samples_of(sent(bucket_spec(), report)).sent
    assert storage.parts() == []


def test_a_large_object_that_is_damaged_is_noticed(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.damage(NAME)
    assert "differs" in (samples_of(sent(bucket_spec(), report)).error or "")


def test_a_large_object_with_another_checksum_is_noticed(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if one part had been damaged before it was committed."""
    monkeypatch.setattr("tests.oci_lookalike._digest", lambda content: md5(content + b"!").digest())  # noqa: S324
    monkeypatch.setattr("tests.oci_lookalike._checked", lambda request: request.body)
    assert "its checksum is" in (samples_of(sent(bucket_spec(), report)).error or "")


def test_a_part_that_meets_a_busy_server_is_sent_again_whole(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    lose_part(storage, RefusedError(503, "ServiceUnavailable"), times=1)
    assert samples_of(sent(bucket_spec(), report)).error is None
    assert len(storage.parts()) == 6
    assert storage.buckets["reports"][NAME].content == (report / "samples.parquet").read_bytes()


def test_a_part_whose_connection_is_lost_is_sent_again_whole(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    lose_part(storage, HangUpError(), times=1)
    assert samples_of(sent(bucket_spec(), report)).error is None
    assert storage.buckets["reports"][NAME].content == (report / "samples.parquet").read_bytes()


@pool_is_left
def test_when_a_part_is_given_up_the_rest_is_not_tried(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.inject("PUT", UPLOADED, RefusedError(503, "ServiceUnavailable"), times=1000)
    with pytest.raises(StoreError, match="503 ServiceUnavailable"):
        sent(bucket_spec(), report)
    assert len(storage.parts()) <= 3 * 3  # three threads, three attempts each


@pool_is_left
def test_what_arrived_of_a_large_file_is_kept_and_said_to_be(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.inject("POST", UPLOADED, RefusedError(503, "ServiceUnavailable"), times=3)  # all parts are there
    with pytest.raises(StoreError, match=r"the parts of samples\.parquet that arrived are kept for the next try"):
        sent(bucket_spec(), report)
    [unfinished] = storage.unfinished.values()
    assert (unfinished.object_name, sorted(unfinished.parts)) == (NAME, PARTS)


def interrupted(storage: ObjectStorage, spec: Spec, report: Path, missing: int = 2) -> str:
    """Leave an upload without one of its parts; gives its id."""
    storage.inject("POST", UPLOADED, RefusedError(503, "ServiceUnavailable"), times=3)
    with pytest.raises(StoreError):
        sent(spec, report)
    [(upload_id, unfinished)] = storage.unfinished.items()
    del unfinished.parts[missing]
    storage.seen = []
    return upload_id


def test_the_next_publishing_sends_only_the_part_that_lacks(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    interrupted(storage, bucket_spec(), report)
    artifact = samples_of(sent(bucket_spec(), report))
    assert (artifact.error, artifact.sent, storage.parts(), storage.unfinished) == (None, True, [2], {})
    assert storage.buckets["reports"][NAME].content == (report / "samples.parquet").read_bytes()


def test_an_upload_is_found_among_many_others(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    interrupted(storage, bucket_spec(), report)
    storage.page_size = 2
    [mine] = storage.unfinished.values()
    others = {f"u{n}": type(mine)(f"u{n}", "reports", f"other-{n}", {}) for n in range(5)}
    storage.unfinished = {**others, **storage.unfinished}
    sent(bucket_spec(), report)
    assert storage.parts() == [2]
    assert set(storage.unfinished) == set(others)


def test_an_upload_of_what_the_file_was_before_is_removed(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    interrupted(storage, bucket_spec(), report)
    changed = bytes(reversed((report / "samples.parquet").read_bytes()))
    (report / "samples.parquet").write_bytes(changed)
    assert samples_of(sent(bucket_spec(), report)).error is None
    assert (sorted(storage.parts()), storage.unfinished) == (PARTS, {})
    assert storage.buckets["reports"][NAME].content == changed


def test_of_several_unfinished_uploads_one_is_gone_on_with_and_the_others_are_removed(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    interrupted(storage, bucket_spec(), report)
    [mine] = storage.unfinished.values()
    storage.unfinished["stale"] = type(mine)("stale", "reports", NAME, {}, {1: ("etag", b"something else")})
    sent(bucket_spec(), report)
    assert (storage.parts(), storage.unfinished) == ([2], {})


@pool_is_left
def test_parts_of_an_object_that_oci_wants_none_of_are_removed(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.inject("POST", UPLOADED, RefusedError(409, "ObjectRetained"))
    artifact = samples_of(sent(bucket_spec(), report))
    assert "409 ObjectRetained" in (artifact.error or "")
    assert "retention rule" in (artifact.error or "")
    assert storage.unfinished == {}


@pool_is_left
def test_a_large_file_that_failed_does_not_stop_the_next(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    (report / "zzz.parquet").write_bytes(bytes(2 * PART_BYTES))
    lose_part(storage, RefusedError(400, "UnmatchedContentMD5"), times=1)
    artifacts = {artifact.name: artifact.error for artifact in sent(bucket_spec(), report)}
    assert "damaged in transit" in (artifacts["samples.parquet"] or "")
    assert artifacts["zzz.parquet"] is None
