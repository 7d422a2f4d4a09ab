"""What arrived is recorded, what did not is named, and publishing again mends the record."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import oci
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shapebench.publish.publish import PublishError, days_to_share, extend_include, publish, share, shared_until
from shapebench.publish.targets.oci import connection
from shapebench.publish.targets.oci.upload import Upload
from shapebench.publish.targets.upload_batch import StoreError
from shapebench.results import database
from shapebench.spec.model import Spec, SpecError, parse
from tests.level_sample import RUN_ID, run_tables
from tests.oci_lookalike import ObjectStorage, new_key, register, running, write_config
from tests.stored_run import store_run

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


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return new_key()


@pytest.fixture
def bucket_spec(
    storage: ObjectStorage, make_spec: MakeSpec, key: RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Spec:
    """A spec that publishes to the look-alike, which is not asked a second time where it refuses."""
    monkeypatch.setattr(connection, "RETRY", oci.retry.NoneRetryStrategy())
    register(storage, key)
    target = {"bucket": "reports", "service_endpoint": storage.endpoint, "config_file": write_config(tmp_path, key)}
    return make_spec(oci=target)


def recorded(spec: Spec) -> dict[str, str | None]:
    rows = database.query(spec.data, "SELECT name, error FROM artifacts WHERE run_id = ?", [RUN_ID]).to_pylist()
    return {row["name"]: row["error"] for row in rows}


WHOLE = {"index.html": None, "ttft.svg": None}


def test_every_file_that_arrived_is_recorded(make_spec: MakeSpec) -> None:
    sent = publish(make_spec(), RUN_ID)
    rows = database.query(make_spec().data, "FROM artifacts ORDER BY name").to_pylist()
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
    assert caught.value.problem == "1 of 2 files could not be published:\n  index.html: Is a directory"
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
    assert recorded(bucket_spec)["index.html"] is None
    assert "403 NotAuthorized" in (recorded(bucket_spec)["ttft.svg"] or "")
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
    assert database.query(spec.data, "SELECT DISTINCT run_id FROM artifacts ORDER BY ALL").to_pylist() == [
        {"run_id": RUN_ID},
        {"run_id": "other"},
    ]


def test_a_run_without_a_report_is_told_to_draw_one(make_spec: MakeSpec) -> None:
    with pytest.raises(StoreError, match="There is no report"):
        publish(make_spec(), "nope")


# What is there already


def all_recorded(spec: Spec) -> list[dict[str, Any]]:
    return database.query(spec.data, "FROM artifacts ORDER BY name").to_pylist()


def test_publishing_the_same_again_sends_nothing_and_leaves_the_record(
    storage: ObjectStorage, bucket_spec: Spec
) -> None:
    publish(bucket_spec, RUN_ID)
    before, storage.seen = all_recorded(bucket_spec), []
    assert [artifact.sent for artifact in publish(bucket_spec, RUN_ID)] == [False, False]
    assert storage.uploads() == []
    assert all_recorded(bucket_spec) == before


def test_publishing_the_same_again_leaves_the_results_file_as_it_is(make_spec: MakeSpec) -> None:
    publish(make_spec(), RUN_ID)
    before = (make_spec().data / database.FILE_NAME).read_bytes()
    publish(make_spec(), RUN_ID)
    assert (make_spec().data / database.FILE_NAME).read_bytes() == before


def test_the_record_says_when_a_file_was_sent_and_not_when_it_was_found_to_be_there(make_spec: MakeSpec) -> None:
    publish(make_spec(), RUN_ID)
    [page, picture] = all_recorded(make_spec())
    (make_spec().data / "reports" / RUN_ID / "index.html").write_text("<h1>newer</h1>", encoding="utf-8")
    publish(make_spec(), RUN_ID)
    [new_page, same_picture] = all_recorded(make_spec())
    assert new_page["published_at"] > page["published_at"]
    assert same_picture == picture


def test_a_copy_of_which_nothing_is_on_record_is_recorded(make_spec: MakeSpec) -> None:
    publish(make_spec(), RUN_ID)
    (make_spec().data / database.FILE_NAME).unlink()
    assert [artifact.sent for artifact in publish(make_spec(), RUN_ID)] == [False, False]
    assert recorded(make_spec()) == WHOLE


# What goes up beside the report


@pytest.fixture
def whole_run(make_spec: MakeSpec) -> Path:
    """The data folder, with a run that is stored and has samples of two levels."""
    data = store_run(make_spec().data)
    (data / "runs" / RUN_ID / "run.json").touch()
    return data


SAMPLES = {f"samples/{of}-000{level}.parquet" for of in ("level", "server") for level in (1, 2)}


def test_samples_go_up_when_asked(whole_run: Path, storage: ObjectStorage, bucket_spec: Spec) -> None:
    publish(extend_include(bucket_spec, ["samples"]), RUN_ID)
    folder = f"shapebench/{RUN_ID}/"
    assert {name.removeprefix(folder) for name in storage.buckets["reports"]} == {*WHOLE, *SAMPLES}
    assert set(recorded(bucket_spec)) == {*WHOLE, *SAMPLES}
    assert (whole_run / "runs" / RUN_ID / "run.json").exists()  # which is no sample, and stays


def test_samples_stay_on_record_when_the_report_alone_is_published_again(whole_run: Path, make_spec: MakeSpec) -> None:
    assert whole_run.exists()
    publish(make_spec(include=["samples"]), RUN_ID)
    publish(make_spec(), RUN_ID)
    assert set(recorded(make_spec())) == {*WHOLE, *SAMPLES}


def test_a_file_that_never_arrived_is_forgotten_when_the_report_no_longer_has_it(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(folder=tmp_path / "target")
    in_the_way(spec)
    with pytest.raises(PublishError):
        publish(spec, RUN_ID)
    (spec.data / "reports" / RUN_ID / "index.html").unlink()
    publish(spec, RUN_ID)
    assert recorded(spec) == {"ttft.svg": None}


def test_neither_samples_nor_the_database_go_up_unless_asked(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec
) -> None:
    assert (whole_run / database.FILE_NAME).exists()
    publish(bucket_spec, RUN_ID)
    assert len(storage.buckets["reports"]) == 2


DATABASE = f"shapebench/{database.FILE_NAME}"


def test_the_database_goes_up_as_a_file_that_opens_and_knows_of_the_report(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec, tmp_path: Path
) -> None:
    *_, copy = publish(extend_include(bucket_spec, ["database"]), RUN_ID)
    assert (copy.url.rpartition("/o/")[2], copy.error, copy.sent) == (DATABASE, None, True)
    (tmp_path / "copy.duckdb").write_bytes(storage.buckets["reports"][DATABASE].content)
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as copy:
        assert copy.sql("SELECT run_id FROM runs").fetchall() == [(RUN_ID,)]
        assert copy.sql("SELECT count(*) FROM artifacts WHERE error IS NULL").fetchall() == [(2,)]
    assert whole_run.exists()


def test_the_database_goes_to_the_folder_beside_the_runs(whole_run: Path, make_spec: MakeSpec, tmp_path: Path) -> None:
    publish(make_spec(folder=tmp_path / "web", include=["database", "samples"]), RUN_ID)
    assert {path.relative_to(tmp_path / "web").as_posix() for path in (tmp_path / "web").rglob("*.*")} == {
        *(f"{RUN_ID}/{name}" for name in (*WHOLE, *SAMPLES)),
        database.FILE_NAME,
    }
    assert (tmp_path / "web" / database.FILE_NAME).read_bytes() == (whole_run / database.FILE_NAME).read_bytes()


def test_a_database_without_anything_new_is_not_sent_again(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec
) -> None:
    assert whole_run.exists()
    with_all = extend_include(bucket_spec, ["database", "samples"])
    publish(with_all, RUN_ID)
    storage.seen = []
    assert [artifact.name for artifact in publish(with_all, RUN_ID) if artifact.sent] == []
    assert storage.uploads() == []


def test_a_copy_of_the_database_is_what_was_there_when_it_was_made(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run is stored between the copy and its upload."""
    put = Upload._put

    def put_after_a_load(upload: Upload) -> None:
        if upload.name == DATABASE:
            database.load(whole_run, "other", run_tables(tmp_path / "other", "other"))
        put(upload)

    (tmp_path / "other").mkdir()
    monkeypatch.setattr(Upload, "_put", put_after_a_load)
    assert publish(extend_include(bucket_spec, ["database"]), RUN_ID)[-1].error is None
    (tmp_path / "copy.duckdb").write_bytes(storage.buckets["reports"][DATABASE].content)
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as copy:
        assert copy.sql("SELECT run_id FROM runs").fetchall() == [(RUN_ID,)]


