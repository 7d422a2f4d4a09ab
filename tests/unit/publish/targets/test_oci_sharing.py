"""Links to reports: they open what is the run's, for as long as they should, and nothing else."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shapebench.publish.targets import share
from shapebench.publish.targets.oci import client, send
from shapebench.publish.targets.upload_batch import StoreError, UploadBatch, outgoing_file
from shapebench.runs.records import Link
from shapebench.spec.model import Spec
from tests.oci_lookalike import NAMESPACE, PREAUTHENTICATE, ROUTES, Answer, ObjectStorage, RefusedError
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]

DAYS = 7


@pytest.fixture
def link(bucket_spec: MakeSpec, report: Path) -> Link:
    """A link to a report that was published beside another run and the database of both."""
    for run_id in ("r1", "r10"):
        sent(bucket_spec(), report, run_id)
    database = outgoing_file(report / "samples.parquet", "results.duckdb")
    list(send(bucket_spec(), UploadBatch("r1", "", (database,))))
    return share(bucket_spec(), "r1", DAYS)


def beside(link: Link, name: str) -> str:
    """The address that the page's own link to a file beside it has."""
    return str(httpx.URL(link.url).join(name))


def test_a_link_opens_the_page_without_a_signature(link: Link, report: Path) -> None:
    page = httpx.get(link.url)
    assert (page.status_code, page.content) == (200, (report / "index.html").read_bytes())
    assert page.headers["content-type"] == "text/html"


def test_what_the_page_leads_to_opens_as_well(link: Link, report: Path) -> None:
    picture = httpx.get(beside(link, "plots/query.svg"))
    assert (picture.status_code, picture.content) == (200, (report / "plots" / "query.svg").read_bytes())


@pytest.mark.parametrize("name", ["../r10/index.html", "../results.duckdb", "../../other"])
def test_what_is_not_the_runs_stays_shut(link: Link, name: str) -> None:
    assert httpx.get(beside(link, name)).status_code == 404


def test_what_is_there_is_not_listed(link: Link, storage: ObjectStorage) -> None:
    assert httpx.get(link.url.partition("/o/")[0] + "/o/").status_code == 404
    [made] = [request.json for request in storage.seen if request.method == "POST"]
    assert made["bucketListingAction"] == "Deny"


def test_nothing_can_be_written_with_a_link(link: Link, storage: ObjectStorage) -> None:
    before = dict(storage.buckets["reports"])
    assert httpx.put(link.url, content=b"mine").status_code == 405
    assert storage.buckets["reports"] == before


def test_a_link_opens_until_it_expires(link: Link, storage: ObjectStorage) -> None:
    storage.ahead = timedelta(days=DAYS, minutes=-1)
    assert httpx.get(link.url).status_code == 200
    storage.ahead = timedelta(days=DAYS, minutes=1)
    assert httpx.get(link.url).status_code == 404


def test_a_link_says_until_when_it_opens(link: Link) -> None:
    assert abs(link.expires_at - datetime.now(UTC) - timedelta(days=DAYS)) < timedelta(minutes=5)


def test_a_link_can_be_withdrawn_by_its_id(link: Link, bucket_spec: MakeSpec) -> None:
    target = bucket_spec().publish.oci
    assert target is not None
    client(target).delete_preauthenticated_request(NAMESPACE, "reports", link.link_id)
    assert httpx.get(link.url).status_code == 404


def test_a_link_names_its_place_without_letting_anybody_in(link: Link, storage: ObjectStorage) -> None:
    assert link.place == f"{storage.endpoint}/n/{NAMESPACE}/b/reports/o/shapebench/r1/index.html"
    assert httpx.get(link.place).status_code == 401


def test_a_links_url_is_not_in_its_text(link: Link, storage: ObjectStorage) -> None:
    [token] = storage.preauthenticated
    assert token in link.url
    assert token not in repr(link)
    assert token not in f"{link.link_id}{link.name}{link.place}"


FOLDER = "/p/TOKEN/n/lookalike/b/reports/o/"
DEDICATED = "https://lookalike.objectstorage.eu-frankfurt-1.oci.customer-oci.com"


@pytest.mark.parametrize("path", [FOLDER, f"{FOLDER}shapebench/r1/"])
@pytest.mark.parametrize("host", [DEDICATED, None])
def test_a_link_is_where_oci_says_whether_the_folder_is_in_it_or_not(
    path: str, host: str | None, bucket_spec: MakeSpec, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).isoformat()
    places = {"accessUri": path, "fullPath": host + path if host else None}
    told = {"id": "i", "name": "n", "timeCreated": now, "timeExpires": now, **places}
    answer = Answer(200, {"content-type": "application/json"}, json.dumps(told).encode())
    monkeypatch.setitem(ROUTES, ("POST", PREAUTHENTICATE), lambda *_: answer)
    link = share(bucket_spec(), "r1", DAYS)
    assert link.url == f"{host or storage.endpoint}{FOLDER}shapebench/r1/index.html"


@pytest.mark.parametrize("status", [403, 404])
def test_who_may_not_make_links_is_told_the_policy(status: int, storage: ObjectStorage, bucket_spec: MakeSpec) -> None:
    storage.inject("POST", ".*/p", RefusedError(status, "NotAuthorizedOrNotFound"))
    with pytest.raises(StoreError) as caught:
        share(bucket_spec(), "r1", DAYS)
    wanted = "where all {target.bucket.name='reports', request.permission='PAR_MANAGE'}"
    assert wanted in caught.value.remedy


def test_a_clock_that_is_wrong_is_named_for_links_too(storage: ObjectStorage, bucket_spec: MakeSpec) -> None:
    storage.ahead = timedelta(hours=1)
    with pytest.raises(StoreError, match="60 min behind"):
        share(bucket_spec(), "r1", DAYS)
