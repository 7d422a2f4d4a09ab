"""Whatever mix of oddities a server has: a number of an answer is right, or withheld with a reason, never wrong."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shapebench.apis.chunk_interning import ChunkInterner
from shapebench.apis.reading import TokenSource
from shapebench.apis.target import PlannedRequest, Target
from shapebench.load.http_connection import Answer
from shapebench.load.sample_writer import COUNT_TEXTS, make_sample, read_answer
from shapebench.runs.samples_file import Sample
from shapebench.test_servers.odd import errors
from shapebench.test_servers.odd.answers import TokenTimes, Written, events, token_times, write
from shapebench.test_servers.odd.asked import Asked
from shapebench.test_servers.odd.oddities import Oddities, Timing
from tests.examples import examples

SENT_NS = 1_700_000_000_000_000_000
TIMING = Timing()
PROMPT_TOKENS = 10
NEAR_S = 1e-6  # times are rounded to ns
# Those of an answer; the others are of requests that are refused, and of routes.
SWITCHES = [field.name for field in fields(Oddities)]
SWITCHES = SWITCHES[: SWITCHES.index("limited_requests")]
UNTOLD = ("finish_reason", "cut", "early_end")  # errors without words
COUNTLESS = ("zero", "null_completion_tokens", "no_completion_tokens", "anthropic")  # usage without a count


def values(hint: Any) -> st.SearchStrategy[Any]:
    """What a switch can be set to."""
    hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return st.lists(st.sampled_from(get_args(get_args(hint)[0])), unique=True, min_size=1, max_size=3).map(tuple)
    if hint in (bool, int, str):
        return {bool: st.just(True), int: st.integers(1, 6), str: st.sampled_from(("stop", "eos", ""))}[hint]
    return st.sampled_from(get_args(hint))


HINTS = get_type_hints(Oddities, include_extras=True)
MIXES = st.lists(st.sampled_from(SWITCHES), unique=True, max_size=6).flatmap(
    lambda names: st.builds(Oddities, **{name: values(HINTS[name]) for name in names})
)
SINGLE = [
    pytest.param(Oddities(**{name: value}), id=f"{name}={value}")
    for name in SWITCHES
    for value in (
        [(one,) for one in get_args(get_args(get_args(HINTS[name])[0])[0])]
        if get_origin(get_args(HINTS[name])[0]) is tuple
        else {bool: (True,), int: (2, 5), str: ("stop",)}.get(
            get_args(HINTS[name])[0], get_args(get_args(HINTS[name])[0])
        )
    )
]


@dataclass(frozen=True)
class Case:
    """An answer, what was made of it, and the truth about it."""

    oddities: Oddities
    written: Written
    made: Sample
    times: TokenTimes[float]
    text: str

    @property
    def tokens(self) -> int:
        return self.written.output_tokens

    @property
    def came_s(self) -> list[float]:
        """When each token came, by the sample."""
        pairs = zip(self.made.chunk_offsets_s, self.made.chunk_tokens, strict=True)
        return [at_s for at_s, count in pairs for _ in range(count)]

    @property
    def texts_are_alike(self) -> bool:
        """True if each token has the same text, so that its share of the text is that of the tokens."""
        odd = self.oddities
        return odd.texts == "plain" and not odd.half_characters and odd.reasoning != "hidden"

    @property
    def near_enough(self) -> bool:
        """True if each token came with its own chunk, with one next to it, or within the time of two tokens."""
        sent_s = sorted({*self.times.tokens, *self.made.chunk_offsets_s})
        return all(
            abs(sent_s.index(came_s) - sent_s.index(true_s)) <= 1 or abs(came_s - true_s) <= 2 * TIMING.gap_s
            for came_s, true_s in zip(self.came_s, self.times.tokens, strict=True)
        )


def case(oddities: Oddities, asked: Asked, source: TokenSource = "usage") -> Case:
    written = write(oddities, asked, TIMING)
    alike = ChunkInterner()
    answer = Answer(
        SENT_NS,
        status=200,
        received=[data if source in COUNT_TEXTS else alike.intern(data) for _, data in written.pieces],
        arrivals_ns=array("q", [SENT_NS + round(1e9 * at_s) for at_s in written.at_s]),
        lengths=array("i", [len(data) for _, data in written.pieces]),
        ended_ns=SENT_NS + round(1e9 * (written.at_s[-1] if written.pieces else 1)),
        fault=("reset", "the server closed the connection") if written.cut else None,
    )
    target = Target("http://h", "m", "chat" if asked.chat else "completions", token_source=source)
    planned = PlannedRequest(0, warmup=False, prompt="a", input_tokens=PROMPT_TOKENS, output_tokens=asked.output_tokens)
    reading, fault = read_answer(target, answer)
    made = make_sample(planned, 0, answer, reading, fault)
    return Case(oddities, written, made, token_times(written, written.at_s), reading.text)


def wrong(oddities: Oddities, asked: Asked, source: TokenSource = "usage") -> Iterator[str]:
    """Name each number that is wrong, and not withheld."""
    found = case(oddities, asked, source)
    if found.written.error:
        yield from wrongly_failed(oddities, asked, found)
    elif found.made.error_kind is None:
        yield from wrong_counts(found)
        yield from wrong_times(found)
        if not makes_up(oddities, asked):
            yield from wrong_reasoning(oddities, found)
            yield from wrong_tokens(found)
    elif found.made.error_kind not in reasons(oddities):
        yield f"a whole answer is taken for an error: {found.made.error_kind} {found.made.error_message}"


def wrong_counts(found: Case) -> Iterator[str]:
    made = found.made
    counts, source = made.token_counts, made.token_source
    if made.input_tokens not in (PROMPT_TOKENS, None):
        yield f"{made.input_tokens} input tokens"
    if source == "usage" and made.output_tokens != found.tokens:
        yield f"{made.output_tokens} output tokens, not {found.tokens}"
    if counts != "unknown" and made.seen_tokens != made.output_tokens:
        yield f"chunks have {made.seen_tokens} tokens, not {made.output_tokens}"
    if counts == "apportioned" and not made.unaccounted_tokens:
        yield "tokens are apportioned, and the level does not say so"


def wrong_times(found: Case) -> Iterator[str]:
    made, times = found.made, found.times
    if not near(made.chunk_offsets_s[0], times.first_token, times.first_text):
        yield f"TTFT is {made.chunk_offsets_s[0]}, not {times.first_token}"
    if found.written.reasoning_tokens and not hidden(found) and not near(made.first_answer_s, *first_answers(found)):
        yield f"the answer begins at {made.first_answer_s}, not {found.times.first_answer}"


def wrong_tokens(found: Case) -> Iterator[str]:
    made, times, counts = found.made, found.times, found.made.token_counts
    if not near(made.chunk_offsets_s[-1], times.tokens[-1]):
        yield f"E2E is {made.chunk_offsets_s[-1]}, not {times.tokens[-1]}"
    if counts == "counted" and not all(map(near, found.came_s, times.tokens)):
        yield f"tokens came at {found.came_s}, not {times.tokens}"
    if counts == "apportioned" and found.texts_are_alike and not found.near_enough:
        yield f"tokens are apportioned to {found.came_s}, not {times.tokens}"


def wrong_reasoning(oddities: Oddities, found: Case) -> Iterator[str]:
    made, true, counts = found.made, found.written.reasoning_tokens, found.made.token_counts
    said = oddities.reasoning_count == "true" and oddities.usage_place != "nowhere"
    if (said or counts == "counted") and made.reasoning_tokens not in (true, None):
        yield f"{made.reasoning_tokens} reasoning tokens, not {true}"


def reasons(oddities: Oddities) -> Iterator[str]:
    """Name what the numbers of a whole answer may be withheld for."""
    runs_behind = oddities.usage_in_chunks != "none" and oddities.usage_place == "last_text"
    if oddities.usage_place == "nowhere" or oddities.usage_values in (*COUNTLESS, "as_text") or runs_behind:
        yield "no_usage"
    if oddities.usage_values == "as_text":
        yield "malformed"
    if oddities.no_done and (oddities.finish == "missing" or not oddities.finish_reason):
        yield "incomplete"


def wrongly_failed(oddities: Oddities, asked: Asked, found: Case) -> Iterator[str]:
    form, made = errors.form_of(oddities, asked), found.made
    if made.error_kind is None:
        yield "an error is taken for an answer"
    elif form not in UNTOLD and found.written.error not in (made.error_message or ""):
        yield f"the server's words are lost: {made.error_kind} {made.error_message}"
    elif form not in UNTOLD and made.error_kind not in ("stream_error", "incomplete"):
        yield f"an error is called {made.error_kind}"


def near(at_s: float | None, *others: float | None) -> bool:
    if at_s is None:
        return None in others
    return any(other is not None and abs(at_s - other) < NEAR_S for other in others)


def hidden(found: Case) -> int:
    """Count the tokens that were not sent."""
    return sum(event.hidden for _, event in found.written.carriers)


def first_answers(found: Case) -> tuple[float | None, float | None]:
    """When the answer begins: its first token, or its first text."""
    carriers = [(found.written.at_s[at], event) for at, event in found.written.carriers if not event.reasoning]
    return next((at_s for at_s, _ in carriers), None), next((at_s for at_s, event in carriers if event.text), None)


def makes_up(oddities: Oddities, asked: Asked) -> bool:
    """Check whether empty chunks happen to make up for chunks of several tokens, which no client can tell.

    Nor can it if usage grows only with those chunks that have a text, and the others hold tokens, too; nor which of the
    empty chunks are halves of characters, where others are nothing.
    """
    if oddities.half_characters and (
        oddities.empty_chunks_between or oddities.usage_in_chunks in ("every_other", "lagging")
    ):
        return True
    sent = [event for event in events(oddities, asked, TIMING) if event.part in ("text", "empty", "finish")]
    one_each = all(event.completes == 1 for event in sent if event.part == "text")
    tokens = sum(event.completes for event in sent)
    fewest, most = sum(bool(event.text) for event in sent), len(sent)
    return not one_each and fewest <= tokens <= most


ASKED = st.builds(
    Asked,
    chat=st.sampled_from([True, True, False]),
    output_tokens=st.integers(1, 40),
    prompt_tokens=st.just(PROMPT_TOKENS),
    ignore_eos=st.booleans(),
    may_think=st.booleans(),
)


FEW = Asked(output_tokens=2, prompt_tokens=PROMPT_TOKENS)


# The same examples each time: a mix that no client can tell apart should not fail by chance.
@settings(deadline=None, max_examples=examples(1000), suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@example(Oddities(half_characters=True, thinks_unless_disabled=True, leading_empty_chunks=1), FEW, "usage")
@example(Oddities(half_characters=True, usage_place="last_text"), FEW, "usage")
@example(Oddities(usage_place="nowhere", usage_in_chunks="lagging"), FEW, "usage")
@example(Oddities(empty_chunks_between=True, usage_values="zero"), FEW, "chunks")
@example(Oddities(leading_empty_chunks=2, tokens_per_chunk=2), replace(FEW, output_tokens=4), "usage")
@example(Oddities(error="without_data", after_error="usage_and_done"), FEW, "usage")
@example(Oddities(error="in_choice", after_error="usage_and_done"), FEW, "usage")
@example(
    Oddities(tokens_per_chunk=4, second_choice=True, first_token_alone=True, leading_empty_chunks=1),
    replace(FEW, output_tokens=5),
    "usage",
)
@given(MIXES, ASKED, st.sampled_from(["usage", "usage", "chunks"]))
def test_whatever_the_mix_a_number_is_right_or_withheld(oddities: Oddities, asked: Asked, source: TokenSource) -> None:
    assert [*wrong(oddities, asked, source)] == []


@settings(deadline=None, max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(MIXES, ASKED)
def test_whatever_the_mix_the_text_can_be_counted_by_a_tokenizer(oddities: Oddities, asked: Asked) -> None:
    found = case(replace(oddities, error="none", ignore_eos_breaks=False), asked, "tokenize")
    text = "".join(event.text for _, event in found.written.carriers)
    assert found.text == text


@pytest.mark.parametrize("oddities", SINGLE)
@pytest.mark.parametrize("chat", [True, False], ids=["chat", "completions"])
def test_each_oddity_by_itself_gives_right_numbers(oddities: Oddities, chat: bool) -> None:
    assert [*wrong(oddities, Asked(chat=chat, prompt_tokens=PROMPT_TOKENS))] == []
