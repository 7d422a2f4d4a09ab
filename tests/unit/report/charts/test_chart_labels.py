"""Where labels stand."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.report.charts.labels import ABOVE, BELOW, NEAR, Frame, Place, place_labels

POINTS = st.lists(st.tuples(st.floats(0, 240), st.floats(0, 300)), min_size=1, max_size=12)


@given(POINTS, st.sampled_from([ABOVE, BELOW, NEAR]))
def test_labels_never_lie_on_each_other_or_outside(points: list[tuple[float, float]], prefer: list[Place]) -> None:
    texts = [str(2**at) for at in range(len(points))]
    where = place_labels(points, texts, prefer)
    boxes = [place.box(*point, text) for place, point, text in zip(where, points, texts, strict=True) if place]
    assert not [
        (a, b) for a, b in combinations(boxes, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert all(box[0] >= 0 and box[1] >= 0 and box[3] <= 300 for box in boxes)


def test_a_label_that_is_alone_stands_where_it_is_preferred() -> None:
    assert place_labels([(100, 100)], ["8"], ABOVE) == [ABOVE[0]]


def test_a_label_makes_way_for_other_text() -> None:
    (moved,) = place_labels([(100, 100)], ["8"], ABOVE, [(100, 80, 160, 98)])
    assert moved not in (None, ABOVE[0])


def test_a_label_without_room_is_left_out() -> None:
    assert place_labels([(100, 100)], ["8"], ABOVE, [(0, 0, 240, 300)]) == [None]


def test_half_of_a_linear_axis_is_its_middle() -> None:
    assert Frame(x=(0, 10), y=(0, 10)).position(5, 5) == (120, 150)


def test_a_tenfold_is_as_far_as_the_next_on_a_logarithmic_axis() -> None:
    _, y = Frame(x=(0, 10), y=(1, 10_000), y_scale="log").position(5, 10)
    assert y == pytest.approx(225)