def test_no_copy_of_the_database_is_left_in_the_data_folder(whole_run: Path, bucket_spec: Spec) -> None:
    publish(extend_include(bucket_spec, ["database"]), RUN_ID)
    assert {path.name for path in whole_run.glob("*.duckdb")} == {database.FILE_NAME}
    assert list(whole_run.glob(".snapshot*")) == []


def test_a_database_that_failed_is_on_record_until_it_arrives(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec
) -> None:
    assert whole_run.exists()
    storage.refuse(DATABASE, 409, "ObjectRetained")
    with pytest.raises(PublishError, match=r"1 of 1 files could not be published:\n  results\.duckdb: 409"):
        publish(extend_include(bucket_spec, ["database"]), RUN_ID)
    assert set(recorded(bucket_spec)) == {*WHOLE, database.FILE_NAME}
    publish(extend_include(bucket_spec, ["database"]), RUN_ID)
    assert recorded(bucket_spec) == WHOLE


def test_what_a_spec_includes_is_not_lost_when_more_is_asked_for(make_spec: MakeSpec) -> None:
    more = extend_include(make_spec(include=["samples"]), ["database", "samples"])
    assert more.publish.include == ("samples", "database")


def test_objects_are_labelled_with_run_model_shape_and_verdict(
    whole_run: Path, storage: ObjectStorage, bucket_spec: Spec
) -> None:
    assert whole_run.exists()
    publish(bucket_spec, RUN_ID)
    kept = storage.buckets["reports"][PAGE].headers
    assert {name: value for name, value in kept.items() if name.startswith("opc-meta-")} == {
        "opc-meta-run-id": RUN_ID,
        "opc-meta-model": "m",
        "opc-meta-shape": "unknown%20shape",
        "opc-meta-verdict": "valid",
    }


