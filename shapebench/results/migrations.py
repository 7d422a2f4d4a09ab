"""The schema of the results file: migrations, views, macros and descriptions, read from sql/."""

import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from string import Template

import yaml

from shapebench.errors import ShapebenchError
from shapebench.results import dictionary
from shapebench.results.dictionary import Connection
from shapebench.spec import metric_definitions

SQL = Path(__file__).parents[2] / "sql"
_MEETS = {
    metric_definitions.LOWER: "<=",
    metric_definitions.HIGHER: ">=",
}  # a value and a limit that it meets


class LaterVersionError(ShapebenchError):
    """The results file was written by a later version."""


def prepare(connection: Connection, path: Path) -> None:
    """Bring a file to this version's schema; raises LaterVersionError where a later version wrote it."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    connection.execute(sql(SQL / "schema_version.sql"))
    known, done = migrations(), applied_migrations(connection)
    if later := done - set(known):
        raise LaterVersionError(
            f"{path} was written by a later version of shapebench: {len(later)} of its migrations are unknown here.",
            "Use that version, or another data folder (--data).",
        )
    for number in sorted(set(known) - done):
        connection.execute(sql(known[number]))
        connection.execute("INSERT INTO raw.migrations VALUES (?, ?, now()::TIMESTAMP)", [number, known[number].stem])
    for statement in (*_in_order(SQL / "views"), *_in_order(SQL / "macros")):
        connection.execute(sql(statement))
    _describe(connection)


def migrations() -> dict[int, Path]:
    """List all migrations by number; those from before raw.migrations existed can be applied twice."""
    return {int(file.name[:3]): file for file in sorted((SQL / "migrations").glob("*.sql"))}


def applied_migrations(connection: Connection) -> set[int]:
    """Return the numbers of the migrations that a file records as applied."""
    tables = "FROM duckdb_tables() WHERE database_name = current_database() AND table_name = 'migrations'"
    if not connection.execute(tables).fetchall():
        return set()
    return {number for (number,) in connection.execute("SELECT number FROM raw.migrations").fetchall()}


def sql(path: Path) -> str:
    """Read the statements in a file, with values of metric_definitions in place of `$metric_columns` and so on."""
    better = metric_definitions.BETTER.items()
    values = {
        "metric_columns": _names(metric_definitions.COLUMNS),
        "higher_is_better": _names(name for name, direction in better if direction == metric_definitions.HIGHER),
        **{f"{name}_meets": _MEETS[direction] for name, direction in better if direction},
    }
    return Template(path.read_text(encoding="utf-8")).substitute(values)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def calls() -> Iterator[tuple[str, str]]:
    """Yield each macro's call, and its description."""
    for file in sorted((SQL / "macros").glob("*.sql")):
        statement = sql(file)
        parameters = re.search(rf"MACRO\s+{file.stem}\s*\(([^)]*)\)", statement)
        named = " ".join(parameters.group(1).split()) if parameters else ""
        yield f"{file.stem}({named})", dictionary.question(statement)


def _in_order(folder: Path) -> Iterator[Path]:
    """Sort the files of views or macros by dependency."""
    files = {file.stem: file for file in sorted(folder.glob("*.sql"))}
    code = {name: re.sub("--.*", "", file.read_text(encoding="utf-8")) for name, file in files.items()}
    words = {name: set(re.findall(r"\w+", text)) for name, text in code.items()}
    needs = {name: (words[name] & set(files)) - {name} for name in files}
    return (files[name] for name in TopologicalSorter(needs).static_order())


def words() -> dict[str, dict[str, str]]:
    """Read the descriptions of tables and columns."""
    content: dict[str, dict[str, str]] = yaml.safe_load((SQL / "dictionary.yaml").read_text(encoding="utf-8"))
    return content


def _describe(connection: Connection) -> None:
    """Write the descriptions of tables, views and columns into the file."""
    questions = {file.stem: dictionary.question(sql(file)) for file in (SQL / "views").glob("*.sql")}
    columns = [row[:3] for row in connection.execute(dictionary.COLUMNS).fetchall()]
    connection.execute(";".join(dictionary.comments(words(), questions, columns)))
