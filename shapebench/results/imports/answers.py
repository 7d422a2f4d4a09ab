"""Single requests as another tool recorded them, and metrics computed from them by our definitions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shapebench.results.imports.json_model import ImportFileError
from shapebench.results.imports.numbers import Differs, Number, of_values, share, total
from shapebench.support.redact import redact

ROUNDING_S = 1e-9  # tools add up gaps: a sum may come out this much below what it is made of


@dataclass(frozen=True)
class Answer:
    """One request; fields that the tool does not report are None."""

    ttft_s: float | None = None
    e2e_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    begun_s: float | None = None  # on a clock that all requests of the level share
    sent_at_ns: int | None = None  # the same as a moment, where that clock is known
    gaps_s: tuple[float, ...] | None = None  # between tokens; None where a chunk may have had several, or none
    warmup: bool = False
    response_id: str | None = None
    http_status: int | None = None
    error_kind: str | None = None
    error_message: str | None = None

    @property
    def tpot_s(self) -> float | None:
        if self.e2e_s is None or self.ttft_s is None or self.output_tokens is None or self.output_tokens < 2:
            return None
        return max(self.e2e_s - self.ttft_s, 0) / (self.output_tokens - 1)

    @property
    def query_tokens_per_s(self) -> float | None:
        return self.output_tokens / self.e2e_s if self.output_tokens is not None and self.e2e_s else None


OF_EACH = ("ttft_s", "e2e_s", "tpot_s", "query_tokens_per_s", "input_tokens", "output_tokens")


def measured(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.warmup]


def completed(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in measured(answers) if answer.error_kind is None]


def failed(answers: Sequence[Answer]) -> int:
    return len(measured(answers)) - len(completed(answers))


def checked(answers: Sequence[Answer]) -> list[Answer]:
    """Return the requests, without times of 0, which mean "not known"; raises ImportFileError for impossible times."""
    for index, answer in enumerate(answers):
        if min(answer.ttft_s or 0, answer.e2e_s or 0) < 0:
            raise ImportFileError(f"request {index} has a negative time")
        if answer.ttft_s is not None and answer.e2e_s is not None and answer.ttft_s > answer.e2e_s + ROUNDING_S:
            raise ImportFileError(
                f"request {index} had its first token ({answer.ttft_s} s) after its last ({answer.e2e_s} s)"
            )
    return [replace(answer, ttft_s=answer.ttft_s or None, e2e_s=answer.e2e_s or None) for answer in answers]


def summarise(answers: Sequence[Answer], differs: Differs) -> list[Number]:
    """Compute every metric from the requests, by our definitions except where `differs` says otherwise."""
    done = completed(answers)
    numbers = [number for name in OF_EACH for number in of_values(name, _values(done, name), differs.get(name))]
    numbers += of_values("inter_token_s", _gaps(done), differs.get("inter_token_s"))
    numbers += total("error_rate", share(failed(answers), len(measured(answers))), differs.get("error_rate"))
    return numbers + _over_time(answers, differs)


def _values(answers: Sequence[Answer], name: str) -> list[float]:
    return [value for answer in answers if (value := getattr(answer, name)) is not None]


def _gaps(done: Sequence[Answer]) -> list[float]:
    """Return the gaps of all requests, or none if some lack them: those of a part would be biased."""
    each = [answer.gaps_s for answer in done if answer.gaps_s is not None]
    return [gap for gaps in each for gap in gaps] if len(each) == len(done) else []


def span_s(answers: Sequence[Answer]) -> float | None:
    """Return the time from the first send of a measured request to the last arrival of a completed one."""
    done, begun = completed(answers), [answer.begun_s for answer in measured(answers)]
    ends = [answer.begun_s + answer.e2e_s for answer in done if answer.begun_s is not None and answer.e2e_s is not None]
    known = [moment for moment in begun if moment is not None]
    if not done or len(ends) < len(done) or len(known) < len(begun):
        return None
    return max(ends) - min(known) or None


def _over_time(answers: Sequence[Answer], differs: Differs) -> list[Number]:
    done, length_s = completed(answers), span_s(answers)
    if length_s is None:
        return []
    tokens = [answer.output_tokens for answer in done if answer.output_tokens is not None]
    per_s = sum(tokens) / length_s if len(tokens) == len(done) else None
    return [
        *total("system_tokens_per_s", per_s, differs.get("system_tokens_per_s")),
        *total("requests_per_min", 60 * len(done) / length_s, differs.get("requests_per_min")),
    ]


def rows(answers: Sequence[Answer], differs: Differs) -> list[dict[str, object]]:
    """Build rows of raw.requests, without numbers whose definition differs: its columns cannot mark them."""
    return [_row(index, answer, differs) for index, answer in enumerate(answers)]


def _row(index: int, answer: Answer, differs: Differs) -> dict[str, object]:
    done = answer.error_kind is None
    return {
        "request_index": index,
        "warmup": answer.warmup,
        "sent_at_ns": answer.sent_at_ns,
        **{name: getattr(answer, name) if done and name not in differs else None for name in OF_EACH},
        "response_id": answer.response_id,
        "http_status": answer.http_status,
        "error_kind": answer.error_kind,
        "error_message": None if answer.error_message is None else redact(answer.error_message),
    }
