"""Saturation of a run's throughput, fitted to its levels when they are loaded."""

from shapebench.analysis.scaling.run_curve import run_growth
from shapebench.results.dictionary import Connection


def store(connection: Connection, run_id: str) -> None:
    """Fit a run's levels in the file, and replace an earlier result."""
    connection.execute("DELETE FROM raw.saturation WHERE run_id = ?", [run_id])
    scaling, levels = (
        connection.execute(f"FROM {view} WHERE run_id = ?", [run_id]).df() for view in ("scaling", "level_summary")
    )
    growth = run_growth(scaling, levels)
    if growth is not None:
        low, high = growth.interval or (None, None)
        row = [run_id, growth.knee, low, high, growth.uncertain]
        connection.execute("INSERT INTO raw.saturation VALUES (?, ?, ?, ?, ?)", row)
