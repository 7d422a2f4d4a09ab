"""SLOs: how they are written, which levels keep them, and what they promise of each request."""

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapebench.analysis.measured_level import summarise_level
from shapebench.results.database import load, query
from shapebench.spec import metric_definitions
from shapebench.spec.model import Limits, Spec, SpecError
from shapebench.spec.model import parse as parse_spec
from shapebench.spec.slo import Slo, evaluate, evaluate_levels, parse, slo_bounds
from tests.level_sample import RUN_ID, closed_loop, level, refused, request, run_tables
from tests.stored_run import store_run

TTFT = Slo("ttft_s", "p95", "<=", 0.5)
SPEED = Slo("query_tokens_per_s", "mean", ">=", 10)
ERRORS = Slo("error_rate", "total", "<=", 0.01)


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("ttft_s p95 <= 0.5", TTFT),
        ("  ttft_s   p95<=0.5 ", TTFT),
        ("ttft_s_p95 <= 500e-3", TTFT),
        ("query_tokens_per_s mean >= 10", SPEED),
        ("error_rate <= 0.01", ERRORS),
        ("error_rate <= 1%", ERRORS),
        ("inter_token_s stddev <= 0.1", Slo("inter_token_s", "stddev", "<=", 0.1)),
        ("kv_cache_usage_max <= 0.9", Slo("kv_cache_usage_max", "total", "<=", 0.9)),
        ("ttft_outside_server_s <= 0", Slo("ttft_outside_server_s", "total", "<=", 0)),
    ],
)
def test_an_slo_is_read_from_text(text: str, slo: Slo) -> None:
    assert parse(text) == slo


