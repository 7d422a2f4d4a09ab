"""Prompts with a given number of tokens, built from words whose token counts are known."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

MIN_WORDS = 8  # enough words for prompts never to repeat


def candidate_words() -> tuple[str, ...]:
    """Return short common English words, which most tokenizers encode as one token each."""
    return tuple(files("shapebench").joinpath("runs", "prompt_words.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class PromptSizing:
    """The number of words that make a prompt of a given number of tokens on one server."""

    words: tuple[str, ...]
    fixed_tokens: int = 0  # what the chat template and the opening word add
    tokens_per_word: float = 1.0
    exact: bool = False  # every word is one token: the server's own tokenizer said so

    @property
    def min_tokens(self) -> int:
        return self.fixed_tokens + round(MIN_WORDS * self.tokens_per_word)

    def prompt(self, tokens: int, rng: random.Random) -> str:
        """Build a prompt of `tokens` tokens as the server counts them, or of the minimum that keeps it unique."""
        count = max(MIN_WORDS, round((tokens - self.fixed_tokens) / self.tokens_per_word))
        # The first word stands without a space before it and may cost another number of tokens: it never varies.
        return " ".join([self.words[0], *rng.choices(self.words, k=count)])


def single_token_words(words: tuple[str, ...], count: Callable[[str], int]) -> tuple[str, ...]:
    """Select the words that are one token after a space; `count` is the server's tokenizer, without special tokens."""
    if not words or count("".join(f" {word}" for word in words)) == len(words):
        return words
    if len(words) == 1:
        return ()
    half = len(words) // 2
    return single_token_words(words[:half], count) + single_token_words(words[half:], count)
