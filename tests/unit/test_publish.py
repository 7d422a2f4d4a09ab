"""What arrived is recorded, what did not is named, and publishing again mends the record."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oci
import pytest

from shapebench import warehouse
from shapebench.publish import PublishError, publish
from shapebench.spec import Spec, parse
from shapebench.stores import oci as oci_store
from shapebench.stores.files import StoreError
from tests.level_sample import RUN_ID
from tests.oci_lookalike import ObjectStorage, new_key, register, running, write_config

PAGE = f"shapebench/{RUN_ID}/index.html"
MakeSpec = Callable[..., Spec]


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    """A spec whose run has a report of two files; keyword arguments are fields of `publish`."""
    report = tmp_path / "data" / "reports" / RUN_ID
    report.mkdir(parents=True)
    (report / "index.html").write_text("<h1>40 tokens/s</h1>", encoding="utf-8")
    (report / "ttft.svg").write_text("<svg/>", encoding="utf-8")

    def make(**fields: Any) -> Spec:
        endpoint = {"url": "http://127.0.0.1:1", "model": "m"}
        return parse({"endpoint": endpoint, "data": tmp_path / "data", "publish": fields})

    return make


@pytest.fixture
def storage() -> Iterator[ObjectStorage]:
    with running() as storage:
        yield storage


@pytest.fixture
def bucket_spec(storage: ObjectStorage, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """A spec that publishes to the look-alike, which is not asked a second time where it refuses."""
    monkeypatch.setattr(oci_store, "RETRY", oci.retry.NoneRetryStrategy())
    key = new_key()
    register(storage, key)
    target = {"bucket": "reports", "service_endpoint": storage.endpoint, "config_file": write_config(tmp_path, key)}
    return make_spec(oci=target)


def recorded(spec: Spec) -> dict[str, str | None]:
    rows = warehouse.query(spec.data, "SELECT name, error FROM artifacts WHERE run_id = ?", [RUN_ID]).to_pylist()
    return {row["name"]: row["error"] for row in rows}


WHOLE = {"index.html": None, "ttft.svg": None}


def test_every_file_that_arrived_is_recorded(make_spec: MakeSpec) -> None:
    sent = publish(make_spec(), RUN_ID)
    rows = warehouse.query(make_spec().data, "FROM artifacts ORDER BY name").to_pylist()
    assert [(row["name"], row["url"], row["size_bytes"], row["md5"]) for row in rows] == [
        (artifact.name, artifact.url, artifact.size_bytes, artifact.md5) for artifact in sent
    ]
    assert recorded(make_spec()) == WHOLE


def in_the_way(spec: Spec) -> Path:
    """A folder where the page is to go."""
    assert spec.publish.folder
    obstacle = spec.publish.folder / RUN_ID / "index.html"
    obstacle.mkdir(parents=True)
    return obstacle


def test_a_file_that_failed_is_recorded_with_the_reason(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "target")
    in_the_way(spec)
    with pytest.raises(PublishError):
        publish(spec, RUN_ID)
    assert recorded(spec) == {"index.html": "Is a directory", "ttft.svg": None}


def test_the_error_names_the_files_the_reasons_and_the_command(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "target")
    in_the_way(spec)
    with pytest.raises(PublishError) as caught:
        publish(spec, RUN_ID)
    assert caught.value.problem == "1 of 2 files did not arrive:\n  index.html: Is a directory"
    assert f"`shapebench publish {RUN_ID}`" in caught.value.remedy


def test_publishing_again_mends_the_record(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "target")
    obstacle = in_the_way(spec)
    with pytest.raises(PublishError):
        publish(spec, RUN_ID)
    obstacle.rmdir()
    publish(spec, RUN_ID)
    assert recorded(spec) == WHOLE


def test_a_bucket_that_refuses_a_file_is_recorded_and_mended(storage: ObjectStorage, bucket_spec: Spec) -> None:
    storage.refuse(PAGE, 400, "InvalidObjectName")
    with pytest.raises(PublishError, match=r"index\.html: 400 InvalidObjectName") as caught:
        publish(bucket_spec, RUN_ID)
    assert f"`shapebench publish {RUN_ID}`" in caught.value.remedy
    assert "400 InvalidObjectName" in (recorded(bucket_spec)["index.html"] or "")
    assert recorded(bucket_spec)["ttft.svg"] is None
    publish(bucket_spec, RUN_ID)
    assert recorded(bucket_spec) == WHOLE


def test_what_concerns_every_file_half_way_is_mended_by_publishing_again(
    storage: ObjectStorage, bucket_spec: Spec
) -> None:
    storage.refuse(f"shapebench/{RUN_ID}/ttft.svg", 403, "NotAuthorized")
    with pytest.raises(StoreError):
        publish(bucket_spec, RUN_ID)
    assert all("403 NotAuthorized" in (error or "") for error in recorded(bucket_spec).values())
    publish(bucket_spec, RUN_ID)
    assert recorded(bucket_spec) == WHOLE
    assert len(storage.buckets["reports"]) == 2


def test_publishing_one_run_leaves_the_record_of_another(make_spec: MakeSpec) -> None:
    spec = make_spec()
    other = spec.data / "reports" / "other"
    other.mkdir()
    (other / "index.html").write_text("<h1>other</h1>", encoding="utf-8")
    publish(spec, "other")
    publish(spec, RUN_ID)
    assert warehouse.query(spec.data, "SELECT DISTINCT run_id FROM artifacts ORDER BY ALL").to_pylist() == [
        {"run_id": RUN_ID},
        {"run_id": "other"},
    ]


def test_a_run_without_a_report_is_told_to_draw_one(make_spec: MakeSpec) -> None:
    with pytest.raises(StoreError, match="There is no report"):
        publish(make_spec(), "nope")
