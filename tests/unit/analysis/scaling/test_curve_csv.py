"""Curves of anybody's making: what is read, what is refused, and which rows cannot be true."""

from pathlib import Path

import pytest

from shapebench.analysis.scaling.curve import Curve, CurveError, Impossible, read_curve

HEADER = "concurrency,system_tokens_per_s,query_tokens_per_s,ttft_s\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "curve.csv"


def read(file: Path, text: str, encoding: str = "utf-8") -> Curve:
    file.write_bytes(text.encode(encoding))
    return read_curve(file)


def only(curve: Curve) -> Impossible:
    (impossible,) = curve.impossible
    return impossible


SAME = {
    "commas": "concurrency,system_tokens_per_s\n1,58.5\n32,1296.5\n",
    "semicolons and decimal commas": "concurrency;system_tokens_per_s\n1;58,5\n32;1.296,5\n",
    "semicolons and decimal points": "concurrency;system_tokens_per_s\n1;58.5\n32;1296.5\n",
    "tabs": "concurrency\tsystem_tokens_per_s\n1\t58.5\n32\t1296.5\n",
    "bars": "concurrency|system_tokens_per_s\n1|58.5\n32|1296.5\n",
    "Windows' line ends": "concurrency,system_tokens_per_s\r\n1,58.5\r\n32,1296.5\r\n",
    "quotes and thousands": 'concurrency,system_tokens_per_s\n"1","58.5"\n"32","1,296.5"\n',
    "spaces": " concurrency , system_tokens_per_s \n 1 , 58.5 \n 32 , 1 296.5\n",
    "odd names": "Concurrency,System Tokens/s\n1,58.5\n32,1296.5\n",
    "other columns, another order": "model,system_tokens_per_s,concurrency\nllama,58.5,1\nllama,1296.5,32\n",
    "comments and empty lines": '# of "today\n\nconcurrency,system_tokens_per_s\n1,58.5\n\n# x\n32,1296.5\n,\n',
    "a header in a comment": "# concurrency,system_tokens_per_s\n1,58.5\n32,1296.5\n",
    "a title": "Benchmark of today\nconcurrency,system_tokens_per_s\n1,58.5\n32,1296.5\n",
    "Excel's first line": "sep=;\nconcurrency;system_tokens_per_s\n1;58,5\n32;1296,5\n",
    "a column twice": "concurrency,system_tokens_per_s,concurrency\n1,58.5,7\n32,1296.5,7\n",
    "a comment with a comma": "concurrency;system_tokens_per_s\n# by hand, twice\n1;58.5\n32;1296.5\n",
    "notes with commas": "concurrency\tsystem_tokens_per_s\tnote\n1\t58.5\tslow, but steady\n32\t1296.5\tfast, 5\n",
    "a note with a stray quote": 'concurrency;system_tokens_per_s;note\n1;58.5;"5 inch\n32;1296.5;b\n',
    "points and commas before decimals": "concurrency;system_tokens_per_s;ttft_s\n1;58.5;0,25\n32;1296,5;0.5\n",
    "a name with a delimiter": '"GPU, type";concurrency;system_tokens_per_s\n"A, b";1;58.5\n"A, b";32;1296.5\n',
    "whole numbers as floats": "concurrency,system_tokens_per_s\n1.0,58.5\n3.2e1,1296.5\n",
}


@pytest.mark.parametrize("written", SAME)
def test_the_same_curve_is_read_however_it_is_written(file: Path, written: str) -> None:
    curve = read(file, SAME[written])
    assert curve.rows["concurrency"].tolist() == [1, 32]
    assert curve.rows["system_tokens_per_s"].tolist() == [58.5, 1296.5]
    assert curve.impossible == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_name(file: Path, encoding: str) -> None:
    assert len(read(file, SAME["commas"], encoding).rows) == 2


def test_rows_know_their_lines_in_the_file(file: Path) -> None:
    text = f"# a comment\n{HEADER}1,58,58,0.1\n\n# another\n8,420,55,0.1\n"
    assert read(file, text).rows["row"].tolist() == [3, 6]


