"""Interning of chunks that differ only in their text: a single object represents all of them.

Most chunks of an answer do. Storing and parsing each would dominate the cost of a token, apart from its receive, and
the memory.
"""

import re

TEXT = re.compile(rb'"(?:content|text|reasoning|reasoning_content|delta)":"([^"\\]*)"')
# Chunks with any of these, or with a backslash, which may hide a name, differ in more than their text.
MORE_THAN_TEXT = re.compile(rb'\\|"role"|"(?:usage|token_ids|finish_reason)"\s*+:\s*+(?!null)')
MAX_TRIES = 8


def cut(piece: bytes) -> tuple[bytes, bytes] | None:
    """Return the bytes before and after the text, if the piece is one complete event that can represent others.

    A printable text without quotes and backslashes cannot end before the text of its chunk does: with any such text
    the chunk is the same otherwise.
    """
    alone = piece.startswith(b"data: {") and piece.find(b"\n") == len(piece) - 2 and piece.endswith(b"}\n\n")
    if not alone or MORE_THAN_TEXT.search(piece) or not (found := TEXT.search(piece)):
        return None
    return piece[: found.start(1)], piece[found.end(1) :]


class ChunkInterner:
    """A piece of an answer that represents all pieces like it."""

    __slots__ = ("_after", "_before", "_min_bytes", "_model", "_tries")

    def __init__(self, *, learns: bool = True) -> None:
        """Without `learns` each piece represents only itself."""
        self._model = self._before = self._after = b""
        self._min_bytes = 0
        self._tries = 0 if learns else MAX_TRIES

    def intern(self, piece: bytes) -> bytes:
        """Return the known piece if this one is like it, else the piece itself, which is learned."""
        before, after = self._before, self._after
        if before and piece.startswith(before) and piece.endswith(after) and len(piece) > self._min_bytes:
            if _is_plain(piece[len(before) : -len(after)]):
                return self._model
        elif self._tries < MAX_TRIES:  # a server that counts in each chunk sends no equal ones
            self._learn(piece)
        return piece

    def _learn(self, piece: bytes) -> None:
        self._tries += 1
        if (found := cut(piece)) and len(piece) > sum(map(len, found)):  # an empty text may be no token
            (self._before, self._after), self._model = found, piece
            self._min_bytes = len(self._before) + len(self._after)


def _is_plain(text: bytes) -> bool:
    """Check whether the text can be part of a JSON string without escapes."""
    try:
        return (plain := text.decode()).isprintable() and '"' not in plain and "\\" not in plain
    except UnicodeDecodeError:
        return False
