"""How many tokens has a text, by each form of /tokenize that servers have, and by a tokenizer's file?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shapebench.apis.api import Json
from shapebench.probe.token_counters import TokenizerFileError, file_counter, server_counter


def words(text: object) -> list[int]:
    return list(range(len(str(text).split())))


# What each server answers, by the path and the JSON that came; TGI adds a special token.
SERVERS: dict[str, Callable[[str, Json], object]] = {
    "vLLM": lambda _path, body: {"count": len(words(body["prompt"]))} if "prompt" in body else None,
    "llama.cpp": lambda _path, body: {"tokens": words(body.get("content", ""))},
    "TGI": lambda _path, body: [{"id": n} for n in [*words(body["inputs"]), -1]] if "inputs" in body else None,
    "llama-cpp-python": lambda path, body: {"count": len(words(body["input"]))} if path.endswith("count") else None,
    "LiteLLM": lambda path, body: {"total_tokens": len(words(body["prompt"]))} if "utils" in path else None,
}


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_s_form_counts_a_text_without_special_tokens(server: str) -> None:
    count = server_counter(SERVERS[server], "m")
    assert count
    assert count("one two three") == 3


@pytest.mark.parametrize("hint", [{"tokenizer_type": "openai_tokenizer"}, {"count_source": "local_estimate"}])
def test_a_count_by_another_models_tokenizer_is_none(hint: Json) -> None:
    """LiteLLM 1.106 answers so for a model of vLLM (`tests/contract/recorded`)."""
    answers = SERVERS["LiteLLM"]
    assert server_counter(lambda path, body: (said := answers(path, body)) and {**said, **hint}, "m") is None


def test_a_server_without_such_a_route_counts_nothing() -> None:
    assert server_counter(lambda _path, _body: None, "m") is None


@pytest.mark.parametrize("answer", ["tokens", {"count": "3"}, {"tokens": [1]}, [], {}])
def test_an_answer_that_says_the_same_of_every_text_is_no_count(answer: object) -> None:
    assert server_counter(lambda _path, _body: answer, "m") is None


TOKENIZER = {
    "version": "1.0",
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"one": 0, "two": 1, "?": 2}, "unk_token": "?"},
}


@pytest.mark.parametrize("folder", [False, True])
def test_the_file_of_a_tokenizer_counts_or_the_folder_that_has_it(tmp_path: Path, folder: bool) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(TOKENIZER))
    assert file_counter(tmp_path if folder else file)("one two three two") == 4


def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerFileError) as raised:
        file_counter(tmp_path)
    assert str(tmp_path) in raised.value.problem
    assert raised.value.remedy
