"""Usage: what it says, and in which chunks."""

from collections.abc import Callable
from dataclasses import replace

from shapebench.test_servers.odd.asked import Asked, Json
from shapebench.test_servers.odd.events import Event, choice, chunk, with_fields
from shapebench.test_servers.odd.oddities import Oddities

_CACHED = 0.8  # of the prompt

Values = Callable[[int, int, int], Json]  # from tokens of the prompt, of the output, and those of it that are reasoning


def _true(prompt: int, output: int, _reasoning: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def _without_cached(prompt: int, output: int, reasoning: int) -> Json:
    cached = int(_CACHED * prompt)
    few: Json = {"prompt_tokens": prompt - cached, "prompt_tokens_details": {"cached_tokens": cached}}
    return _true(prompt, output, reasoning) | few


def _anthropic(prompt: int, output: int, _reasoning: int) -> Json:
    cached = int(_CACHED * prompt)
    cache = {"cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    return {"input_tokens": prompt - cached, **cache, "output_tokens": output}


def _less(name: str) -> Values:
    return lambda *counts: {key: count for key, count in _true(*counts).items() if key != name}


VALUES: dict[str, Values] = {
    "true": _true,
    "zero": lambda *_: _true(0, 0, 0),
    "no_prompt_tokens": _less("prompt_tokens"),
    "no_completion_tokens": _less("completion_tokens"),
    "null_completion_tokens": lambda *counts: _true(*counts) | {"completion_tokens": None},
    "with_cached": lambda prompt, output, _: (
        _true(prompt, output, 0) | {"prompt_tokens_details": {"cached_tokens": int(_CACHED * prompt)}}
    ),
    "without_cached": _without_cached,
    "anthropic": _anthropic,
    "without_reasoning": lambda prompt, output, reasoning: (
        _true(prompt, output, 0) | {"completion_tokens": output - reasoning}
    ),
    "as_text": lambda *counts: {key: str(count) for key, count in _true(*counts).items()},
    "as_floats": lambda prompt, output, _: _true(prompt, output, 0) | {"completion_tokens": float(output)},
}

# From the index of a text chunk, the tokens up to and with it, those before it, and all of the answer.
IN_CHUNKS: dict[str, Callable[[int, int, int, int], int]] = {
    "zero": lambda _index, _so_far, _before, _total: 0,
    "running": lambda _index, so_far, _before, _total: so_far,
    "lagging": lambda _index, _so_far, before, _total: before,
    "every_other": lambda index, so_far, before, _total: so_far if index % 2 else before,
    "final": lambda _index, _so_far, _before, total: total,
}


def usage(oddities: Oddities, asked: Asked, output_tokens: int, reasoning_tokens: int) -> Json:
    """Write the usage of an answer, or of what there is of it so far."""
    said = VALUES[oddities.usage_values](asked.prompt_tokens, output_tokens, reasoning_tokens)
    if not reasoning_tokens or oddities.reasoning_count == "missing":
        return said
    count = reasoning_tokens if oddities.reasoning_count == "true" else 0
    return said | {"completion_tokens_details": {"reasoning_tokens": count}}


def add_usage(oddities: Oddities, asked: Asked, events: list[Event], end_s: tuple[float, float]) -> list[Event]:
    """Add usage to the chunks that have it, or as chunks at the times before and after the end."""
    if not (asked.with_usage or oddities.usage_unasked):
        return events
    final = usage(oddities, asked, *_counts(events))
    return _PLACES[oddities.usage_place](asked, _in_chunks(oddities, asked, events), final, end_s)


def _counts(events: list[Event]) -> tuple[int, int]:
    reasoning = sum(event.reasoning_tokens for event in events)
    return sum(event.completes for event in events), reasoning


def _in_chunks(oddities: Oddities, asked: Asked, events: list[Event]) -> list[Event]:
    if oddities.usage_in_chunks == "none":
        return events
    count, (total, _) = IN_CHUNKS[oddities.usage_in_chunks], _counts(events)
    done, so_far, index = [], 0, 0
    for event in events:
        before, so_far = so_far, so_far + event.completes
        said = usage(oddities, asked, count(index, so_far, before, total), 0)
        done.append(with_fields(event, usage=said) if event.part == "text" else event)
        index += event.part == "text"
    return done


Place = Callable[[Asked, list[Event], Json, tuple[float, float]], list[Event]]


def _with_last(*parts: str) -> Place:
    """Put the usage into the last chunk of those parts."""

    def place(_asked: Asked, events: list[Event], final: Json, _end_s: tuple[float, float]) -> list[Event]:
        last = max((at for at, event in enumerate(events) if event.part in parts), default=-1)
        return [with_fields(event, usage=final) if at == last else event for at, event in enumerate(events)]

    return place


def _own(asked: Asked, events: list[Event], final: Json, end_s: tuple[float, float]) -> list[Event]:
    return [*events, Event(end_s[0], "usage", chunk(asked, [], usage=final))]


def _late(asked: Asked, events: list[Event], final: Json, end_s: tuple[float, float]) -> list[Event]:
    return [*events, replace(_own(asked, [], final, end_s)[0], at_s=end_s[1])]


def _with_empty_choice(asked: Asked, events: list[Event], final: Json, end_s: tuple[float, float]) -> list[Event]:
    return [*events, Event(end_s[0], "usage", chunk(asked, [choice(asked, {})], usage=final))]


_PLACES: dict[str, Place] = {
    "own_chunk": _own,
    "with_empty_choice": _with_empty_choice,
    "finish_chunk": _with_last("finish", "text"),
    "last_text": _with_last("text"),
    "after_done": _late,
    "twice": lambda asked, events, final, end_s: _own(asked, _own(asked, events, final, end_s), final, end_s),
    "nowhere": lambda _asked, events, _final, _end_s: events,
}
