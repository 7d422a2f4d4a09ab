"""Streams of APIs as their documentation gives them, from `contract/recorded/documented`."""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import orjson

DOCUMENTED = Path(__file__).parent / "contract" / "recorded" / "documented"


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Pack a frame of an AWS event stream, whose headers are texts."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    begin = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    begin += struct.pack(">I", zlib.crc32(begin))
    packed = begin + block + payload
    return packed + struct.pack(">I", zlib.crc32(packed))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(text)) + text


def stream_pieces(name: str) -> list[bytes]:
    """Return the body of a stream, an event or a frame for each piece."""
    if (packed := DOCUMENTED / f"{name}.jsonl").exists():
        frames = map(orjson.loads, packed.read_bytes().splitlines())
        return [frame(one["headers"], one["payload"].encode()) for one in frames]
    body = (DOCUMENTED / f"{name}.txt").read_bytes().partition(b"\r\n\r\n")[2]
    end = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    return [event + end for event in body.split(end) if event]


def content_type(name: str) -> str:
    """Return the type of a stream's body."""
    return "application/vnd.amazon.eventstream" if (DOCUMENTED / f"{name}.jsonl").exists() else "text/event-stream"
