"""Interning of chunks that differ only in their text, which are most of an answer: one of them stands for all.

Keeping and parsing each would be most of what a token costs beside its receive, and most of the memory.
"""

import re

TEXT = re.compile(rb'"(?:content|text)":"([^"\\]*)"')
# Where a chunk has any of these, or hides a name behind a backslash, its text is not all that matters.
MORE_THAN_TEXT = re.compile(rb'\\|"role"|"(?:usage|token_ids|finish_reason)"\s*+:\s*+(?!null)')
MAX_TRIES = 8


def cut(piece: bytes) -> tuple[bytes, bytes] | None:
    """Split off what stands before and after the text, where the piece is one whole event that may stand for others.

    A printable text without quotes and backslashes cannot end before its chunk's text does: whatever it is, the chunk
    says the same otherwise.
    """
    alone = piece.startswith(b"data: {") and piece.find(b"\n") == len(piece) - 2 and piece.endswith(b"}\n\n")
    if not alone or MORE_THAN_TEXT.search(piece) or not (found := TEXT.search(piece)):
        return None
    return piece[: found.start(1)], piece[found.end(1) :]


class ChunkInterner:
    """The one piece of an answer that stands for those like it."""

    __slots__ = ("_after", "_before", "_min_bytes", "_model", "_tries")

    def __init__(self) -> None:
        self._model = self._before = self._after = b""
        self._min_bytes = 0
        self._tries = 0

    def intern(self, piece: bytes) -> bytes:
        """Return the known piece where this one is like it, else the piece itself, which is known from then on."""
        before, after = self._before, self._after
        if before and piece.startswith(before) and piece.endswith(after) and len(piece) >= self._min_bytes:
            if _is_plain(piece[len(before) : -len(after)]):
                return self._model
        elif self._tries < MAX_TRIES:  # a server that counts in each chunk has none that are alike
            self._learn(piece)
        return piece

    def _learn(self, piece: bytes) -> None:
        self._tries += 1
        if found := cut(piece):
            (self._before, self._after), self._model = found, piece
            self._min_bytes = len(self._before) + len(self._after)


def _is_plain(text: bytes) -> bool:
    """Check whether it can stand in a JSON string as it is."""
    try:
        return (plain := text.decode()).isprintable() and '"' not in plain and "\\" not in plain
    except UnicodeDecodeError:
        return False
