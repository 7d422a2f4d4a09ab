"""Reports in a bucket: what arrives, how it is described, and what need not be sent again."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import oci
import pytest

from shapebench.publish.targets.oci import client, connection, send
from shapebench.publish.targets.upload_batch import UploadBatch, outgoing_file, report_files
from shapebench.spec.model import Spec
from tests.oci_lookalike import NAMESPACE, ObjectStorage
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]

PAGE = "shapebench/r1/index.html"


def test_every_file_arrives_under_prefix_and_run_id(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    artifacts = sent(bucket_spec(), report)
    assert {name: stored.content for name, stored in storage.buckets["reports"].items()} == {
        f"shapebench/r1/{artifact.name}": (report / artifact.name).read_bytes() for artifact in artifacts
    }
    assert [(artifact.error, artifact.sent) for artifact in artifacts] == [(None, True)] * 3


def test_an_empty_prefix_puts_the_run_id_first(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(prefix=""), report)
    assert "r1/index.html" in storage.buckets["reports"]


def test_an_upload_carries_the_checksum_of_its_content(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    uploads = {request.path.rpartition("/")[2]: request for request in storage.seen if request.method == "PUT"}
    for name, request in uploads.items():
        expected = b64encode(md5(next(report.rglob(name)).read_bytes(), usedforsecurity=False).digest()).decode()
        assert request.headers["content-md5"] == expected


def test_an_artifact_has_the_address_of_its_object(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    page = sent(bucket_spec(), report, "run 1")[0]
    assert page.url == f"{storage.endpoint}/n/{NAMESPACE}/b/reports/o/shapebench/run%201/index.html"


def test_an_empty_file_arrives_empty(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    (report / "index.html").write_bytes(b"")
    assert sent(bucket_spec(), report)[0].error is None
    assert storage.buckets["reports"][PAGE].content == b""


def test_the_namespace_is_looked_up_only_when_it_is_not_given(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(namespace=NAMESPACE), report)
    assert not [request for request in storage.seen if request.path in ("/n", "/n/")]
    sent(bucket_spec(), report)
    assert [request for request in storage.seen if request.path in ("/n", "/n/")]


def test_without_a_service_endpoint_the_region_says_where(config_file: Path, make_spec: MakeSpec) -> None:
    target = make_spec(oci={"bucket": "b", "config_file": config_file, "region": "uk-london-1"}).publish.oci
    assert target is not None
    assert "uk-london-1" in client(target).base_client.get_endpoint()


def test_what_is_tried_again_is_up_to_the_sdks_own_strategy(config_file: Path, make_spec: MakeSpec) -> None:
    target = make_spec(oci={"bucket": "b", "config_file": config_file}).publish.oci
    assert target is not None
    assert client(target).retry_strategy is connection.RETRY
    assert isinstance(connection.RETRY, type(oci.retry.DEFAULT_RETRY_STRATEGY))


# What an object says of itself


def described(storage: ObjectStorage, header: str) -> dict[str, str | None]:
    return {name.rpartition("/")[2]: s.headers.get(header) for name, s in storage.buckets["reports"].items()}


def test_objects_carry_their_content_types(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(), report)
    assert {name.rpartition("/")[2]: stored.content_type for name, stored in storage.buckets["reports"].items()} == {
        "index.html": "text/html",
        "query.svg": "image/svg+xml",
        "samples.parquet": "application/vnd.apache.parquet",
    }


def test_what_is_drawn_anew_is_asked_about_each_time_and_samples_are_kept_for_a_day(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    assert described(storage, "cache-control") == {
        "index.html": "private, no-cache",
        "query.svg": "private, no-cache",
        "samples.parquet": "private, max-age=86400",
    }


def test_a_browser_shows_pages_and_pictures_and_saves_samples_by_a_name_of_their_run(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    assert described(storage, "content-disposition") == {
        "index.html": "inline",
        "query.svg": "inline",
        "samples.parquet": 'attachment; filename="r1-samples.parquet"',
    }


def test_labels_become_metadata(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(), report, model="meta-llama/Llama-3.2-3B-Instruct", shape="VM.GPU.A10.1")
    kept = storage.buckets["reports"][PAGE].headers
    assert kept["opc-meta-model"] == "meta-llama/Llama-3.2-3B-Instruct"
    assert kept["opc-meta-shape"] == "VM.GPU.A10.1"


HOSTILE = {
    "a second header": "m\r\nopc-meta-verdict: valid",
    "letters": "Möglich 模型",
    "half a letter": "m\ud800",
    "spaces at its ends": "  m  ",
    "quotes": "'\"<script>",
    "far too much": "模" * 100_000,
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_of_whatever_letters_does_not_break_an_upload(
    name: str, storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    assert sent(bucket_spec(), report, model=name, verdict="suspect")[0].error is None
    kept = {k: v for k, v in storage.buckets["reports"][PAGE].headers.items() if k.startswith("opc-meta-")}
    assert kept["opc-meta-verdict"] == "suspect"
    assert set(kept) == {"opc-meta-model", "opc-meta-verdict"}
    assert sum(len(k) + len(v) for k, v in kept.items()) < 4000
    assert "".join(kept.values()).isascii()


# What is there already


def test_what_is_there_already_is_not_sent_again(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(), report)
    before, storage.seen = dict(storage.buckets["reports"]), []
    assert [artifact.sent for artifact in sent(bucket_spec(), report)] == [False, False, False]
    assert storage.uploads() == []
    assert storage.buckets["reports"] == before


def test_finding_out_what_is_there_takes_one_request_for_all_files(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    storage.seen = []
    sent(bucket_spec(namespace=NAMESPACE), report)
    assert [(request.method, request.path) for request in storage.seen] == [("GET", f"/n/{NAMESPACE}/b/reports/o")]


def test_what_has_changed_is_sent_again(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(), report)
    changed = (report / "index.html").read_bytes().replace(b"40", b"41")  # of the same length
    (report / "index.html").write_bytes(changed)
    assert [artifact.sent for artifact in sent(bucket_spec(), report)] == [True, False, False]
    assert storage.buckets["reports"][PAGE].content == changed


def test_a_long_list_of_what_is_there_comes_in_pages(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    sent(bucket_spec(), report)
    storage.page_size = 1
    assert not any(artifact.sent for artifact in sent(bucket_spec(), report))


def test_a_single_file_beside_the_runs_does_not_list_them(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    page = outgoing_file(report / "index.html", "results.duckdb")
    [artifact] = send(bucket_spec(), UploadBatch("r1", "", (page,)))
    [listing] = [request for request in storage.seen if request.path.endswith("/o")]
    assert (artifact.url.rpartition("/o/")[2], listing.query["prefix"]) == ("shapebench/results.duckdb",) * 2


def test_an_object_of_another_run_is_not_taken_for_this_ones(bucket_spec: MakeSpec, report: Path) -> None:
    sent(bucket_spec(), report, "r1")
    assert all(artifact.sent for artifact in sent(bucket_spec(), report, "r"))


# What goes wrong with one file


def test_a_damaged_object_is_noticed(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.damage(PAGE)
    page, *others = sent(bucket_spec(), report)
    assert "differs" in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


def test_a_damaged_object_is_replaced_the_next_time(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.damage(PAGE)
    sent(bucket_spec(), report)
    storage.damaged.clear()
    assert [artifact.sent for artifact in sent(bucket_spec(), report)] == [True, False, False]
    assert storage.buckets["reports"][PAGE].content == (report / "index.html").read_bytes()


def test_a_file_that_is_refused_does_not_stop_the_others(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, 400, "InvalidObjectName")
    page, *others = sent(bucket_spec(), report)
    assert "400 InvalidObjectName" in (page.error or "")
    assert "lookalike-" in (page.error or "")  # the request id that Oracle's support asks for
    assert "publish.oci.prefix" in (page.error or "")
    assert [artifact.error for artifact in others] == [None, None]


def test_a_file_that_failed_is_sent_the_next_time(storage: ObjectStorage, bucket_spec: MakeSpec, report: Path) -> None:
    storage.refuse(PAGE, 400, "InvalidObjectName")
    sent(bucket_spec(), report)
    assert [(a.error, a.sent) for a in sent(bucket_spec(), report)] == [(None, True), (None, False), (None, False)]


def test_a_file_that_vanishes_does_not_stop_the_others(bucket_spec: MakeSpec, report: Path) -> None:
    files = report_files(report)
    (report / "index.html").unlink()
    page, *others = send(bucket_spec(), UploadBatch("r1", "r1", tuple(files)))
    assert page.error == "index.html: No such file or directory"
    assert [artifact.error for artifact in others] == [None, None]


def test_a_busy_server_is_asked_again_with_the_whole_file(
    storage: ObjectStorage, bucket_spec: MakeSpec, report: Path
) -> None:
    storage.refuse(PAGE, 503, "ServiceUnavailable")
    assert sent(bucket_spec(), report)[0].error is None
    assert storage.uploads().count(PAGE) == 2
    assert storage.buckets["reports"][PAGE].content == (report / "index.html").read_bytes()


def test_nothing_is_printed_or_logged(
    bucket_spec: MakeSpec, report: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sent(bucket_spec(), report)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


def test_what_a_profile_says_of_logging_is_not_heeded(
    config_file: Path, bucket_spec: MakeSpec, report: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A log of requests and answers would hold the URLs of links."""
    config_file.write_text(f"{config_file.read_text()}log_requests=True\n", encoding="utf-8")
    assert sent(bucket_spec(), report)[0].error is None
    assert capfd.readouterr() == ("", "")
