"""Which machine is best, by rows as level_summary gives them."""

from typing import Any

import pandas as pd
import pytest

from shapebench.analysis.capacity.search import Outcome
from shapebench.analysis.comparison.ranking import Ranking, on_the_front, ranking
from shapebench.analysis.comparison.wording import headline, sentences

NAMED = {"a": "A10", "h": "H100"}
SLO = "ttft_s p95 <= 0.5"


def level(
    run_id: str, concurrency: int, verdict: str = "valid", *, suits: bool = True, sure: bool = True
) -> dict[str, Any]:
    speed = {"system_tokens_per_s": 40.0 * concurrency, "suits": suits, "sure": sure}
    return {"run_id": run_id, "shape": NAMED[run_id], "concurrency": concurrency, "verdict": verdict, **speed}


def outcome(row: dict[str, Any]) -> Outcome:
    margin, spread = (0.2 if row["suits"] else -0.2), (0.1 if row["sure"] else 0.3)
    return Outcome(row["concurrency"], margin, margin - spread, margin + spread, SLO)


def ranked(*levels: dict[str, Any], users: int | None = None, **prices: float) -> Ranking:
    outcomes = {run_id: [outcome(row) for row in levels if row["run_id"] == run_id] for run_id in NAMED}
    return ranking(pd.DataFrame(levels), outcomes, prices, users)


def test_the_greatest_level_that_suits_counts_and_the_next_is_named() -> None:
    (entry,) = ranked(level("a", 1), level("a", 8), level("a", 16, suits=False)).entries
    assert (entry.greatest, entry.failing) == (8, 16)


def test_a_level_that_suits_beyond_one_that_does_not_does_not_count() -> None:
    (entry,) = ranked(level("a", 1), level("a", 2, suits=False), level("a", 4)).entries
    assert entry.greatest == 1


def test_an_invalid_level_takes_no_part() -> None:
    (entry,) = ranked(level("a", 1), level("a", 2, "invalid", suits=False), level("a", 4)).entries
    assert entry.greatest == 4


def test_the_articles_sum() -> None:
    (entry,) = ranked(level("a", 32), A10=2.0).entries
    assert entry.costs.per_million_output_tokens == pytest.approx(0.434, abs=0.0005)


def test_the_cheapest_for_a_user_comes_first() -> None:
    found = ranked(level("h", 64), level("a", 32), A10=2.0, H100=10.0)
    assert [entry.run_id for entry in found.entries] == ["a", "h"]


def test_for_many_users_whole_machines_are_counted() -> None:
    found = ranked(level("h", 64), level("a", 32), users=33, A10=2.0, H100=3.9)
    assert [(entry.run_id, entry.costs.instances, entry.costs.fleet_per_hour) for entry in found.entries] == [
        ("h", 1, 3.9),
        ("a", 2, 4.0),
    ]


def test_where_no_price_is_known_the_one_that_bears_most_comes_first() -> None:
    assert headline(ranked(level("a", 32), level("h", 64)), NAMED) == "H100 sustains the most users: 64"


def test_one_that_suits_nobody_comes_last_however_cheap() -> None:
    found = ranked(level("a", 1, suits=False), level("h", 64), A10=0.1, H100=10.0)
    assert [entry.run_id for entry in found.entries] == ["h", "a"]


def test_where_none_suits_the_headline_says_so() -> None:
    found = ranked(level("a", 1, suits=False))
    assert headline(found, NAMED) == "No machine meets the SLOs, even at the lowest level that was measured"


BRACKETED = (level("a", 8), level("a", 16, suits=False))


def test_the_limit_between_two_levels_is_carried_into_the_price_for_a_user() -> None:
    (entry,) = ranked(*BRACKETED, A10=2.0).entries
    assert entry.costs.per_user_hour == 0.25
    assert entry.ends("per_user_hour") == (2 / 15, 0.25)


def test_a_level_that_does_not_surely_suit_or_fail_does_not_bound_the_limit() -> None:
    doubtful = (level("a", 4), level("a", 8, sure=False), level("a", 16, suits=False, sure=False))
    (entry,) = ranked(*doubtful, level("a", 32, suits=False), A10=2.0).entries
    assert (entry.greatest, entry.ends("concurrency")) == (8, (31, 4))


