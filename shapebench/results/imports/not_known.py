"""Numbers that mean "not known": zeros, and first tokens of answers that were not streamed.

Tools write 0 where nothing completed, where they counted no tokens, or where an answer came as a whole. No time,
length or rate is 0, so such numbers are left out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from shapebench.results.imports.answers import completed
from shapebench.results.imports.numbers import Number
from shapebench.results.imports.tool import Caveat, Level

MAY_BE_ZERO = ("error_rate",)
CENTRES = ("mean", "max", "total")  # 0 here is 0 everywhere
OF_EACH_REQUEST = ("ttft_s", "e2e_s")  # no request has a 0 here, so a least value of 0 is a request without an answer
SAME = 1e-6  # relative
NOT_STREAMED = "answers were not streamed: a whole answer counts as the first token"
NO_ANSWER = "requests without an answer are in it as 0 s"

UNSTREAMED = Caveat(
    "answers_not_streamed",
    "The time to first token equals the end-to-end time in all that the tool reports: the answers were not streamed.",
    "When the first token came is not known, nor is the time between tokens; level_summary has neither.",
)


def leave_out_not_known(level: Level) -> Level:
    """Return the level without zeros that mean "not known", and with a caveat if its answers were not streamed."""
    numbers = [_without_answers(number, level.numbers) for number in _known(level.numbers, level.completed)]
    if not _is_unstreamed(level):
        return replace(level, numbers=numbers)
    from_first = dict.fromkeys(("ttft_s", "tpot_s", "inter_token_s"), NOT_STREAMED)
    return replace(
        level,
        numbers=[replace(n, differs=n.differs or from_first.get(n.metric)) for n in numbers],
        differs={**from_first, **level.differs},
        caveats=(*level.caveats, UNSTREAMED),
    )


def _known(numbers: Sequence[Number], done: int | None) -> list[Number]:
    zero = {number.metric for number in numbers if number.value == 0 and number.stat in CENTRES}
    unknown = {number.metric for number in numbers} if done == 0 else zero
    return [number for number in numbers if number.metric not in unknown or number.metric in MAY_BE_ZERO]


def _without_answers(number: Number, numbers: Iterable[Number]) -> Number:
    zero = (each.value == 0 and each.stat != "stddev" and each.metric == number.metric for each in numbers)
    counted = number.metric in OF_EACH_REQUEST and any(zero)
    return replace(number, differs=number.differs or NO_ANSWER) if counted else number


def _is_unstreamed(level: Level) -> bool:
    """Check whether TTFT and end-to-end time are the same everywhere, though answers have more than one token."""
    done = completed(level.answers)
    values = {(number.metric, number.stat): number.value for number in level.numbers}
    if done:
        pairs = [(answer.ttft_s, answer.e2e_s) for answer in done]
        of_one_token = all(answer.output_tokens == 1 for answer in done)
    else:
        pairs = [(value, values.get(("e2e_s", stat))) for (metric, stat), value in values.items() if metric == "ttft_s"]
        of_one_token = values.get(("output_tokens", "mean")) == 1
    known = [(first, last) for first, last in pairs if first and last]
    return bool(known) and not of_one_token and all(math.isclose(*pair, rel_tol=SAME) for pair in known)
