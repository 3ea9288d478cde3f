"""Writing batches, compiled: all tensors of several batches in one call, since each call, and each wait for Python's
lock, costs as much as what it does.

A block says for each row of a list where its items begin in memory, how many there are and, if they are 16 bits that
number values, which table has those: two words, in the order in which batches take rows. Items lie anywhere, and so do
the values that they number, so that each list would wait for memory twice: items are asked for some rows ahead, and
when they are there, their values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic

from daedalus.parquet.jit import compiled, inner, number_at, pointer
from daedalus.parquet.lists import column_lists

# What a job says, as unsigned numbers. First what is read: the address of the two words of each row, or 0 where each
# row has one value and these lie one after the other; the address of those values; the bytes of a value; how many items
# a padded line has, 0 if not padded; the bits of padding; the address of the tables' addresses; how many rows. Then
# what is written: the address of the memory for items, and that for how many items each padded row has, or where each
# row begins and the last ends, or 0; and how many items of the batch lie before these.
JOB = PLACES, CELLS, WIDTH, LINE, FILL, TABLES, COUNT, OUT, ENDS, BEFORE = tuple(range(10))
BEGIN, ITEMS = np.arange(2, dtype=np.uint64)  # the words of a row: where its items are; their number, and their table's
WORDS = 2
END, ADDRESS, STEP, TABLE = range(4)  # of a piece: how many items until its end, where they are, bytes of one, table
_TABLE = np.uint64(32)  # the first bit of a table's number, whose address is 0 if items are values
_ANY = 1 << 40  # items of memory whose bounds its owner knows
_AHEAD, _SOON = np.uint64(16), np.uint64(6)  # rows whose items, and whose values, are asked for
_CACHED = np.uint64(64)  # bytes that come together
_MOST = np.uint64(512)  # bytes of a row asked for ahead
_ONE, _TWO, _LENGTH = np.uint64(1), np.uint64(2), np.uint64((1 << 32) - 1)


@intrinsic
def _ask(typing: Any, address: Any) -> Any:
    """Has memory fetched into the processor's cache."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = cgutils.ir.IntType(32)
        kind = cgutils.ir.FunctionType(cgutils.ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        called = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        pointer = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        builder.call(called, [pointer, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(address), code


@intrinsic
def _move(typing: Any, out: Any, source: Any, size: Any) -> Any:
    """Copies so many bytes from one address to another."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, begin = (builder.inttoptr(argument, cgutils.voidptr_t) for argument in arguments[:2])
        cgutils.raw_memcpy(builder, to, begin, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(out, source, size), code


@intrinsic
def _set(typing: Any, out: Any, size: Any, byte: Any) -> Any:
    """Fills so many bytes from an address on."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        cgutils.memset(builder, to, arguments[1], builder.trunc(arguments[2], cgutils.ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(out, size, byte), code


@inner
def _write_lists(job: Any, kind: Any) -> None:
    """Does a job of lists; `kind` is the type of a value as bits."""
    width, line, count, fill, at = job[WIDTH], job[LINE], job[COUNT], kind(job[FILL]), job[BEFORE]
    places = carray(pointer(job[PLACES]), (_ANY,), np.uint64)  # type: ignore[call-arg]
    out = carray(pointer(job[OUT]), (_ANY,), kind)
    ends = carray(pointer(job[ENDS]), (_ANY,), np.uint64)
    tables = carray(pointer(job[TABLES]), (_ANY,), np.uint64)
    repeated = job[FILL] == np.uint64(0) or fill == kind(~np.uint64(0))  # one byte
    if not line:
        ends[np.uint64(0)] = at
    row = word = np.uint64(0)
    while row < count:
        begin, items = places[word], places[word + ITEMS]
        length, numbered = items & _LENGTH, tables[items >> _TABLE]
        if row + _AHEAD < count:
            later = word + _AHEAD * _TWO
            asked, size = places[later], places[later + ITEMS] & _LENGTH
            until = asked + min((min(size, line) if line else size) * (_TWO if numbered else width), _MOST)
            _ask(asked)
            asked += _CACHED
            _ask(asked)  # though it may be of other rows: to ask whether it is takes longer
            asked += _CACHED
            while asked < until:
                _ask(asked)
                asked += _CACHED
        if row + _SOON < count:
            soon = word + _SOON * _TWO
            asked, items = places[soon], places[soon + ITEMS]
            size, looked_up = items & _LENGTH, tables[items >> _TABLE]
            until = asked + (min(size, line) if line else size) * _TWO
            while looked_up and asked < until:
                _ask(looked_up + number_at(asked) * width)
                asked += _TWO
        if line:
            at, length = row * line, min(length, line)
        end = at + length
        if numbered:
            values = carray(pointer(numbered), (_ANY,), kind)
            while at < end:
                out[at] = values[number_at(begin)]
                at, begin = at + _ONE, begin + _TWO
        else:
            _move(job[OUT] + at * width, begin, length * width)
            at = end
        row, word = row + _ONE, word + _TWO
        if line:
            end = row * line
            if repeated:
                _set(job[OUT] + at * width, (end - at) * width, job[FILL])
            else:
                while at < end:
                    out[at] = fill
                    at += _ONE
            if job[ENDS]:
                ends[row - _ONE] = length
        else:
            ends[row] = at


@compiled
def fill(jobs: Any) -> None:
    """Does all jobs, one after the other."""
    for job in jobs:
        if not job[PLACES]:
            _move(job[OUT], job[CELLS], job[COUNT] * job[WIDTH])  # type: ignore[call-arg]
        elif job[WIDTH] == 8:
            _write_lists(job, np.uint64)
        elif job[WIDTH] == 4:
            _write_lists(job, np.uint32)
        elif job[WIDTH] == 2:
            _write_lists(job, np.uint16)
        else:
            _write_lists(job, np.uint8)


@compiled
def place(lengths: Any, pieces: Any, to: Any, out: Any) -> Any:
    """Writes the words of rows of these lengths, whose items follow each other in pieces; whether none lies in two.

    Those of a row are written to the place in `out` that `to` says, or nowhere if that is negative.
    """
    piece, done = 0, np.uint64(0)
    for row in range(len(lengths)):
        length, at = np.uint64(lengths[row]), to[row]
        while piece < len(pieces) and done >= pieces[piece, END]:
            piece += 1
        if length and (piece == len(pieces) or done + length > pieces[piece, END]):
            return False
        if at >= 0:
            out[at, BEGIN], out[at, ITEMS] = 0, length
            if length:
                before = pieces[piece - 1, END] if piece else np.uint64(0)
                out[at, BEGIN] = pieces[piece, ADDRESS] + (done - before) * pieces[piece, STEP]
                out[at, ITEMS] = length | pieces[piece, TABLE] << _TABLE
        done += length
    return True


def edges_of(counts: np.ndarray) -> np.ndarray:
    """Where things of these sizes begin, one after the other, and where the last ends, as INT64."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def copied(edges: np.ndarray, items: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists of some rows, one after the other, and where they begin and the last ends."""
    lengths = (edges[1:] - edges[:-1])[rows]
    places, no_table = np.zeros((len(rows), WORDS), np.uint64), np.zeros(1, np.uint64)
    places[:, BEGIN] = address(items) + edges[:-1][rows] * items.itemsize
    places[:, ITEMS] = lengths
    out, found = np.empty(int(lengths.sum()), items.dtype), np.empty(len(rows) + 1, np.int64)
    job = (address(places), 0, items.itemsize, 0, 0, address(no_table), len(rows), address(out), address(found), 0)
    fill(np.array([job], np.uint64))
    return out, found


def address(values: np.ndarray) -> int:
    return values.__array_interface__["data"][0]


def load_compiled() -> None:
    """Has all that is compiled for batches loaded here, or compiled, so that not each worker does it."""
    words = np.zeros((0, 4), np.uint64)
    fill(np.zeros((0, len(JOB)), np.uint64))
    place(np.zeros(0, np.int64), words, np.zeros(0, np.int64), words)
    column_lists.load()
