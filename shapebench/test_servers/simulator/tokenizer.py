"""Tokenizer similar to byte-pair encoding, without a vocabulary to download."""

import re
import zlib
from collections.abc import Mapping, Sequence

# Up to four letters (with the space before them), up to three digits, or one mark; so a short word is one token, a
# longer one several, and a word's tokens never depend on its neighbours.
_PIECE = re.compile(r" ?(?:[^\W\d_]{1,4}|\d{1,3}|[^\w\s]|_)|\s")
_VOCABULARY = 128_000
BOS, EOS = "<|begin|>", "<|end|>"
_START = "<|start|>"

Piece = str | int  # text, or the id of a token that came as an id


def pieces(text: str) -> list[Piece]:
    """Cut a text into tokens; joined again they are the text."""
    found: list[Piece] = _PIECE.findall(text)
    return found


def token_id(piece: Piece) -> int:
    """Return a token's id, the same in every process: a hash, no state."""
    return piece if isinstance(piece, int) else zlib.crc32(piece.encode("utf-8", "surrogatepass")) % _VOCABULARY


def token_ids(tokens: Sequence[Piece]) -> list[int]:
    return [token_id(token) for token in tokens]


def chat_pieces(messages: Sequence[Mapping[str, object]], add_generation_prompt: bool = True) -> list[Piece]:
    """Apply the chat template: 5 tokens around a message of the user, and 5 that open the answer."""
    found: list[Piece] = []
    for message in messages:
        text = _content(message.get("content"))
        found += [_START, *pieces(str(message.get("role"))), "\n", *pieces(text), EOS, "\n"]
    return found + ([_START, *pieces("assistant"), "\n"] if add_generation_prompt else [])


def _content(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
