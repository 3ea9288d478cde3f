"""Taking lists by row, compiled: those of all columns of a batch in one call, for each call costs as much as its lists.

Row r has the items from `edges[r]` to before `edges[r + 1]`. Items are bits of a value, or, of columns with values, 16
bits that say which of these. They are written one row after the other, or as the first of a line each.

Rows lie anywhere, so that each would wait for memory in turn. Their items are touched first, one row after the other,
which the processor need not wait for; that takes a third of the time. What was touched is returned, lest a compiler
leaves it out. Places are unsigned, for those below 0 would count from the end, which takes four times the time to ask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray
from numba.core import cgutils, types
from numba.extending import intrinsic

from daedalus.parquet import column_lists
from daedalus.parquet.jit import compiled

# What a job says, as unsigned numbers. Addresses: of the edges, the items and the values (or 0) that there are; of the
# memory for items, and for where in it each row ends, or, of padded rows, for how many items each has. Then the bytes
# of a value, how many items a padded line has (0 if not padded), the bits of padding, and items that lie before.
JOB = EDGES, ITEMS, VALUES, OUT, ENDS, WIDTH, LINE, FILL, BEFORE = tuple(range(9))
_ANY = 1 << 40  # items of memory whose bounds its owner knows


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


@compiled
def _begin(edges: Any, rows: Any, line: Any, before: Any, begins: Any, ends: Any) -> Any:
    """Writes where the items of rows begin, and where they end in the batch or how many there are; how many in all."""
    at = before
    for place in range(len(rows)):
        row, here = np.uint64(rows[np.uint64(place)]), np.uint64(place)
        begins[here] = edges[row]
        count = np.uint64(edges[row + np.uint64(1)]) - begins[here]
        at += count
        ends[here] = min(count, line) if line else at
    return at - before


@compiled
def _touch(items: Any, begins: Any, count: Any) -> Any:
    found = np.uint64(0)
    if count:
        last = begins[0]
        for begin in begins:
            last = max(begin, last)
        for begin in begins:
            found ^= np.uint64(items[min(begin, last - np.uint64(1) if last else last)])
    return found


@compiled
def _copy(items: Any, values: Any, begins: Any, line: Any, fill: Any, before: Any, out: Any, ends: Any) -> None:
    """Writes items, or the values that they number; `values` is None if there are none, for which numba compiles it."""
    if line:
        for place in range(np.uint64(len(begins)) * line):
            out[np.uint64(place)] = fill
    at = before
    for place in range(len(begins)):
        here = np.uint64(place)
        if line:
            at = here * line
        end = at + np.uint64(ends[here]) if line else np.uint64(ends[here])
        source = begins[here] - at
        while at < end:
            if values is None:
                out[at] = items[at + source]
            else:
                out[at] = values[items[at + source]]
            at += np.uint64(1)


@compiled
def count_items(edges: Any, rows: Any) -> Any:
    """How many items the lists of `rows` have in each of some columns, given by the addresses of their edges."""
    found = np.zeros(len(edges), np.int64)
    for column in range(len(edges)):
        of_column = carray(_pointer(edges[column]), (_ANY,), np.int64)  # type: ignore[call-arg]
        for row in rows:
            found[column] += of_column[np.uint64(row) + np.uint64(1)] - of_column[np.uint64(row)]
    return found


@compiled
def fill_lists(jobs: Any, rows: Any) -> Any:
    """Writes the lists of `rows` of some columns, a job each."""
    begins, touched = np.empty(len(rows), np.uint64), np.uint64(0)
    for job in jobs:
        edges = carray(_pointer(job[EDGES]), (_ANY,), np.int64)  # type: ignore[call-arg]
        ends = carray(_pointer(job[ENDS]), (_ANY,), np.int64)
        line, fill, before = job[LINE], job[FILL], job[BEFORE]
        count = _begin(edges, rows, line, before, begins, ends)
        numbers = carray(_pointer(job[ITEMS]), (_ANY,), np.uint16)
        if job[VALUES]:
            touched ^= _touch(numbers, begins, count)
        if job[WIDTH] == 8:
            out8 = carray(_pointer(job[OUT]), (_ANY,), np.uint64)
            if job[VALUES]:
                values8 = carray(_pointer(job[VALUES]), (_ANY,), np.uint64)
                _copy(numbers, values8, begins, line, fill, before, out8, ends)
            else:
                items8 = carray(_pointer(job[ITEMS]), (_ANY,), np.uint64)
                touched ^= _touch(items8, begins, count)
                _copy(items8, None, begins, line, fill, before, out8, ends)
        elif job[WIDTH] == 4:
            out4 = carray(_pointer(job[OUT]), (_ANY,), np.uint32)
            if job[VALUES]:
                values4 = carray(_pointer(job[VALUES]), (_ANY,), np.uint32)
                _copy(numbers, values4, begins, line, np.uint32(fill), before, out4, ends)
            else:
                items4 = carray(_pointer(job[ITEMS]), (_ANY,), np.uint32)
                _copy(items4, None, begins, line, np.uint32(fill), before, out4, ends)
        elif job[WIDTH] == 2:
            out2 = carray(_pointer(job[OUT]), (_ANY,), np.uint16)
            if job[VALUES]:
                values2 = carray(_pointer(job[VALUES]), (_ANY,), np.uint16)
                _copy(numbers, values2, begins, line, np.uint16(fill), before, out2, ends)
            else:
                _copy(numbers, None, begins, line, np.uint16(fill), before, out2, ends)
        else:
            out1 = carray(_pointer(job[OUT]), (_ANY,), np.uint8)
            items1 = carray(_pointer(job[ITEMS]), (_ANY,), np.uint8)
            _copy(items1, None, begins, line, np.uint8(fill), before, out1, ends)
    return touched


def edges_of(counts: np.ndarray) -> np.ndarray:
    """Where things of these sizes begin, one after the other, and where the last ends, as INT64."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def copied(edges: np.ndarray, items: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lists of some rows, one after the other, and where they begin and the last ends."""
    rows = np.ascontiguousarray(rows, np.int64)
    lengths = (edges[1:] - edges[:-1])[rows]
    out, found = np.empty(int(lengths.sum()), items.dtype), edges_of(lengths)
    job = (address(edges), address(items), 0, address(out), address(found) + 8, items.itemsize, 0, 0, 0)
    fill_lists(np.array([job], np.uint64), rows)
    return out, found


def address(values: np.ndarray) -> int:
    return values.__array_interface__["data"][0]


def load_compiled() -> None:
    """Has all that is compiled for batches loaded here, or compiled, so that not each worker does it."""
    none = np.zeros(0, np.int64)
    fill_lists(np.zeros((0, len(JOB)), np.uint64), none)
    count_items(np.zeros(0, np.uint64), none)
    column_lists.load()
