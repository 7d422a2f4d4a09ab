import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shapebench.publish import targets
from shapebench.publish.targets.upload_batch import StoreError, UploadBatch, content_type_of, report_files, sample_files
from shapebench.spec.model import Spec
from tests.conftest import ROOT
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]

TYPES = {
    "index.html": "text/html",
    "query.svg": "image/svg+xml",
    "query.png": "image/png",
    "level-0032.parquet": "application/vnd.apache.parquet",
    "levels.csv": "text/csv",
    "spec.yaml": "application/yaml",
    "levels.csv.gz": "application/octet-stream",
    "results.duckdb": "application/octet-stream",
}


@pytest.mark.parametrize(("name", "content_type"), TYPES.items())
def test_a_file_has_the_content_type_of_its_ending(name: str, content_type: str) -> None:
    assert content_type_of(name) == content_type


def test_a_report_is_all_its_files_with_names_relative_to_it(report: Path) -> None:
    assert [file.name for file in report_files(report)] == ["index.html", "plots/query.svg", "samples.parquet"]


def test_a_missing_report_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="shapebench report"):
        report_files(tmp_path / "none")


def test_a_report_goes_to_a_folder_unless_a_bucket_is_named(make_spec: MakeSpec) -> None:
    assert targets.target_name(make_spec()) == "folder"
    assert targets.target_name(make_spec(oci={"bucket": "b"})) == "oci"


def test_every_store_that_a_spec_can_choose_is_there(make_spec: MakeSpec) -> None:
    assert {targets.target_name(make_spec()), targets.target_name(make_spec(oci={"bucket": "b"}))} == set(
        targets.TARGETS
    )


def test_send_takes_the_report_to_the_store_of_the_spec(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    artifacts = sent(make_spec(), report)
    assert len(artifacts) == 3
    assert (tmp_path / "data" / "published" / "r1" / "index.html").exists()


def test_the_oci_sdk_is_not_imported_to_publish_to_a_folder(report: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.upload_batches import sent\n"
        "from shapebench.spec import model as spec\n"
        "s = spec.parse({'endpoint': {'url': 'http://h', 'model': 'm'}, 'data': sys.argv[1]})\n"
        "print(len(sent(s, Path(sys.argv[2]))), 'oci' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "3 False"


def test_samples_are_the_parquet_files_of_a_run(tmp_path: Path) -> None:
    for name in ("level-0001.parquet", "server-0001.parquet", "level-0002.123.arrow", "run.json", "server.log"):
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in sample_files(tmp_path)] == [
        "samples/level-0001.parquet",
        "samples/server-0001.parquet",
    ]


@pytest.mark.parametrize(("folder", "place"), [("r1", "r1/index.html"), ("", "index.html")])
def test_what_belongs_to_no_run_lies_beside_the_runs(folder: str, place: str, report: Path) -> None:
    page = report_files(report)[0]
    assert UploadBatch("r1", folder, (page,)).path(page) == place


def test_only_a_bucket_can_be_shared_by_a_link(make_spec: MakeSpec) -> None:
    with pytest.raises(StoreError, match="links can only share a report in OCI Object Storage"):
        targets.share(make_spec(), "r1", 7)