def test_the_limit_is_carried_into_the_number_of_machines_and_their_price() -> None:
    (entry,) = ranked(*BRACKETED, users=30, A10=2.0).entries
    assert (entry.costs.instances, entry.ends("instances")) == (4, (2, 4))
    assert (entry.costs.fleet_per_hour, entry.ends("fleet_per_hour")) == (8.0, (4.0, 8.0))


def test_tokens_between_two_levels_cost_what_lies_between() -> None:
    (entry,) = ranked(*BRACKETED, A10=2.0).entries
    best, worst = entry.ends("per_million_output_tokens")
    assert worst == entry.costs.per_million_output_tokens == pytest.approx(2e6 / (320 * 3600))
    assert best == pytest.approx(2e6 / (600 * 3600))  # 15 users, at 40 tokens/s each


def test_where_no_level_fails_nobody_knows_how_cheap_it_might_be() -> None:
    (entry,) = ranked(level("a", 32), A10=2.0).entries
    assert entry.ends("per_user_hour") == (None, 2 / 32)


def test_where_the_limits_leave_no_doubt_the_answer_is_sure() -> None:
    found = ranked(*BRACKETED, level("h", 8), level("h", 9, suits=False), A10=2.0, H100=10.0)
    assert found.rivals == ()
    assert "No other machine is as cheap, wherever" in sentences(found, NAMED)[1]


def test_where_another_might_be_as_cheap_it_is_named() -> None:
    found = ranked(*BRACKETED, level("h", 8), level("h", 16, suits=False), A10=2.0, H100=3.0)
    assert [entry.run_id for entry in found.rivals] == ["h"]
    assert "H100 may be as cheap" in sentences(found, NAMED)[1]


def test_one_that_suits_nobody_is_no_rival() -> None:
    found = ranked(*BRACKETED, level("h", 1, suits=False), A10=2.0, H100=0.1)
    assert found.rivals == ()


def test_the_next_best_and_how_much_more_it_costs_are_said() -> None:
    found = ranked(*BRACKETED, level("h", 8), level("h", 9, suits=False), users=16, A10=2.0, H100=5.0)
    assert headline(found, NAMED) == "A10 is the cheapest that meets the SLOs: 2 for 16 users, $4.00 per hour"
    assert sentences(found, NAMED)[0] == "The next is H100, $10.00 per hour: 150% more."


def test_what_more_would_break_is_said() -> None:
    (sentence,) = sentences(ranked(*BRACKETED, A10=2.0), NAMED)
    assert sentence == (
        "A10 sustains 8 concurrent users; with 16, TTFT p95 ≤ 500 ms is missed. "
        "Cost per user-hour: $0.2500 ($0.1333 to $0.2500)."
    )


def test_what_is_not_known_of_the_limit_is_said() -> None:
    (sentence,) = sentences(ranked(level("a", 32), A10=2.0), NAMED)
    assert "32 concurrent users; no higher level was measured. Cost per user-hour: $0.0625 (or less)." in sentence


def test_as_an_object_each_cost_has_its_interval() -> None:
    (entry,) = ranked(*BRACKETED, users=30, A10=2.0).entries
    said = entry.as_object()
    assert (said["greatest"], said["greatest_interval"], said["limited_by"]) == (8, [8, 15], SLO)
    assert (said["instances"], said["instances_interval"]) == (4, [2, 4])


def test_the_front_has_what_nothing_beats_in_both() -> None:
    points = pd.DataFrame({"speed": [10, 20, 30, 25, 5], "cost": [1.0, 2.0, 3.0, 4.0, 2.0]})
    assert on_the_front(points, "speed", "cost").tolist() == [True, True, True, False, False]


def test_a_point_without_a_price_is_not_on_the_front() -> None:
    points = pd.DataFrame({"speed": [10.0, 99.0], "cost": [1.0, float("nan")]})
    assert on_the_front(points, "speed", "cost").tolist() == [True, False]
