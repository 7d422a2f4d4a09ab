import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from shapebench.publish.targets.upload_batch import StoreError, file_md5
from shapebench.spec.model import Spec
from tests.upload_batches import sent

MakeSpec = Callable[..., Spec]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_file_is_copied_under_the_run_id(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    sent(make_spec(folder=tmp_path / "web"), report)
    assert contents(tmp_path / "web" / "r1") == contents(report)


def test_an_artifact_tells_where_its_file_can_be_opened(make_spec: MakeSpec, report: Path) -> None:
    for artifact in sent(make_spec(), report):
        with urlopen(artifact.url) as copy:  # noqa: S310 - that it is a file: is the point
            assert copy.read() == (report / artifact.name).read_bytes()


def test_an_artifact_describes_its_file(make_spec: MakeSpec, report: Path) -> None:
    page = sent(make_spec(), report)[0]
    assert (page.run_id, page.name, page.content_type, page.error) == ("r1", "index.html", "text/html", None)
    assert page.size_bytes == (report / "index.html").stat().st_size
    assert page.md5 == file_md5(report / "index.html")


def test_sending_again_leaves_the_same_files_and_no_others(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "web")
    sent(spec, report)
    assert not any(artifact.error for artifact in sent(spec, report))
    assert contents(tmp_path / "web") == {f"r1/{name}": content for name, content in contents(report).items()}


def test_a_file_that_is_there_already_is_not_copied_again(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "web")
    assert [artifact.sent for artifact in sent(spec, report)] == [True, True, True]
    before = (tmp_path / "web" / "r1" / "index.html").stat().st_ino
    (report / "plots" / "query.svg").write_text("<svg></svg>", encoding="utf-8")
    assert [artifact.sent for artifact in sent(spec, report)] == [False, True, False]
    assert (tmp_path / "web" / "r1" / "index.html").stat().st_ino == before


def test_a_copy_that_differs_in_content_alone_is_replaced(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    spec = make_spec(folder=tmp_path / "web")
    copy = Path(sent(spec, report)[0].url.removeprefix("file://"))
    copy.write_bytes(bytes(copy.stat().st_size))
    assert sent(spec, report)[0].sent
    assert copy.read_bytes() == (report / "index.html").read_bytes()


def test_a_copy_can_be_read_by_whoever_may_read_the_report(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    (report / "index.html").chmod(0o644)
    sent(make_spec(folder=tmp_path / "web"), report)
    assert (tmp_path / "web" / "r1" / "index.html").stat().st_mode & 0o777 == 0o644


def test_a_damaged_copy_is_noticed_and_never_seen(
    make_spec: MakeSpec, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(folder=tmp_path / "web")
    sent(spec, report)
    (report / "index.html").write_text("<h1>newer</h1>", encoding="utf-8")
    monkeypatch.setattr(shutil, "copyfile", lambda _, to: Path(to).write_bytes(b"half"))
    before = contents(tmp_path / "web")
    assert "differs" in (sent(spec, report)[0].error or "")
    assert contents(tmp_path / "web") == before


def test_a_file_that_cannot_be_written_does_not_stop_the_others(
    make_spec: MakeSpec, report: Path, tmp_path: Path
) -> None:
    (tmp_path / "web" / "r1" / "index.html" / "in the way").mkdir(parents=True)
    artifacts = sent(make_spec(folder=tmp_path / "web"), report)
    assert {artifact.name for artifact in artifacts if artifact.error} == {"index.html"}
    assert set(contents(tmp_path / "web" / "r1")) == {"plots/query.svg", "samples.parquet"}


def test_a_folder_that_cannot_be_made_names_the_field_to_set(make_spec: MakeSpec, report: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"publish\.folder"):
        sent(make_spec(folder=tmp_path / "file" / "below"), report)
