"""A table of results as text."""

from collections.abc import Callable

import pyarrow as pa


def as_table(rows: pa.Table) -> str:
    """In columns, for people."""
    return str(rows.to_pandas().to_string(index=False)) if rows.num_rows else "No rows."


def as_csv(rows: pa.Table) -> str:
    """With a header; what is NULL is empty."""
    return str(rows.to_pandas().to_csv(index=False)).rstrip("\n")


def as_markdown(rows: pa.Table) -> str:
    """A table of GitHub's kind; what is NULL is empty."""
    lines = [rows.column_names, ["---"] * rows.num_columns, *map(list, zip(*_texts(rows), strict=True))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _texts(rows: pa.Table) -> list[list[str]]:
    return [["" if value is None else _cell(value) for value in column.to_pylist()] for column in rows.columns]


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


FORMATS: dict[str, Callable[[pa.Table], str]] = {"table": as_table, "csv": as_csv, "markdown": as_markdown}