# Links


def links(spec: Spec) -> list[dict[str, Any]]:
    return database.query(spec.data, "FROM shared_links").to_pylist()


def test_a_link_is_on_record_but_for_its_url(storage: ObjectStorage, bucket_spec: Spec) -> None:
    publish(bucket_spec, RUN_ID)
    link = share(bucket_spec, RUN_ID, 7)
    [row] = links(bucket_spec)
    assert (row["run_id"], row["link_id"], row["place"]) == (RUN_ID, link.link_id, link.place)
    assert row["expires_at"].replace(tzinfo=UTC) == link.expires_at
    [token] = storage.preauthenticated
    assert token in link.url
    assert token not in str(row)
    assert token.encode() not in (bucket_spec.data / database.FILE_NAME).read_bytes()


def test_an_earlier_link_stays_on_record(storage: ObjectStorage, bucket_spec: Spec) -> None:
    publish(bucket_spec, RUN_ID)
    both = {share(bucket_spec, RUN_ID, days).link_id for days in (7, 14)}
    assert len(storage.preauthenticated) == 2
    assert {row["link_id"] for row in links(bucket_spec)} == both


def test_a_report_is_shared_until_its_last_link_expires(bucket_spec: Spec) -> None:
    publish(bucket_spec, RUN_ID)
    assert shared_until(bucket_spec, RUN_ID) is None
    ends = [share(bucket_spec, RUN_ID, days).expires_at for days in (14, 7)]
    assert shared_until(bucket_spec, RUN_ID) == max(ends)


def test_a_report_whose_link_has_expired_is_not_shared(bucket_spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(bucket_spec, RUN_ID)
    share(bucket_spec, RUN_ID, 7)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=8)

    monkeypatch.setattr("shapebench.publish.publish.datetime", Later)
    assert shared_until(bucket_spec, RUN_ID) is None


def with_share_for(spec: Spec, days: int) -> Spec:
    content = spec.model_dump(mode="json")
    content["publish"]["oci"]["share_for_days"] = days
    return parse(content)


def test_a_link_that_the_spec_wants_is_made_where_there_is_none(bucket_spec: Spec) -> None:
    publish(bucket_spec, RUN_ID)
    spec = with_share_for(bucket_spec, 30)
    assert days_to_share(bucket_spec, RUN_ID, None) is None
    assert days_to_share(spec, RUN_ID, None) == 30
    share(spec, RUN_ID, 30)
    assert days_to_share(spec, RUN_ID, None) is None


def test_a_link_that_is_asked_for_is_made_whether_there_is_one_or_not(bucket_spec: Spec) -> None:
    publish(bucket_spec, RUN_ID)
    share(bucket_spec, RUN_ID, 30)
    assert days_to_share(with_share_for(bucket_spec, 30), RUN_ID, 2) == 2


def test_a_link_to_a_folder_is_refused_before_anything_is_sent(make_spec: MakeSpec) -> None:
    with pytest.raises(StoreError, match="links can only share a report in OCI Object Storage"):
        days_to_share(make_spec(), RUN_ID, 7)


@pytest.mark.parametrize("days", [0, 366])
def test_a_link_lives_for_a_day_to_a_year(days: int, bucket_spec: Spec) -> None:
    with pytest.raises(SpecError, match=r"publish\.oci\.share_for_days"):
        with_share_for(bucket_spec, days)