@pytest.mark.parametrize("slo", [TTFT, SPEED, ERRORS, Slo("e2e_s", "max", "<=", 1 / 3)])
def test_its_text_is_read_as_itself_again(slo: Slo) -> None:
    assert parse(str(slo)).bound == pytest.approx(slo.bound, rel=1e-14)
    assert str(parse(str(slo))) == str(slo)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "METRIC STAT <= BOUND"),
        ("ttft_s p95 < 0.5", "METRIC STAT <= BOUND"),
        ("ttft_s p95 <= 0.5 s", "METRIC STAT <= BOUND"),
        ("ttft_s p95", "such as 'ttft_s p95 <= 0.5'"),
        ("ttft p95 <= 0.5", "there is no metric 'ttft p95'; with a stat: ttft_s, time_to_first_answer_s"),
        ("ttft_s p96 <= 0.5", "ttft_s has no stat 'p96'; there are mean, stddev, min, p25"),
        ("ttft_s <= 0.5", "ttft_s needs a stat; there are mean"),
        ("error_rate p95 <= 0.5", "error_rate has a single value per level, no stat 'p95'"),
        ("ttft_s p95 <= soon", "'soon' is not a number"),
        ("ttft_s p95 <= nan", "ttft_s cannot be nan"),
        ("ttft_s p95 <= inf", "ttft_s cannot be inf"),
        ("ttft_s p95 <= -1", "ttft_s cannot be -1: it is between 0 and inf"),
        ("error_rate <= 5", "error_rate cannot be 5: it is between 0 and 1"),
    ],
)
def test_what_is_no_slo_is_refused_with_what_there_is(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(text)


@pytest.mark.parametrize("metric", metric_definitions.METRICS, ids=lambda metric: metric.name)
def test_every_metric_and_stat_can_be_asked_for(metric: Any) -> None:
    stats = metric_definitions.STATS if metric in metric_definitions.DISTRIBUTIONS else (metric_definitions.TOTAL,)
    columns = [parse(f"{metric_definitions.column_name(metric.name, stat)} <= 1").column for stat in stats]
    assert columns == [metric_definitions.column_name(metric.name, stat) for stat in stats]


@pytest.mark.parametrize(
    ("slo", "value", "margin"),
    [
        (TTFT, 0.4, 0.2),
        (TTFT, 0.5, 0.0),
        (TTFT, 1.0, -1.0),
        (SPEED, 12.0, 0.2),
        (SPEED, 5.0, -0.5),
        (Slo("error_rate", "total", "<=", 0), 0.0, 0.0),
        (Slo("error_rate", "total", "<=", 0), 0.1, -math.inf),
        (Slo("ttft_outside_server_s", "total", ">=", 0), 0.1, math.inf),
        (Slo("ttft_outside_server_s", "total", "<=", -1), -2.0, 1.0),
    ],
)
def test_a_margin_is_a_share_of_the_bound(slo: Slo, value: float, margin: float) -> None:
    assert slo.margin(value) == pytest.approx(margin)


@pytest.mark.parametrize("bound", [0, 1])
def test_a_number_that_is_not_known_has_no_margin(bound: float) -> None:
    assert math.isnan(Slo("error_rate", "total", "<=", bound).margin(math.nan))


ROW = {"concurrency": 8, "ttft_s_p95": 0.4, "ttft_s_max": 0.7, "query_tokens_per_s_mean": 12.0, "error_rate": 0.02}


def test_a_level_passes_if_it_keeps_all() -> None:
    assert evaluate(ROW, [TTFT, SPEED]).passes
    assert not evaluate(ROW, [TTFT, SPEED, ERRORS]).passes


def test_what_a_level_misses_is_named_with_its_margin() -> None:
    (missed,) = evaluate(ROW, [TTFT, SPEED, ERRORS]).missed
    assert (missed.slo, missed.value, missed.margin) == (ERRORS, 0.02, pytest.approx(-1.0))


def test_the_margin_of_a_level_is_the_least() -> None:
    assert evaluate(ROW, [TTFT, SPEED]).margin == pytest.approx(0.2)
    assert evaluate(ROW, [TTFT, SPEED, ERRORS]).margin == pytest.approx(-1.0)


@pytest.mark.parametrize("withheld", [None, math.nan])
def test_where_a_percentile_is_withheld_the_worst_request_speaks_for_it(withheld: float | None) -> None:
    (held,) = evaluate({**ROW, "ttft_s_p95": withheld}, [TTFT]).results
    assert (held.stat, held.value, held.passes) == ("max", 0.7, False)


def test_the_worst_request_of_what_must_not_be_less_is_the_least() -> None:
    slo = Slo("query_tokens_per_s", "p25", ">=", 10)
    (held,) = evaluate({"concurrency": 1, "query_tokens_per_s_min": 9.0, "query_tokens_per_s_max": 99.0}, [slo]).results
    assert (held.stat, held.value) == ("min", 9.0)


@pytest.mark.parametrize("value", [None, math.nan, pd.NA])
def test_a_level_without_the_number_does_not_pass_and_has_no_margin(value: Any) -> None:
    found = evaluate({**ROW, "error_rate": value}, [TTFT, ERRORS])
    assert (found.is_known, found.passes, math.isnan(found.margin)) == (False, False, True)


def test_levels_are_judged_in_the_order_of_concurrency() -> None:
    levels = pd.DataFrame([{**ROW, "concurrency": 16, "ttft_s_p95": 0.8}, ROW])
    assert [(one.concurrency, one.passes) for one in evaluate_levels(levels, [TTFT])] == [(8, True), (16, False)]


# In a spec


def limits(**fields: Any) -> Limits:
    return parse_spec({"endpoint": {"url": "http://h", "model": "m"}, "limits": fields}).limits


def test_the_two_limits_are_slos() -> None:
    assert limits(ttft_s=1, query_tokens_per_s=15).slos == (
        Slo("query_tokens_per_s", "mean", ">=", 15),
        Slo("ttft_s", "p95", "<=", 1),
    )


def test_others_come_beside_them() -> None:
    assert [str(slo) for slo in limits(slo=["error_rate <= 1%"]).slos] == [
        "query_tokens_per_s mean >= 10",
        "ttft_s p95 <= 0.5",
        "error_rate <= 0.01",
    ]


def test_one_of_a_limits_form_is_that_limit_and_is_drawn() -> None:
    found = limits(slo=["ttft_s p95 <= 2"], ttft_s=0.5)
    assert found.ttft_s == 2
    assert [str(slo) for slo in found.slos] == ["query_tokens_per_s mean >= 10", "ttft_s p95 <= 2"]


def test_the_limits_can_be_left_to_the_plots() -> None:
    assert [str(slo) for slo in limits(slo=["ttft_s p99 <= 2"], slo_only=True).slos] == ["ttft_s p99 <= 2"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"slo": ["ttft <= 1", "error_rate <= 5"]}, "limits.slo.0: there is no metric 'ttft'"),
        ({"slo": ["ttft_s p99 <= 1", "error_rate <= 5"]}, "limits.slo.1: error_rate cannot be 5"),
        ({"slo": [3]}, "limits.slo.0: an SLO is a text"),
        ({"slo": ["ttft_s p99 <= 1", "ttft_s p99 <= 2"]}, "more than one bound is given for ttft_s_p99 <="),
        ({"slo": ["ttft_s p95 <= 0"]}, "limits.ttft_s"),
        ({"slo_only": True}, "slo_only leaves nothing to evaluate"),
    ],
)
def test_what_cannot_be_judged_by_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        limits(**fields)
    assert says in caught.value.problem


