"""Reads columns and fragments of a Lance table out of its manifest, which is protobuf: no library need be imported.

A manifest ends in 16 bytes: where its message begins (8), the format's version (2, 2), and `LANC`. The numbers of
fields are those of Lance's protos/table.proto and protos/file.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from daedalus.inputs.lance.layout import Column, DataFile, Layout, TableFragment, items_of

_COLUMN, _FRAGMENT, _READER_FLAGS, _BASE = 1, 2, 9, 18  # of the manifest
_NAME, _ID, _PARENT, _TYPE = 2, 3, 4, 5  # of a column
_NUMBER, _FILES, _DELETION = 1, 2, 3  # of a fragment
_PATH, _FIELDS, _PLACES, _FILE_BASE = 1, 2, 3, 7  # of a data file; a deletion file has _FILE_BASE, too
_DELETION_KIND, _READ_VERSION, _DELETION_ID = 1, 2, 3
_BASE_ID, _IS_TABLE, _BASE_PATH = 1, 3, 4
_SUFFIXES = {0: "arrow", 1: "bin"}  # of the files of deleted rows, by kind
_TOP = -1
# What a reader must know, by bit: deletion files, stable row ids, the second file format, a table's settings, several
# bases, no transaction files. The first two say nothing of columns; what comes later than these is not known here.
_OF_COLUMNS, _OF_FRAGMENTS = 0b11, 0b111111
_NOT_UNDERSTOOD = (struct.error, LookupError, ValueError, TypeError)
_Message = dict[int, list[int | bytes]]  # values by number of the field


def column_types(manifest: bytes) -> dict[str, str] | None:
    """Lance's types, such as `int64`, by top column; None for a manifest that is not understood."""
    try:
        return {name: column.kind for name, column in _columns(_known(manifest, _OF_COLUMNS)).items()}
    except _NOT_UNDERSTOOD:
        return None


def table_layout(manifest: bytes) -> Layout | None:
    """The columns and fragments of a version of a table; None for a manifest that is not understood."""
    try:
        message = _known(manifest, _OF_FRAGMENTS)
        bases = {_number(base, _BASE_ID): base for base in _messages(message, _BASE)}
        return Layout(_columns(message), tuple(_fragment(one, bases) for one in _messages(message, _FRAGMENT)))
    except _NOT_UNDERSTOOD:
        return None


def _known(manifest: bytes, flags: int) -> _Message:
    """The manifest's message. Raises ValueError if a reader must know more than `flags`."""
    message = _grouped(_message(manifest))
    if _number(message, _READER_FLAGS) & ~flags:
        raise ValueError
    return message


def _columns(message: _Message) -> dict[str, Column]:
    """The top columns by name; fields come before those that they consist of."""
    tops: dict[int, int] = {}  # field -> the top field that it is of
    found: dict[int, list[tuple[int, str, str]]] = {}  # top field -> (field, name, type) of its fields
    for field in _messages(message, _COLUMN):
        number, parent = _number(field, _ID), _number(field, _PARENT)
        tops[number] = number if parent == _TOP else tops[parent]
        found.setdefault(tops[number], []).append((number, _text(field, _NAME), _text(field, _TYPE)))
    columns = {}
    for fields in found.values():
        (_, name, kind), *below = fields
        items = items_of(kind, below[0][2] if len(below) == 1 else "")
        columns[name] = Column(kind, tuple(number for number, *_ in fields), items)
    return columns


def _fragment(message: _Message, bases: dict[int, _Message]) -> TableFragment:
    number = _number(message, _NUMBER)
    files = []
    for file in _messages(message, _FILES):
        path = _placed(file, "data", _text(file, _PATH), bases)
        files.append(DataFile(path, _numbers(file, _FIELDS), _numbers(file, _PLACES)))
    deletions = ""
    for file in _messages(message, _DELETION):
        suffix, version = _SUFFIXES[_number(file, _DELETION_KIND)], _number(file, _READ_VERSION)
        name = f"{number}-{version}-{_number(file, _DELETION_ID) % (1 << 64)}.{suffix}"
        deletions = _placed(file, "_deletions", name, bases)
    return TableFragment(number, tuple(files), deletions)


def _placed(file: _Message, folder: str, name: str, bases: dict[int, _Message]) -> str:
    """The path of a file: in the table's folder, or in that of its base, another table or a plain folder."""
    if _FILE_BASE not in file:
        return f"{folder}/{name}"
    base = bases[_number(file, _FILE_BASE)]
    path = _text(base, _BASE_PATH).rstrip("/")
    return f"{path}/{folder}/{name}" if _number(base, _IS_TABLE) else f"{path}/{name}"


def _message(manifest: bytes) -> bytes:
    start, *_, magic = struct.unpack("<QHH4s", manifest[-16:])
    if magic != b"LANC" or start > len(manifest):
        raise ValueError
    (length,) = struct.unpack_from("<I", manifest, start)
    message = manifest[start + 4 : start + 4 + length]
    if len(message) < length:
        raise ValueError
    return message


def _messages(message: _Message, field: int) -> Iterator[_Message]:
    """The messages of a repeated field."""
    return (_grouped(_bytes(value)) for value in message.get(field, ()))


def _text(message: _Message, field: int) -> str:
    return _bytes(message[field][-1]).decode() if field in message else ""


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError
    return value


def _number(message: _Message, field: int) -> int:
    """A number, signed as protobuf writes it; 0 where there is none."""
    return _signed(int(message[field][-1])) if field in message else 0


def _numbers(message: _Message, field: int) -> tuple[int, ...]:
    """A repeated field of numbers, packed into one value or not."""
    found: list[int] = []
    for value in message.get(field, ()):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return tuple(map(_signed, found))


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _grouped(message: bytes) -> _Message:
    fields: _Message = {}
    for number, value in _fields(message):
        fields.setdefault(number, []).append(value)
    return fields


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
