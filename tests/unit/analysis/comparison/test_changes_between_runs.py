"""What changed between two runs, by rows as compare_runs gives them."""

from typing import Any

import pandas as pd
import pytest

from shapebench.analysis.comparison.changes import changes, settings_that_differ

LEVELS = (1, 2, 4, 8)
NO_SETTINGS: dict[str, Any] = {"spec": {}, "facts": {}, "versions": {}, "machine": {}}


def row(concurrency: int, metric: str, difference: float, half: float, **other: Any) -> dict[str, Any]:
    ends = {"difference_low": difference - half, "difference_high": difference + half}
    valid = {"before_verdict": "valid", "after_verdict": "valid"}
    about = {"concurrency": concurrency, "metric": metric, "stat": "mean", "before": 1.0, "after": 1 + difference}
    return {**about, "difference": difference, **ends, **valid, **other}


def of(metric: str, *differences: float, half: float = 0.01) -> list[dict[str, Any]]:
    return [row(level, metric, difference, half) for level, difference in zip(LEVELS, differences, strict=True)]


NOTHING = (0.0, 0.001, 0.0, -0.001)


@pytest.mark.parametrize(
    ("ttft", "throughput", "headline"),
    [
        (NOTHING, NOTHING, "Nothing changed by more than 5%"),
        ((0, 0, 0.3, 0), NOTHING, "It is worse"),
        ((0, 0, -0.3, 0), NOTHING, "It is better"),
        (NOTHING, (0, 0, -0.3, 0), "It is worse"),
        (NOTHING, (0, 0, 0.3, 0), "It is better"),
        ((0, 0, 0.3, 0), (0, 0, 0.3, 0), "Some numbers are better, others worse"),
    ],
)
def test_the_headline_says_whether_it_is_better_or_worse(ttft: Any, throughput: Any, headline: str) -> None:
    rows = [*of("ttft_s", *ttft), *of("steady_tokens_per_s", *throughput)]
    assert changes(pd.DataFrame(rows)).headline == headline


def test_what_cannot_be_told_from_noise_is_no_change_to_be_seen() -> None:
    assert changes(pd.DataFrame(of("ttft_s", 0.1, -0.1, 0.05, 0.0, half=0.2))).headline == "No change was detected"


def test_a_change_that_one_interval_of_many_just_leaves_out_is_not_found() -> None:
    alone, among_others = (
        changes(pd.DataFrame(of("ttft_s", *differences)[:count])).tested["verdict"].tolist()[0]
        for differences, count in (((0.105, 0, 0, 0), 1), ((0.105, 0, 0, 0), 4))
    )
    close = [row(level, "ttft_s", 0.105 if level == 1 else 0.0, 0.1) for level in LEVELS]
    assert alone == among_others == "worse"
    assert changes(pd.DataFrame(close)).tested["verdict"].tolist()[0] == "inconclusive"
    assert changes(pd.DataFrame(close[:1])).tested["verdict"].tolist()[0] == "worse"


def test_the_greatest_change_is_named_with_its_interval_and_level() -> None:
    (sentence,) = changes(pd.DataFrame(of("ttft_s", 0.1, 0.5, 0.2, 0.0))).sentences
    assert sentence.startswith("The mean time to first token rose by 50% (49% to 51%) with 2 concurrent users")


def test_where_nothing_changed_it_says_how_far_it_may_have() -> None:
    (sentence,) = changes(pd.DataFrame(of("steady_tokens_per_s", 0.0, 0.01, 0.0, 0.0))).sentences
    assert sentence == "Throughput changed by no more than 2%, which is with 2 concurrent users."


def test_an_invalid_level_is_not_judged() -> None:
    rows = [row(1, "ttft_s", 0.5, 0.01, after_verdict="invalid")]
    assert changes(pd.DataFrame(rows)).headline == "It is unknown whether anything changed"


def test_without_intervals_nothing_is_judged() -> None:
    rows = [row(1, "ttft_s", 0.5, float("nan"))]
    assert changes(pd.DataFrame(rows)).sentences[0].startswith("No level has an interval in both runs")


def test_settings_that_differ_are_named_with_dots() -> None:
    before = {**NO_SETTINGS, "spec": {"load": {"levels": [1, 2]}}, "versions": {"python": "3.11"}}
    after = {**NO_SETTINGS, "spec": {"load": {"levels": [1, 4]}}, "versions": {"python": "3.11"}}
    assert settings_that_differ(before, after) == [("spec.load.levels", "[1, 2]", "[1, 4]")]


def test_a_setting_that_only_one_run_has_is_empty_in_the_other() -> None:
    after = {**NO_SETTINGS, "facts": {"version": "0.32"}}
    assert settings_that_differ(NO_SETTINGS, after) == [("facts.version", "", "0.32")]


def test_the_seed_and_the_folder_are_no_settings() -> None:
    after = {**NO_SETTINGS, "spec": {"data": "elsewhere", "workload": {"seed": 7}}}
    assert settings_that_differ(NO_SETTINGS, after) == []


def test_secrets_in_settings_are_covered() -> None:
    after = {**NO_SETTINGS, "spec": {"endpoint": {"launch": "vllm serve m --api-key sk-123"}}}
    assert "sk-123" not in str(settings_that_differ(NO_SETTINGS, after))
