"""What the results file's tables, views, macros and columns mean: as COMMENTs in it, and as a page."""

import re
from collections.abc import Iterator
from typing import Any, Protocol

from shapebench.spec import metric_definitions
from shapebench.support.wording import quoted

COLUMNS = """
    SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns()
    WHERE database_name = current_database() AND NOT internal ORDER BY schema_name, table_name, column_index
"""
RELATIONS = """
    SELECT schema_name, table_name AS name, comment FROM duckdb_tables()
    WHERE database_name = current_database() AND NOT internal
    UNION ALL
    SELECT schema_name, view_name, comment FROM duckdb_views()
    WHERE database_name = current_database() AND NOT internal
    ORDER BY ALL
"""
HEAD = """\
# Data dictionary

Written by `make docs` from a results file itself: what is here is what `duckdb_columns()` says in it. Times are
seconds, moments are UTC. Views are for people; what is in the schema `raw` is what they are made of. Macros are called
like tables: `FROM cost(2.0)`.
"""


class Connection(Protocol):
    """What is needed of one to a results file."""

    def execute(self, query: str, parameters: Any = ..., /) -> Any: ...


def comments(content: dict[str, Any], questions: dict[str, str], columns: list[tuple[str, ...]]) -> Iterator[str]:
    """The statements that describe a file whose columns are (schema, table, column), where there are words for them.

    `content` is that of sql/dictionary.yaml, `questions` are those at the heads of views.
    """
    tables = {(schema, table) for schema, table, _ in columns}
    for schema, table in sorted(tables):
        kind, words = ("VIEW", questions) if schema == "main" else ("TABLE", content["tables"])
        yield f"COMMENT ON {kind} {schema}.{table} IS {_text(words.get(table))}"
    known = content["columns"] | dict(_of_metrics())
    for schema, table, column in columns:
        yield f"COMMENT ON COLUMN {schema}.{table}.{column} IS {_text(_words(known, schema, table, column))}"


def question(sql: str) -> str:
    """What stands at the head of a view's file."""
    head = re.match(r"(?:--[^\n]*\n)+", sql)
    return " ".join(line.removeprefix("--").strip() for line in head.group().splitlines()) if head else ""


def _words(columns: dict[str, str], schema: str, table: str, column: str) -> str | None:
    names = (f"{schema}.{table}.{column}", f"{table}.{column}", column)
    return next((columns[name] for name in names if name in columns), None)


def _of_metrics() -> Iterator[tuple[str, str]]:
    for m in metric_definitions.TOTALS:
        yield m.name, f"{m.label} ({m.unit})."
    for of_each in metric_definitions.DISTRIBUTIONS:
        for stat in metric_definitions.STATS:
            yield metric_definitions.column_name(of_each.name, stat), f"{of_each.label} ({of_each.unit}), {stat}."


def _text(words: str | None) -> str:
    return "NULL" if words is None else quoted(words)


def page(connection: Connection, macros: dict[str, str]) -> str:
    """The whole page, in Markdown, from the comments that the file holds; `macros` are their calls and questions."""
    columns = connection.execute(COLUMNS).fetchall()
    lines = [HEAD]
    for schema, table, comment in connection.execute(RELATIONS).fetchall():
        lines += [
            f"## {table if schema == 'main' else f'{schema}.{table}'}",
            "",
            comment,
            "",
            "| column | type | |",
            "|---|---|---|",
        ]
        lines += [f"| `{c}` | {kind} | {words} |" for s, t, c, kind, words in columns if (s, t) == (schema, table)]
        lines.append("")
    lines += ["## Macros", "", "| call | answers |", "|---|---|"]
    lines += [f"| `{call}` | {words} |" for call, words in macros.items()]
    return "\n".join([*lines, ""])
