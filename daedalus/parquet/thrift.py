"""Reads and writes Thrift's compact protocol, in which parquet's footers and page headers are encoded.

A struct is a dict of field id -> (type, value). The meaning of fields is not known here, so fields that a
later parquet adds are kept as they are. Format: the compact protocol's specification in apache/thrift.
"""

from __future__ import annotations

import struct
from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)

Struct = dict[int, tuple[int, Any]]  # a list's value is (type of its items, items)


class Encoded(bytes):
    """The value of a field, or an item of a list, as it is written; so it is copied and never taken apart."""


def read_struct(data: bytes) -> Struct:
    """Reads the struct at the start of `data`. Raises IndexError when it is cut short, ValueError for maps."""
    return _Reader(data).struct()


def read_head(data: bytes, at: int) -> tuple[Struct, int]:
    """Reads the struct at index `at` of `data`; returns it and the index of its end. Errors as in `read_struct`."""
    reader = _Reader(data, at)
    return reader.struct(), reader.at


def read_shallow(data: bytes) -> Struct:
    """Reads the struct at the start of `data`; its fields stay encoded."""
    import numpy as np

    from daedalus.parquet import compiled_thrift

    found = compiled_thrift.fields(np.frombuffer(data, np.uint8)).tolist()
    return {
        field: (kind, kind == TRUE if kind <= FALSE else Encoded(data[begin:end])) for field, kind, begin, end in found
    }


def read_structs(data: bytes) -> list[tuple[Struct, bytes]]:
    """The structs of an encoded list, each with its bytes."""
    reader, found = _Reader(data), []
    for _ in range(reader.list_head()[1]):
        begin = reader.at
        found.append((reader.struct(), data[begin : reader.at]))
    return found


def write_struct(value: Struct) -> bytes:
    out = bytearray()
    _write_struct(out, value)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def _varint(self) -> int:
        data, at = self._data, self.at
        byte = data[at]
        at += 1
        value, shift = byte & 0x7F, 7
        while byte & 0x80:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
        self.at = at
        return value

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)  # zigzag: 0, -1, 1, -2, … are 0, 1, 2, 3, …

    def _bytes(self, count: int) -> bytes:
        self.at += count
        return self._data[self.at - count : self.at]

    def struct(self) -> Struct:
        found: Struct = {}
        field = 0
        while head := self._data[self.at]:  # a field's type, and its id less the one before, or 0: the id follows
            self.at += 1
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self._integer()
            found[field] = (kind, kind == TRUE if kind <= FALSE else self._value(kind))
        self.at += 1
        return found

    def list_head(self) -> tuple[int, int]:
        """(type of the items of a list that begins here, how many there are)."""
        head = self._bytes(1)[0]
        of, count = head & 0x0F, head >> 4
        return of, self._varint() if count == 15 else count

    def _value(self, kind: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            of, count = self.list_head()
            return of, [self._value(of) for _ in range(count)]
        if kind == DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind in (TRUE, FALSE, BYTE):  # a list's booleans are bytes
            return self._bytes(1)[0]
        raise ValueError(f"thrift type {kind}")


def write_varint(out: bytearray, value: int) -> None:
    """Appends an unsigned integer, seven bits per byte, lowest first; parquet writes run lengths like this too."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def write_next(out: bytearray, kind: int, *values: int) -> None:
    """Appends fields of integers that are not negative, each with the id after the one before."""
    for value in values:
        out.append(1 << 4 | kind)
        write_varint(out, value << 1)


def _write_integer(out: bytearray, value: int) -> None:
    write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _write_struct(out: bytearray, fields: Struct) -> None:
    before = 0
    for field, (kind, value) in sorted(fields.items()):
        if kind <= FALSE:
            kind = TRUE if value else FALSE
        if 0 < field - before <= 15:
            out.append((field - before) << 4 | kind)
        else:
            out.append(kind)
            _write_integer(out, field)
        before = field
        if kind > FALSE:
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if type(value) is Encoded:
        out += value
    elif kind in _INTEGERS:
        _write_integer(out, value)
    elif kind == BINARY:
        write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        of, items = value
        out.append(min(len(items), 15) << 4 | of)
        if len(items) >= 15:
            write_varint(out, len(items))
        for item in items:
            _write_value(out, of, item)
    elif kind == DOUBLE:
        out += struct.pack("<d", value)
    else:
        out.append(value)
