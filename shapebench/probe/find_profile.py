"""The search for a server's profile: how it wants to be asked, and how it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from shapebench.apis.profile import ServerProfile, UsageHabit
from shapebench.apis.reading import Reading, TokenSource
from shapebench.apis.table import APIS
from shapebench.probe.asker import Asker
from shapebench.probe.client import Client, StreamedAnswer
from shapebench.probe.token_counters import file_counter
from shapebench.spec.model import Spec
from shapebench.support.wording import listed

MIN_LONG_TOKENS, AT_ONCE_GAP_S = 10, 100e-6  # such an answer; between its tokens, of which few servers are capable


@dataclass(frozen=True)
class Found:
    """The profile of a server, and the answer that showed it."""

    profile: ServerProfile
    answer: StreamedAnswer


def find_profile(asker: Asker, client: Client, spec: Spec, prompt: str) -> Found:
    """Find a server's profile by asking it; raises EndpointError where it cannot be measured."""
    answer = asker.ask(prompt)
    notes = [*asker.changes()]
    continued = _with_continuous_usage(asker, spec, answer, prompt)
    reading = (continued or answer).reading
    source = _token_source(client, spec, reading)
    enforces = _enforces(asker, reading, notes)
    asked = asker.target
    notes += _habits(reading, source, spec)
    profile = ServerProfile(
        path=asked.path or APIS[asked.api].path,
        dropped_fields=asked.dropped_fields,
        renamed_fields=asked.renamed_fields,
        end_marker=reading.done,
        usage=_usage_habit(reading),
        token_source=source,
        continuous_usage=asked.continuous_usage,
        tokens_per_chunk=_tokens_per_chunk(reading, source, client),
        reasoning=reading.has_reasoning,
        enforces_output=enforces,
        rate_limit_waited_s=asker.waited_s,
        notes=tuple(notes),
    )
    return Found(profile, answer)


def _with_continuous_usage(asker: Asker, spec: Spec, answer: StreamedAnswer, prompt: str) -> StreamedAnswer | None:
    """Ask for usage in each chunk where tokens would be apportioned otherwise, and the server may send it."""
    wanted = spec.endpoint.continuous_usage is None and answer.reading.token_counts == "apportioned"
    if not wanted or "stream_options" not in answer.asked:
        return None
    again = asker.try_once(replace(asker.target, continuous_usage=True), prompt)
    if again is None or again.reading.token_counts != "counted":
        return None
    asker.ask_for_continuous_usage()
    return again


def _token_source(client: Client, spec: Spec, reading: Reading) -> TokenSource:
    if reading.output_tokens is not None:
        return "usage"
    if client.count_prompt(" time") is not None:
        return "tokenize"
    if spec.endpoint.tokenizer:
        file_counter(spec.endpoint.tokenizer)  # or an error that says what is wrong with it
        return "tokenizer"
    return "chunks"


def _usage_habit(reading: Reading) -> UsageHabit:
    if reading.output_tokens is None:
        return "none"
    return "running" if reading.has_running_usage else "final"


def _enforces(asker: Asker, reading: Reading, notes: list[str]) -> bool:
    """Tell whether lengths are enforced: some field for it was taken, and the answer had the length."""
    if not asker.target.enforce_output_tokens:
        return False
    dropped = asker.target.dropped_fields
    sent = [name for name in asker.enforcing_fields if name not in dropped]
    refused = [name for name in asker.enforcing_fields if name in dropped]
    as_asked = reading.output_tokens in (None, asker.output_tokens)
    if not sent or (refused and not as_asked):
        asker.without_enforcement()
        notes.append("Lengths of answers are not enforced, since the server refuses the fields for it.")
        return False
    if not as_asked:
        notes.append(
            f"The server takes {listed(sent)}, but answered {reading.output_tokens} tokens where {asker.output_tokens} "
            "were requested: set workload.enforce_output_tokens: false (--no-enforce-output-tokens)."
        )
    return True


COUNTED_WITH = {
    "tokenize": "tokens are counted with the server's own tokenizer after each level",
    "tokenizer": "tokens are counted with endpoint.tokenizer after each level",
    "chunks": "each chunk counts as a token. Set endpoint.tokenizer (--tokenizer) to count tokens",
}


def _habits(reading: Reading, source: TokenSource, spec: Spec) -> Iterator[str]:
    """Say in sentences what is unusual about an answer."""
    api = APIS[spec.endpoint.api]
    if not reading.done:
        yield f"Streams end without {api.last_event}: an answer is complete with its finish reason or usage."
    if source != "usage":
        yield f"Streams have no usage: {COUNTED_WITH[source]}."
    elif reading.token_counts == "apportioned":
        chunks = "1 chunk" if reading.text_chunks == 1 else f"{reading.text_chunks} chunks"
        yield (
            f"{reading.output_tokens} tokens came in {chunks} without counts: tokens are "
            "apportioned by their share of the text, and times between single tokens are estimates. They are exact "
            "only if the server sends a token in each chunk, or usage with it."
        )
    if _is_at_once(reading):
        yield (
            f"All of the answer's {reading.output_tokens} tokens arrived at once: it was held back until its end, TTFT "
            "is the time of the whole answer, and nothing is known of the times between tokens. Let the server stream, "
            "and turn off what buffers its answers (nginx: proxy_buffering off)."
        )
    if reading.has_reasoning:
        yield "Answers begin with reasoning: see time_to_first_answer_s beside ttft_s."


def _is_at_once(reading: Reading) -> bool:
    """Check whether the tokens came faster than any server generates them."""
    arrivals_ns = reading.arrivals_ns
    tokens = (reading.output_tokens or len(arrivals_ns)) - (reading.reasoning_tokens or 0)  # which may be hidden
    return tokens >= MIN_LONG_TOKENS and (arrivals_ns[-1] - arrivals_ns[0]) / 1e9 < (tokens - 1) * AT_ONCE_GAP_S


def _tokens_per_chunk(reading: Reading, source: TokenSource, client: Client) -> float | None:
    chunks = reading.text_chunks
    tokens = client.count_prompt(reading.text) if source == "tokenize" else reading.output_tokens
    return tokens / chunks if tokens and chunks else None
