"""What tests of pages share."""

from collections.abc import Iterator

import pytest

from tests.blank_pictures import blank_pictures


@pytest.fixture
def blank() -> Iterator[None]:
    """Pages have blank pictures."""
    with blank_pictures():
        yield
