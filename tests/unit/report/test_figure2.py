"""The plots, read back from what Vega draws."""

from itertools import combinations
from typing import Any

import pandas as pd
import pytest

from shapebench.report.charts.figure2 import CHARTS, QUERY, TTFT, TTFT_LOG, ChartEntry
from shapebench.report.charts.theme import PALETTES, SERIES, STEPS
from shapebench.spec.model import Limits
from tests.drawn_chart import items
from tests.report_sample import LEVELS, SYSTEM, level, sample, unmeasured

LIMITS = Limits()
TITLE = "a model on a shape"
INK, PAPER = PALETTES["light"]["ink"], PALETTES["light"]["paper"]


def frame(**verdicts: str) -> pd.DataFrame:
    """Six levels; `level_4="suspect"` sets that level's verdict."""
    rows = [level(at) for at in range(len(LEVELS))]
    return sample([{**row, "verdict": verdicts.get(f"level_{row['concurrency']}", "valid")} for row in rows]).levels


def drawn(entry: ChartEntry, levels: pd.DataFrame, kind: str, role: str = "mark") -> list[dict[str, Any]]:
    return items(entry.draw(levels, LIMITS, TITLE), kind, role)


def labels(entry: ChartEntry, levels: pd.DataFrame) -> list[str]:
    return [item["text"] for item in drawn(entry, levels, "text") if item["fill"] == INK]


every_chart = pytest.mark.parametrize("entry", CHARTS, ids=lambda entry: entry.name)


@every_chart
def test_every_level_is_a_point(entry: ChartEntry) -> None:
    assert len(drawn(entry, frame(), "symbol")) == len(LEVELS)


@every_chart
def test_each_point_carries_its_concurrency(entry: ChartEntry) -> None:
    assert labels(entry, frame()) == [str(concurrency) for concurrency in LEVELS]


@every_chart
def test_a_level_without_numbers_is_not_drawn(entry: ChartEntry) -> None:
    assert labels(entry, sample([level(0), unmeasured(1), level(2)]).levels) == ["1", "4"]


@every_chart
@pytest.mark.parametrize("rows", [[], [unmeasured(0), unmeasured(1)]], ids=["no level", "no numbers"])
def test_with_nothing_to_draw_the_limit_still_stands(entry: ChartEntry, rows: list[dict[str, Any]]) -> None:
    levels = sample(rows).levels
    assert drawn(entry, levels, "symbol") == []
    assert any(
        "10 tokens/s per query" in item["text"] or "TTFT p95 ≤ 500 ms" in item["text"]
        for item in drawn(entry, levels, "text")
    )


@every_chart
def test_points_are_joined_in_order_of_concurrency_even_where_throughput_falls(entry: ChartEntry) -> None:
    levels = frame().assign(system_tokens_per_s=[70.0, 140.0, 250.0, 400.0, 900.0, 600.0]).iloc[::-1]
    x = [point["x"] for point in drawn(entry, levels, "line")]
    assert x == [*sorted(x[:-1]), x[-1]]
    assert x[-1] < x[-2]


@pytest.mark.parametrize("entry", [QUERY, TTFT], ids=lambda entry: entry.name)
def test_both_axes_begin_at_zero(entry: ChartEntry) -> None:
    texts = [item["text"] for item in drawn(entry, frame(), "text", "axis-label")]
    assert texts.count("0") == 2


@every_chart
def test_axis_titles_carry_their_units(entry: ChartEntry) -> None:
    x, y = (item["text"] for item in drawn(entry, frame(), "text", "axis-title"))
    assert x == "System throughput (tokens/s)"
    assert y.endswith(("(tokens/s)", "(ms)"))


@every_chart
def test_the_title_is_the_one_given(entry: ChartEntry) -> None:
    assert [item["text"] for item in drawn(entry, frame(), "text", "title-text")] == [TITLE]


@every_chart
def test_valid_points_are_filled_and_the_others_hollow(entry: ChartEntry) -> None:
    points = drawn(entry, frame(level_4="suspect", level_16="invalid"), "symbol")
    hollow = [LEVELS[at] for at, point in enumerate(points) if point["fill"] == PAPER]
    assert hollow == [4, 16]


@every_chart
def test_an_invalid_point_differs_from_a_suspect_one_in_shape_and_colour(entry: ChartEntry) -> None:
    points = drawn(entry, frame(level_4="suspect", level_16="invalid"), "symbol")
    assert points[2]["shape"] != points[4]["shape"]
    assert points[2]["stroke"] != points[4]["stroke"]


@every_chart
def test_a_legend_is_drawn_only_where_a_level_is_not_valid(entry: ChartEntry) -> None:
    assert drawn(entry, frame(), "text", "legend-label") == []
    assert len(drawn(entry, frame(level_4="suspect"), "text", "legend-label")) == 2


def test_ttft_is_drawn_in_milliseconds_against_its_limit() -> None:
    rule = next(item for item in drawn(TTFT, frame(), "rule") if "strokeDash" in item)
    last = drawn(TTFT, frame(), "symbol")[-1]
    bottom = 300
    assert (bottom - last["y"]) / (bottom - rule["y"]) == pytest.approx(90 / 500)


def test_whiskers_reach_the_95th_percentile() -> None:
    stem = [item for item in drawn(TTFT, frame(), "rule") if "strokeDash" not in item][-1]
    bottom = 300
    assert (bottom - stem["y2"]) / (bottom - stem["y"]) == pytest.approx(1.4)


def test_a_level_without_a_95th_percentile_has_a_point_but_no_whisker() -> None:
    levels = sample([level(0), {**level(1), "ttft_s_p95": None}]).levels
    assert len(drawn(TTFT, levels, "symbol")) == 2
    assert len([item for item in drawn(TTFT, levels, "rule") if "strokeDash" not in item]) == 1


