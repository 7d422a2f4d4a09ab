"""Entry point that writes docs/data-dictionary.md: `python -m shapebench.results.make_dictionary`."""

from pathlib import Path

from shapebench.results import database

PAGE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"

if __name__ == "__main__":
    PAGE.write_text(database.data_dictionary(), encoding="utf-8")