def test_slos_survive_json() -> None:
    given = parse_spec(
        {"endpoint": {"url": "http://h", "model": "m"}, "limits": {"slo": ["ttft_s p95 <= 2", "error_rate <= 1%"]}}
    )
    assert Spec.model_validate_json(given.model_dump_json()) == given


# Goodput


@pytest.mark.parametrize(
    ("slos", "bounds"),
    [
        ([TTFT, SPEED, ERRORS], {"ttft_s": 0.5, "query_tokens_per_s": 10}),
        ([TTFT, Slo("ttft_s", "mean", "<=", 0.2)], {"ttft_s": 0.2}),
        ([SPEED, Slo("query_tokens_per_s", "p25", ">=", 12)], {"query_tokens_per_s": 12}),
        ([Slo("tpot_s", "p99", "<=", 0.1), Slo("e2e_s", "max", "<=", 9)], {"tpot_s": 0.1, "e2e_s": 9}),
        ([Slo("ttft_s", "min", ">=", 0.1), Slo("ttft_s", "stddev", "<=", 0.1)], {}),
    ],
)
def test_an_slo_on_a_number_of_each_request_promises_it_to_each(slos: list[Slo], bounds: dict[str, float]) -> None:
    assert slo_bounds(slos) == bounds


LIMITS = "ttft_s_limit := {ttft_s}, query_tokens_per_s_limit := {query_tokens_per_s}, tpot_s_limit := {tpot_s}"


@pytest.mark.parametrize(
    "bounds",
    [
        {"ttft_s": 0.5, "query_tokens_per_s": 9.0},
        {"ttft_s": 0.15, "query_tokens_per_s": 9.0, "tpot_s": 0.2},
        {"ttft_s": 0.05},
        {"tpot_s": 0.01},
        {},
    ],
    ids=str,
)
def test_the_goodput_is_what_the_macro_says(bounds: dict[str, float], tmp_path: Path) -> None:
    mixed = [
        *closed_loop(2),
        request(90, 3.0, [0.3, 0.4], stream=1),  # late to begin
        request(91, 3.5, [0.1], stream=1),  # of one token
        request(92, 4.0, [0.1, 3.0], stream=1),  # slow
        refused(93, 4.5),
    ]
    made = summarise_level(level(tmp_path, 2, mixed, slo_bounds=bounds))
    load(tmp_path, RUN_ID, run_tables(tmp_path, levels=[made]))
    wanted = LIMITS.format(**{name: bounds.get(name, "NULL") for name in ("ttft_s", "query_tokens_per_s", "tpot_s")})
    names = "slo_attainment, l.goodput_requests_per_s, l.goodput_tokens_per_s"
    asked = "attainment, m.goodput_requests_per_s, m.goodput_tokens_per_s"
    joined = f"FROM slo_attainment({wanted}) AS m JOIN level_summary AS l USING (run_id, concurrency)"
    ours, macros = (query(tmp_path, f"SELECT {columns} {joined}").to_pylist()[0] for columns in (names, asked))
    assert [*ours.values()] == pytest.approx([*macros.values()])


def test_the_results_file_says_which_level_kept_which_slo_and_by_what(tmp_path: Path) -> None:
    store_run(tmp_path)  # all tokens 0.1 s apart
    sql = "SELECT concurrency, slo, evaluated_stat, value, margin, passes FROM slos"
    found = {(row["concurrency"], row["slo"]): row for row in query(tmp_path, sql).to_pylist()}
    assert len(found) == 4
    ttft = found[1, "ttft_s p95 <= 0.5"]
    assert (ttft["evaluated_stat"], ttft["passes"]) == ("max", True)  # of five requests
    assert (ttft["value"], ttft["margin"]) == (pytest.approx(0.1), pytest.approx(0.8))
    assert found[2, "query_tokens_per_s mean >= 10"]["margin"] == pytest.approx(0, abs=1e-6)
