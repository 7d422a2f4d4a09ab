"""Which columns the table of levels has."""

import pandas as pd
import pytest

from shapebench.report.pages.columns import COLUMNS, REASONING_COLUMNS, level_columns


@pytest.mark.parametrize("most", [[None, None], [0, 0]])
def test_without_reasoning_there_are_no_columns_about_it(most: list[float | None]) -> None:
    assert level_columns(pd.DataFrame({"reasoning_tokens_max": most}, dtype=float)) == COLUMNS


def test_with_reasoning_at_a_level_both_clocks_are_shown() -> None:
    levels = pd.DataFrame({"reasoning_tokens_max": [0, 40]}, dtype=float)
    assert level_columns(levels) == (*COLUMNS, *REASONING_COLUMNS)
    assert "time_to_first_answer_s_p95" in {column.source for column in level_columns(levels)}
