"""The truth about what was sent, a line of the reference server's log with more fields."""

from collections.abc import Sequence
from dataclasses import dataclass

from shapebench.test_servers.odd.answers import Written, token_times
from shapebench.test_servers.odd.asked import Asked
from shapebench.test_servers.odd.events import answer_id
from shapebench.test_servers.reference.truth import Truth


@dataclass(frozen=True, slots=True)
class OddTruth(Truth):
    """One request for tokens; `sent_ns` has the send that completed the text of each token."""

    first_token_ns: int | None  # a chunk with a token, or with a part of one
    first_text_ns: int | None  # a chunk with text
    first_answer_ns: int | None  # a chunk with a token that is no reasoning
    reasoning_tokens: int
    error: str | None


def truth_of(asked: Asked, written: Written, received_ns: int, sent_ns: Sequence[int]) -> OddTruth:
    """Describe an answer, of which so many pieces were sent."""
    times = token_times(written, sent_ns)
    return OddTruth(
        request_id=answer_id(asked),
        received_ns=received_ns,
        sent_ns=times.tokens,
        prompt_tokens=asked.prompt_tokens,
        output_tokens=len(times.tokens),
        first_token_ns=times.first_token,
        first_text_ns=times.first_text,
        first_answer_ns=times.first_answer,
        reasoning_tokens=written.reasoning_tokens,
        error=written.error,
    )