@pytest.mark.parametrize("text", ["", "-", "n/a", "NaN"])
def test_what_is_welcome_may_be_missing(file: Path, text: str) -> None:
    curve = read(file, f"{HEADER}1,58,{text},{text}\n")
    assert curve.impossible == ()
    assert curve.rows[["query_tokens_per_s", "ttft_s"]].isna().all(axis=None)


def test_a_row_that_ends_early_lacks_what_is_not_there(file: Path) -> None:
    assert len(read(file, f"{HEADER}8,420\n").rows) == 1


IMPOSSIBLE = {
    "1,58,,": None,
    "1,58,60,0.1": None,
    "1,40,60,0.1": "one stream is the whole system",
    "1,70,60,0.1": "one stream is the whole system",
    "8,520,60,0.1": "8 streams of query_tokens_per_s 60 make at most 480 tokens/s",
    "8,500,60,0.1": None,
    "8,200,60,0.1": None,
    "0,58,58,0.1": "concurrency is 0, which is not a number of streams",
    "-4,58,58,0.1": "concurrency is -4, which is not a number of streams",
    "2.5,100,50,0.1": "concurrency is 2.5, which is not a number of streams",
    "many,58,58,0.1": "concurrency is 'many', which is not a number",
    "1e300,58,58,0.1": "not a number of streams",
    ",58,58,0.1": "concurrency is missing",
    "8,,58,0.1": "system_tokens_per_s is missing",
    "8,nan,58,0.1": "system_tokens_per_s is missing",
    "8,inf,58,0.1": "system_tokens_per_s is 'inf', which is not a number",
    "8,-420,58,0.1": "system_tokens_per_s is -420, which is not above 0",
    "8,0,58,0.1": "system_tokens_per_s is 0, which is not above 0",
    "8,4_2,58,0.1": "'4_2', which is not a number",
    "8,420,-58,0.1": "query_tokens_per_s is -58, which is not above 0",
    "8,420,58,0": "ttft_s is 0, which is not above 0",
    "8,420,58,-0.1": "ttft_s is -0.1, which is not above 0",
    "8,420,58,soon": "ttft_s is 'soon', which is not a number",
}


@pytest.mark.parametrize("row", IMPOSSIBLE)
def test_a_row_that_cannot_be_true_is_named_and_left_out(file: Path, row: str) -> None:
    curve, reason = read(file, f"{HEADER}{row}\n"), IMPOSSIBLE[row]
    assert len(curve.rows) == (reason is None)
    assert [impossible.row for impossible in curve.impossible] == ([] if reason is None else [2])
    assert all(reason in impossible.reason for impossible in curve.impossible if reason)


def test_all_that_is_wrong_with_a_row_is_said_at_once(file: Path) -> None:
    reason = only(read(file, f"{HEADER}0,-5,58,0\n")).reason
    assert all(name in reason for name in ("concurrency", "system_tokens_per_s", "ttft_s"))


def test_a_long_cell_is_cut_where_it_is_named(file: Path) -> None:
    assert len(only(read(file, f"{HEADER}{'x' * 10_000},58,58,0.1\n")).reason) < 100


def test_the_concurrency_of_a_row_is_not_known_where_it_is_no_number(file: Path) -> None:
    assert only(read(file, f"{HEADER}many,58,58,0.1\n")).concurrency is None


def test_columns_that_are_missing_are_named_with_those_that_are_there(file: Path) -> None:
    with pytest.raises(CurveError, match="no column concurrency, system_tokens_per_s; it has users, throughput"):
        read(file, "users;throughput\n1;58\n")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_refused(file: Path, text: str) -> None:
    with pytest.raises(CurveError, match="is empty"):
        read(file, text)


def test_a_header_alone_is_refused(file: Path) -> None:
    with pytest.raises(CurveError, match="no row below its header"):
        read(file, HEADER)


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 2000)
    with pytest.raises(CurveError, match="no column"):
        read_curve(file)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(CurveError, match="No such file"):
        read_curve(file)
