"""Requests with the wanted token counts, and prompts that never repeat."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

LEAST_WORDS = 8  # enough words for prompts never to repeat


def candidate_words() -> tuple[str, ...]:
    """Short common English words, of which most tokenizers make one token each."""
    return tuple(files("shapebench").joinpath("load", "prompt_words.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Sizing:
    """How many words make a prompt of a wanted number of tokens on one server."""

    words: tuple[str, ...]
    fixed_tokens: int = 0  # what the chat template and the opening word add
    tokens_per_word: float = 1.0
    exact: bool = False  # every word is one token: the server's own tokenizer said so

    @property
    def least_tokens(self) -> int:
        return self.fixed_tokens + round(LEAST_WORDS * self.tokens_per_word)

    def prompt(self, tokens: int, rng: random.Random) -> str:
        """A prompt of `tokens` tokens as the server counts them, or of the fewest that keep it unique."""
        count = max(LEAST_WORDS, round((tokens - self.fixed_tokens) / self.tokens_per_word))
        # The first word stands without a space before it and may cost another number of tokens: it never varies.
        return " ".join([self.words[0], *rng.choices(self.words, k=count)])


def single_token_words(words: tuple[str, ...], count: Callable[[str], int]) -> tuple[str, ...]:
    """Those words that are one token each after a space; `count` is the server's tokenizer, without special tokens."""
    if not words or count("".join(f" {word}" for word in words)) == len(words):
        return words
    if len(words) == 1:
        return ()
    half = len(words) // 2
    return single_token_words(words[:half], count) + single_token_words(words[half:], count)


@dataclass(frozen=True)
class Lengths:
    """A normal distribution of token counts, cut at four standard deviations and at 1."""

    mean: float
    stddev: float

    @property
    def least(self) -> int:
        return max(1, round(self.mean - 4 * self.stddev))

    @property
    def most(self) -> int:
        return max(1, round(self.mean + 4 * self.stddev))

    def draw(self, rng: random.Random) -> int:
        return min(self.most, max(self.least, round(rng.gauss(self.mean, self.stddev))))


@dataclass(frozen=True)
class Ask:
    """One request as planned."""

    index: int
    warmup: bool
    prompt: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Mix:
    """What the requests of a level look like."""

    sizing: Sizing
    input_tokens: Lengths
    output_tokens: Lengths
    seed: int

    def ask(self, index: int, concurrency: int, *, warmup: int) -> Ask:
        """The request of that index at a level, the first `warmup` of which are not measured.

        The same seed gives the same requests, whoever sends them and in whatever order.
        """
        rng = random.Random(f"{self.seed}/{concurrency}/{index}")
        input_tokens = max(self.sizing.least_tokens, self.input_tokens.draw(rng))
        output_tokens = self.output_tokens.draw(rng)
        if index < min(warmup, concurrency):
            # Streams that all start at once would answer in step for long. Ending their first requests at
            # random moments spreads them as a server in steady state finds them.
            output_tokens = rng.randint(1, output_tokens)
        return Ask(index, index < warmup, self.sizing.prompt(input_tokens, rng), input_tokens, output_tokens)
