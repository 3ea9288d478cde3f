"""Reads the columns of a Lance table out of its manifest, which is protobuf: LanceDB need not be imported for that.

A manifest ends in 16 bytes: where its message begins (8), the format's version (2, 2), and `LANC`. Two kinds of fields
of the message matter here, see Lance's protos/table.proto and protos/file.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_COLUMN, _READER_FLAGS = 1, 9  # of the manifest: a column, and what a reader must know
_NAME, _PARENT, _TYPE = 2, 4, 5  # of a column
_NO_PARENT = (1 << 64) - 1
_KNOWN_FLAGS = 0b11  # deletion files, stable row ids: they say nothing of columns


def column_types(manifest: bytes) -> dict[str, str] | None:
    """Lance's types, such as `int64`, by top column; None for a manifest that is not understood."""
    try:
        fields = list(_fields(_message(manifest)))
        columns = [dict(_fields(value)) for number, value in fields if number == _COLUMN and isinstance(value, bytes)]
        if any(int(value) & ~_KNOWN_FLAGS for number, value in fields if number == _READER_FLAGS):
            return None
        return {column[_NAME].decode(): column[_TYPE].decode()  # type: ignore[union-attr]
                for column in columns if column[_PARENT] == _NO_PARENT}  # fmt: skip
    except (struct.error, LookupError, ValueError, AttributeError, TypeError):
        return None


def _message(manifest: bytes) -> bytes:
    start, *_, magic = struct.unpack("<QHH4s", manifest[-16:])
    if magic != b"LANC" or start > len(manifest):
        raise ValueError
    (length,) = struct.unpack_from("<I", manifest, start)
    message = manifest[start + 4 : start + 4 + length]
    if len(message) < length:
        raise ValueError
    return message


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + length > len(message):
            raise ValueError
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at
