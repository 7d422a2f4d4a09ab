"""Waits that tests shorten."""

import subprocess
import sys

from shapebench.support.timing import Timing, environment, set_testing, timing

SHOW = "from shapebench.support.timing import timing; print(timing().lease_look_s)"


def test_without_the_variable_all_waits_are_those_of_production() -> None:
    assert timing() == Timing()


def test_a_block_and_the_processes_that_it_starts_have_shorter_waits() -> None:
    with set_testing(lease_look_s=0.5):
        told = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout
        assert (timing().lease_look_s, told) == (0.5, "0.5\n")
    assert timing() == Timing()


def test_blocks_may_lie_in_each_other() -> None:
    with set_testing(lease_look_s=1.0):
        with set_testing(lease_look_s=0.5):
            pass
        assert timing().lease_look_s == 1.0


def test_the_variable_names_what_differs() -> None:
    assert environment(stop_grace_s=1) == {"SHAPEBENCH_TIMING": '{"stop_grace_s": 1}'}