def test_the_tooltip_names_the_level_and_its_numbers() -> None:
    assert (
        "concurrent users: 1; system, tokens/s: 73.0; per query, tokens/s: 73.0; TTFT mean, ms: 40.0"
        in (drawn(QUERY, frame(), "symbol")[0]["description"])
    )


def test_the_axis_makes_room_for_values_far_beyond_the_limit() -> None:
    slow = frame().assign(ttft_s_mean=20.0, ttft_s_p95=30.0)
    assert all(0 < item["y"] < 300 for item in drawn(TTFT, slow, "symbol"))


@every_chart
def test_no_label_lies_below_the_axis(entry: ChartEntry) -> None:
    steep = frame().assign(
        ttft_s_mean=[0.01, 0.01, 0.02, 0.1, 2.0, 20.0], ttft_s_p95=[0.01, 0.01, 0.02, 0.1, 3.0, 30.0]
    )
    texts = [item for item in drawn(entry, steep, "text") if item["fill"] == INK]
    assert all(item["y"] + item["dy"] + item["fontSize"] / 2 < 300 for item in texts)


@every_chart
@pytest.mark.parametrize(
    "system",
    [
        SYSTEM,
        (70.0, 140.0, 250.0, 400.0, 900.0, 600.0),  # falls back
        (70.0, 140.0, 250.0, 252.0, 254.0, 253.0),  # saturated
    ],
)
def test_no_label_lies_on_another_or_on_a_point(entry: ChartEntry, system: tuple[float, ...]) -> None:
    levels = frame().assign(system_tokens_per_s=system)
    boxes = [box(item) for item in drawn(entry, levels, "text") if item["fill"] == INK]
    points = [(p["x"] - 5, p["y"] - 5, p["x"] + 5, p["y"] + 5) for p in drawn(entry, levels, "symbol")]
    assert len(boxes) == len(LEVELS)
    assert not [pair for pair in combinations([*boxes, *points], 2) if overlap(*pair) and {*pair} - {*points}]


def box(text: dict[str, Any]) -> tuple[float, float, float, float]:
    """Of a label, as letters are wide at least."""
    width = 6.0 * len(text["text"])
    left = text["x"] + text["dx"] - {"left": 0, "center": width / 2, "right": width}[text["align"]]
    return left, text["y"] + text["dy"] - 5, left + width, text["y"] + text["dy"] + 5


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_logarithmic_axis_of_ttft_shows_a_tenfold_as_far_as_the_next() -> None:
    levels = frame().assign(ttft_s_mean=[0.01, 0.1, 1.0, 10.0, 10.0, 10.0])
    y = [point["y"] for point in drawn(TTFT_LOG, levels, "symbol")]
    assert y[0] - y[1] == pytest.approx(y[1] - y[2])
    assert y[1] - y[2] == pytest.approx(y[2] - y[3])


def test_from_the_limit_to_what_fast_readers_take_there_is_a_band() -> None:
    shade, band = (item for item in drawn(QUERY, frame(), "rect"))
    assert band["height"] / shade["height"] == pytest.approx((15 - 10) / 10)


def test_a_limit_above_what_people_read_has_no_band() -> None:
    chart = QUERY.draw(frame(), Limits(query_tokens_per_s=30), TITLE)
    assert len(items(chart, "rect")) == 1


@every_chart
def test_what_is_chosen_in_the_legend_is_drawn_alone(entry: ChartEntry) -> None:
    chart = entry.draw(frame(level_4="suspect"), LIMITS, TITLE)
    assert len(items(chart, "symbol", chosen=["suspect"])) == 1
    assert [item["text"] for item in items(chart, "text", chosen=["suspect"]) if item["fill"] == INK] == ["4"]


def test_drawing_leaves_the_rows_as_they_were() -> None:
    levels = frame()
    before = levels.copy(deep=True)
    TTFT.draw(levels, LIMITS, TITLE)
    pd.testing.assert_frame_equal(levels, before)


def test_descriptions_say_where_the_curve_begins_and_ends() -> None:
    said = TTFT.describe(frame(), LIMITS)
    assert "from 40 ms at 73 tokens/s system throughput with concurrency 1 to 90 ms at 1,400 tokens/s" in said
    assert "TTFT p95 ≤ 500 ms" in said


@every_chart
def test_a_description_of_nothing_says_so(entry: ChartEntry) -> None:
    assert "no level has numbers to draw" in entry.describe(sample([]).levels, LIMITS)


def test_both_palettes_have_the_same_colours() -> None:
    assert PALETTES["light"].keys() == PALETTES["dark"].keys()


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize(
    "colour", ["ink", "faint", "valid", "suspect", "invalid", "limit", *(f"series_{at}" for at in range(SERIES))]
)
def test_text_in_every_colour_has_the_contrast_that_wcag_asks(palette: str, colour: str) -> None:
    light, dark = sorted((_luminance(PALETTES[palette][name]) for name in (colour, "paper")), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("step", range(STEPS))
def test_lines_of_every_step_have_the_contrast_that_wcag_asks_of_graphics(palette: str, step: int) -> None:
    light, dark = sorted((_luminance(PALETTES[palette][name]) for name in (f"step_{step}", "paper")), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize("palette", PALETTES)
def test_steps_get_ever_darker_or_lighter_for_those_who_see_no_hues(palette: str) -> None:
    steps = [_luminance(PALETTES[palette][f"step_{at}"]) for at in range(STEPS)]
    assert steps in (sorted(steps), sorted(steps, reverse=True))


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
