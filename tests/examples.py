"""How many examples the property tests try: some in `make test`, all in `make test-all`."""

import os
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

EVERYTHING = os.environ.get("TESTS") == "all"
THINNED = 5

settings.register_profile("all", deadline=None)
settings.register_profile("some", deadline=None, max_examples=100 // THINNED)


def examples(number: int) -> int:
    """Return the number of examples to try, of so many in `make test-all`."""
    return number if EVERYTHING else max(number // THINNED, 10)


def nightly_but(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Return parameters of which `make test` tries the quick ones only."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.nightly) for value in values]
