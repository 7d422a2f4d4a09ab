"""Tokens of each chunk of an answer, from what the server says and from the share of text that each carries."""

from collections.abc import Mapping, Sequence
from typing import Literal

TokenCounts = Literal["counted", "apportioned", "unknown"]


def count_tokens_of_chunks(
    text_bytes: Sequence[int],
    stated: Mapping[int, int],
    running: Mapping[int, int],
    total: int | None,
    *,
    opens_without_token: bool = False,
) -> tuple[list[int], TokenCounts]:
    """Return the tokens of each chunk, and how they are known.

    `text_bytes` has the length of each chunk's text; `stated` and `running`, by the chunk's index, the tokens that the
    chunk says it carries, and those that the server has counted so far; `total` is the server's final count.

    A chunk may hold no token, one, several, or a part of one. An empty text is a token, half a character or a special
    token, where there are as many chunks as tokens, and `opens_without_token` does not say that the first are none.
    """
    chunks = len(text_bytes)
    if stated and len(stated) == chunks:
        return [stated[index] for index in range(chunks)], "counted"
    if running and (growth := growth_of(text_bytes, running, total)) and growth.count(0) < chunks - 1:
        return growth, "counted"
    if total == chunks and not opens_without_token:
        return [1] * chunks, "counted"
    if total is None:  # an empty text rather opens or ends the answer than is a token
        return [int(length > 0) for length in text_bytes] if any(text_bytes) else [1] * chunks, "unknown"
    if total == chunks - text_bytes.count(0):
        return [int(length > 0) for length in text_bytes], "counted"
    return apportion(text_bytes, total), "apportioned"


def growth_of(text_bytes: Sequence[int], running: Mapping[int, int], total: int | None) -> list[int] | None:
    """Return by how much the running count grows with each chunk; None where it does not grow with the text.

    Usage in some chunks only, such as the last, does not run.
    """
    if len(running) < len(text_bytes):
        return None
    growth, before = [], 0
    for index, length in enumerate(text_bytes):
        count = running[index]
        if count < before or (length and count == before):
            return None
        growth.append(count - before)
        before = count
    return growth if total in (None, before) else None


def apportion(text_bytes: Sequence[int], total: int) -> list[int]:
    """Divide the tokens among chunks by their share of the text; the first chunk with text has at least one.

    A token counts where its last byte arrives. Where there are as many tokens as chunks with text, each has at least
    one: many servers count an end of the sequence that they do not send, which is to hide no arrival.
    """
    weights = text_bytes if any(text_bytes) else [1] * len(text_bytes)
    whole, texts = sum(weights), len(weights) - weights.count(0)
    least, spare = (1, total - texts) if total >= texts else (0, total)
    seen, begun, given, tokens = 0, 0, 0, []
    for weight in weights:
        seen, begun = seen + weight, begun + bool(weight)
        share = max(total * seen // whole, min(total, int(seen > 0)))
        due = min(max(share, given + least * bool(weight)), least * begun + spare)
        tokens.append(due - given)
        given = due
    return tokens
