"""`shapebench scaling`, typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from tests.conftest import Shell

LLAMA_70B = """# Oracle's documentation
concurrency,ttft_s,query_tokens_per_s,system_tokens_per_s
1,0.05,58.64,58.02
8,0.07,54.74,425.30
32,0.16,44.32,1296.53
64,0.40,35.74,1914.20
128,1.29,25.60,2314.73
256,4.09,15.27,1976.65
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "curve.csv"


def typed(file: Path, text: str, *arguments: str) -> Result:
    file.write_text(text)
    return CliRunner().invoke(cli, ["scaling", str(file), *arguments])


def answer(file: Path, text: str) -> Any:
    return json.loads(typed(file, text, "--json").stdout)


def test_a_published_curve_has_its_knee_at_128_and_collapses(file: Path) -> None:
    found = answer(file, LLAMA_70B)
    wanted = {"saturated": True, "knee": 128, "knee_interval": [64, 256], "collapses": True, "impossible_rows": []}
    assert {name: found[name] for name in wanted} == wanted
    assert found["peak"] == {"concurrency": 128, "system_tokens_per_s": 2314.73}


def test_every_parameter_of_the_law_has_an_interval_that_holds_it(file: Path) -> None:
    law = answer(file, LLAMA_70B)["usl"]
    for name in ("lambda_tokens_per_s", "sigma", "kappa"):
        low, high = law[f"{name}_interval"]
        assert low <= law[name] <= high
    assert law["error"] < 0.03


def test_the_points_are_the_rows_that_took_part(file: Path) -> None:
    points = answer(file, f"{LLAMA_70B}512,5,-1,1500\n")["points"]
    assert [point["row"] for point in points] == [3, 4, 5, 6, 7, 8]
    assert points[0]["ttft_s"] == 0.05
    assert points[0]["fitted_tokens_per_s"] == pytest.approx(58, rel=0.05)


def test_an_impossible_row_is_a_part_of_the_answer(file: Path) -> None:
    ended = typed(file, LLAMA_70B.replace("58.02", "158.02"), "--json")
    found = json.loads(ended.stdout)
    assert ended.exit_code == 0
    (row,) = found["impossible_rows"]
    assert (row["row"], row["concurrency"]) == (3, 1)
    assert found["knee"] == 128
    assert any(sentence.startswith("Line 3 is skipped") for sentence in found["sentences"])


def test_where_nothing_can_be_used_nothing_is_claimed(file: Path) -> None:
    found = answer(file, "concurrency,system_tokens_per_s\n0,5\n")
    unknown = ("saturated", "knee", "knee_interval", "collapses", "peak", "headroom", "usl", "noise")
    assert {found[name] for name in unknown} == {None}
    assert found["points"] == []


def test_two_levels_have_no_law_and_are_answered_all_the_same(file: Path) -> None:
    found = answer(file, "concurrency,system_tokens_per_s\n1,60\n32,1500\n")
    assert (found["saturated"], found["usl"], found["headroom"]) == (False, None, None)
    assert [point["fitted_tokens_per_s"] for point in found["points"]] == [None, None]


def test_people_read_sentences_and_the_points(file: Path) -> None:
    shown = typed(file, LLAMA_70B).stdout
    assert "Saturated: growth ends at 128 concurrent users (95% interval 64 to 256)" in shown
    assert "1,977" in shown


@pytest.mark.slow
def test_a_file_without_the_columns_fails_and_names_them(file: Path) -> None:
    file.write_text("users,throughput\n1,60\n")
    ended = Shell({}).run("scaling", str(file), "--json")
    assert (ended.code, ended.stdout) == (1, "")
    assert "it has users, throughput" in ended.stderr
    assert "concurrency and system_tokens_per_s" in ended.stderr


@pytest.mark.slow
def test_no_file_is_wrong_usage() -> None:
    assert Shell({}).run("scaling").code == 2
