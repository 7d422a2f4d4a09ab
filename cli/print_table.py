"""Tables of results as text."""

from collections.abc import Callable

import pyarrow as pa


def format_table(rows: pa.Table) -> str:
    """Format in aligned columns."""
    return str(rows.to_pandas().to_string(index=False)) if rows.num_rows else "No rows."


def format_csv(rows: pa.Table) -> str:
    """Format as CSV with a header; NULL is empty."""
    return str(rows.to_pandas().to_csv(index=False)).rstrip("\n")


def format_markdown(rows: pa.Table) -> str:
    """Format as a GitHub table; NULL is empty."""
    lines = [rows.column_names, ["---"] * rows.num_columns, *map(list, zip(*_texts(rows), strict=True))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _texts(rows: pa.Table) -> list[list[str]]:
    return [["" if value is None else _cell(value) for value in column.to_pylist()] for column in rows.columns]


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


FORMATS: dict[str, Callable[[pa.Table], str]] = {"table": format_table, "csv": format_csv, "markdown": format_markdown}
