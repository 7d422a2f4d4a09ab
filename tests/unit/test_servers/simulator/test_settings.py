"""Words that change a preset or ask for faults."""

from dataclasses import fields, replace

import pytest
from click.testing import CliRunner

from cli.main import cli
from shapebench.errors import ShapebenchError
from shapebench.test_servers.simulator.faults import HONEST, Faults, Picks, parse_faults
from shapebench.test_servers.simulator.presets import PRESETS, Preset, with_settings

FAST = PRESETS["fast"]


def test_words_become_faults_of_the_types_they_have() -> None:
    assert parse_faults(["refused=0.1", "short_tokens=5"]) == Faults(refused=0.1, short_tokens=5)


def test_without_words_nothing_is_wrong() -> None:
    assert parse_faults([]) == HONEST
    assert not any(getattr(HONEST, field.name) for field in fields(Faults))


def test_the_last_word_of_a_name_counts() -> None:
    assert parse_faults(["bunched=2", "bunched=4"]).bunched == 4


def test_all_that_is_wrong_with_the_words_is_said_at_once() -> None:
    with pytest.raises(ShapebenchError) as raised:
        parse_faults(["refused", "rude=1", "merged=2", "bunched=half", "zero_usage=0.5"])
    assert [problem.split(":")[0] for problem in raised.value.problem.split("; ")] == [
        "'refused' is not NAME=VALUE",
        "There is no fault 'rude'",
        "merged cannot be '2'",
        "bunched cannot be 'half'",
    ]


def test_the_names_there_are_stand_in_the_remedy() -> None:
    with pytest.raises(ShapebenchError) as raised:
        parse_faults(["rude=1"])
    assert all(field.name in raised.value.remedy for field in fields(Faults))


@pytest.mark.parametrize(
    "word", ["refused=1.1", "refused=-0.1", "refused=nan", "short_tokens=-1", "short_tokens=1.5", "drift_s_per_s=inf"]
)
def test_a_value_that_no_fault_has_is_refused(word: str) -> None:
    with pytest.raises(ShapebenchError, match="cannot be"):
        parse_faults([word])


def test_faults_read_as_the_words_that_ask_for_them() -> None:
    assert str(Faults(refused=0.1, bunched=4)) == "refused=0.1 bunched=4"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5, 0.99, 1.0])
def test_a_share_is_exact(share: float) -> None:
    picks = Picks(share)
    assert sum(picks() for _ in range(300)) == round(300 * share)


def test_a_share_is_spread_evenly() -> None:
    picks = Picks(0.1)
    assert [index for index in range(1, 31) if picks()] == [10, 20, 30]


def test_one_that_may_not_be_picked_leaves_its_turn_to_the_next() -> None:
    picks = Picks(0.5)
    assert [picks(may) for may in (True, False, True, True)] == [False, False, True, True]


def test_settings_change_fields_of_a_preset() -> None:
    changed = with_settings(FAST, ["kv_capacity_tokens=5000", "base_s=0.5", "adds_bos=true", "model=other"])
    assert (changed.kv_capacity_tokens, changed.base_s, changed.adds_bos, changed.model) == (5000, 0.5, True, "other")
    assert changed.max_model_len == FAST.max_model_len


def test_settings_that_cannot_be_are_refused_with_the_names_there_are() -> None:
    with pytest.raises(ShapebenchError) as raised:
        with_settings(FAST, ["speed=3", "max_num_seqs=0", "base_s=slow"])
    assert len(raised.value.problem.split("; ")) == 3
    assert all(field.name in raised.value.remedy for field in fields(Preset))


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ShapebenchError, match="cannot hold one request"):
        with_settings(FAST, ["kv_capacity_tokens=100"])


def test_simulate_passes_on_faults_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[object] = []
    monkeypatch.setattr("cli.commands.simulate.serve", lambda preset, **rest: served.extend([preset, rest]))
    words = ["--fault", "refused=0.1", "--fault", "bunched=4", "--set", "max_num_seqs=8"]
    assert CliRunner().invoke(cli, ["simulate", "--preset", "fast", *words]).exit_code == 0
    faults = Faults(refused=0.1, bunched=4)
    assert served == [replace(FAST, max_num_seqs=8), {"port": 8000, "log": None, "api_key": None, "faults": faults}]


@pytest.mark.parametrize("option", ["--fault", "--set"])
def test_simulate_takes_words_that_it_does_not_know_for_wrong_usage(option: str) -> None:
    done = CliRunner().invoke(cli, ["simulate", option, "rude=1"])
    assert done.exit_code == 2
    assert "'rude'" in done.output
    assert "the names are" in done.output
