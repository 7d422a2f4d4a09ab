"""Text to tokens."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.test_servers.simulator.tokenizer import chat_pieces, pieces, token_ids

WORD = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=12)


def test_hello_world_has_the_counts_of_the_recorded_server() -> None:
    assert len(pieces("Hello, world")) == 5
    assert len(chat_pieces([{"role": "user", "content": "Hello, world"}])) == 15


@pytest.mark.parametrize(
    ("text", "count"), [(" the", 1), ("the", 1), (" people", 2), (" 2026", 2), ("", 0), ("\n\n", 2)]
)
def test_short_words_are_one_token_and_longer_ones_several(text: str, count: int) -> None:
    assert len(pieces(text)) == count


@given(st.text())
def test_no_text_is_lost(text: str) -> None:
    assert "".join(map(str, pieces(text))) == text


@given(WORD, WORD)
def test_a_word_is_cut_the_same_whatever_is_before_it(before: str, word: str) -> None:
    assert pieces(f"{before} {word}") == pieces(before) + pieces(f" {word}")


def test_ids_are_the_same_in_another_process() -> None:
    code = "from shapebench.test_servers.simulator.tokenizer import *; print(token_ids(pieces('Hello, world')))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(token_ids(pieces("Hello, world")))


def test_a_prompt_given_as_ids_keeps_them() -> None:
    assert token_ids([5, 7]) == [5, 7]


def test_text_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "Hello,"}, {"type": "text", "text": " world"}]
    assert chat_pieces([{"role": "user", "content": parts}]) == chat_pieces(
        [{"role": "user", "content": "Hello, world"}]
    )
