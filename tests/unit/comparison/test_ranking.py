"""Which machine is best, by rows as level_summary gives them."""

from typing import Any

import pandas as pd
import pytest

from shapebench.comparison.ranking import Entry, Ranking, on_the_front, ranking

NAMED = {"a": "A10", "h": "H100"}


def level(run_id: str, concurrency: int, verdict: str = "valid", *, suits: bool = True) -> dict[str, Any]:
    speed = {"system_tokens_per_s": 40.0 * concurrency, "suits": suits}
    return {"run_id": run_id, "shape": NAMED[run_id], "concurrency": concurrency, "verdict": verdict, **speed}


def ranked(*levels: dict[str, Any], users: int | None = None, **prices: float) -> Ranking:
    return ranking(pd.DataFrame(levels), lambda row: bool(row["suits"]), prices, users)


def test_the_greatest_level_that_suits_counts_and_the_next_is_named() -> None:
    (entry,) = ranked(level("a", 1), level("a", 8), level("a", 16, suits=False)).entries
    assert (entry.greatest, entry.refused) == (8, 16)


def test_a_level_that_suits_beyond_one_that_does_not_does_not_count() -> None:
    (entry,) = ranked(level("a", 1), level("a", 2, suits=False), level("a", 4)).entries
    assert entry.greatest == 1


def test_an_invalid_level_takes_no_part() -> None:
    (entry,) = ranked(level("a", 1), level("a", 2, "invalid", suits=False), level("a", 4)).entries
    assert entry.greatest == 4


def test_the_articles_sum() -> None:
    (entry,) = ranked(level("a", 32), A10=2.0).entries
    assert entry.per_million_output_tokens == pytest.approx(0.434, abs=0.0005)


def test_the_cheapest_for_a_user_comes_first() -> None:
    found = ranked(level("h", 64), level("a", 32), A10=2.0, H100=10.0)
    assert [entry.run_id for entry in found.entries] == ["a", "h"]


def test_for_many_users_whole_machines_are_counted() -> None:
    found = ranked(level("h", 64), level("a", 32), users=33, A10=2.0, H100=3.9)
    assert [(entry.run_id, entry.instances, entry.fleet_per_hour) for entry in found.entries] == [
        ("h", 1, 3.9),
        ("a", 2, 4.0),
    ]


def test_where_no_price_is_known_the_one_that_bears_most_comes_first() -> None:
    assert ranked(level("a", 32), level("h", 64)).headline(NAMED) == "H100 suits most users: 64"


def test_one_that_suits_nobody_comes_last_however_cheap() -> None:
    found = ranked(level("a", 1, suits=False), level("h", 64), A10=0.1, H100=10.0)
    assert [entry.run_id for entry in found.entries] == ["h", "a"]


def test_where_none_suits_the_headline_says_so() -> None:
    found = ranked(level("a", 1, suits=False))
    assert found.headline(NAMED) == "None of them suits even the lowest level that was measured"


def test_the_limit_between_two_levels_is_carried_into_the_price_for_a_user() -> None:
    entry = Entry("a", "A10", 8, 16, 320.0, 2.0)
    assert (entry.per_user_hour, entry.per_user_hour_at_best) == (0.25, 2 / 15)


def test_what_is_not_known_of_the_limit_is_said() -> None:
    (sentence,) = ranked(level("a", 32), A10=2.0).sentences(NAMED)
    assert "and perhaps more: no higher level was measured" in sentence


def test_the_front_has_what_nothing_beats_in_both() -> None:
    points = pd.DataFrame({"speed": [10, 20, 30, 25, 5], "cost": [1.0, 2.0, 3.0, 4.0, 2.0]})
    assert on_the_front(points, "speed", "cost").tolist() == [True, True, True, False, False]


def test_a_point_without_a_price_is_not_on_the_front() -> None:
    points = pd.DataFrame({"speed": [10.0, 99.0], "cost": [1.0, float("nan")]})
    assert on_the_front(points, "speed", "cost").tolist() == [True, False]
