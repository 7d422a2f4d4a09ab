"""Milestones: a line each, and the facts in it for programs."""

import logging

import pytest

from shapebench.support.run_log import milestone


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shapebench")


def test_it_is_a_line_of_its_stage(caplog: pytest.LogCaptureFixture) -> None:
    milestone("measure", "concurrency {n}: {wall_s:.1f} s", n=4, wall_s=12.34)
    [record] = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (
        "shapebench.measure",
        "INFO",
        "measure: concurrency 4: 12.3 s",
    )


def test_its_facts_are_in_the_record(caplog: pytest.LogCaptureFixture) -> None:
    milestone("measure", "concurrency {n}", n=4, wall_s=12.34)
    [record] = caplog.records
    assert (record.__dict__["stage"], record.__dict__["facts"]) == ("measure", {"n": 4, "wall_s": 12.34})


def test_a_warning_is_one(caplog: pytest.LogCaptureFixture) -> None:
    milestone("tell", "nobody heard {it}", logging.WARNING, it="it")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("hostile", ["a\nERROR b", "a\x1b[2Jb", "%s %d {n}", "a\r\n\r\nb"])
def test_text_of_a_server_begins_no_line_and_means_nothing(hostile: str, caplog: pytest.LogCaptureFixture) -> None:
    milestone("begin", "model {model}", model=hostile)
    [record] = caplog.records
    assert record.getMessage().isprintable()
