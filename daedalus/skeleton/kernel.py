"""The compiled heart of rolling: for each row, the newest of what its user did before it.

One pass over a user's events in time order keeps them as a linked list, newest first; for distinct
values an event takes the place of the value's earlier one. A row walks that list until its window
or its limit ends, so a row costs what it lists, however long the user's past is.

This file imports nothing of the project: numba keeps what it compiled by this file's time stamp.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


def _compiled(function: Callable) -> Callable:
    """Compiled when first called, and kept on disk where there is a folder to write to."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def gather(user, events, ends, past):  # type: ignore[no-untyped-def]
    """The events of `user` in time order, copied to the columns of `past`: (how many, `past`, grown if need be).

    `events` are (users, times, value codes, own codes) in pieces (days, ascending), each sorted by user,
    time and value; `ends` has, for each piece, (next event, end) and moves on. Events of one time are
    turned round: read from the newest back, they too must come by value ascending.
    """
    users, times, codes, owns = events
    count = 0
    for piece in range(len(ends)):
        at, end = ends[piece]
        while at < end and users[at] < user:
            at += 1
        begin = at
        while at < end and users[at] == user:
            at += 1
        ends[piece, 0] = at
        while past.shape[1] < count + at - begin:
            past = np.concatenate((past, np.empty_like(past)), axis=1)
        while begin < at:
            tied = begin + 1
            while tied < at and times[tied] == times[begin]:
                tied += 1
            for event in range(tied - 1, begin - 1, -1):
                past[0, count] = times[event]
                past[1, count] = codes[event]
                past[2, count] = owns[event]
                count += 1
            begin = tied
    return count, past


@_compiled
def newest_values(rows, events, ends, spans, limit, distinct, without_own, values, out):  # type: ignore[no-untyped-def]
    """Lists of each row's newest values in the longest window, and how many of them lie in each window.

    `rows` are (user, time, own code), sorted by user; `events` and `ends` as `gather` wants them. With
    `without_own`, events whose own code is the row's are not there for it. `spans` are the windows'
    microseconds, shortest first; `values` the values by code. Returns (buffer of values, which is `out`,
    grown if need be, where each row's list begins in it, sizes by window and row).
    """
    row_user, row_time, row_own = rows
    begins = np.zeros(len(row_user), np.int64)
    sizes = np.zeros((len(spans), len(row_user)), np.int64)
    filled = 0
    last = np.full(len(values), -1, np.int64)  # the latest event of each value, of this user
    past = np.empty((3, 1024), np.int64)
    links = np.empty((4, 1024), np.int64)
    first = 0
    while first < len(row_user):
        end = first + 1
        while end < len(row_user) and row_user[end] == row_user[first]:
            end += 1
        count, past = gather(row_user[first], events, ends, past)
        if links.shape[1] < past.shape[1]:
            links = np.empty((4, past.shape[1]), np.int64)
        times, codes, owns = past
        older, newer, other, held = links
        head, seen = -1, 0
        for row in first + np.argsort(row_time[first:end]):
            now = row_time[row]
            while seen < count and times[seen] < now:  # the event becomes the newest
                before = last[codes[seen]] if distinct else head
                other[seen] = -1  # the event to look at instead when this one is the row's own
                if before >= 0:
                    other[seen] = before if owns[before] != owns[seen] else other[before]
                if distinct and before >= 0:  # and takes the place of the value's earlier one
                    if before == head:
                        head = older[before]
                    else:
                        older[newer[before]] = older[before]
                    if older[before] >= 0:
                        newer[older[before]] = newer[before]
                older[seen] = head
                if head >= 0:
                    newer[head] = seen
                head = seen
                last[codes[seen]] = seen
                seen += 1
            if len(out) < filled + min(limit, seen):
                out = np.concatenate((out, np.empty(max(len(out), seen), values.dtype)))
            begins[row] = filled
            found, at, waiting = 0, head, 0
            while found < limit and (at >= 0 or waiting > 0):
                if waiting > 0 and held[waiting - 1] > at:
                    waiting -= 1
                    event = held[waiting]
                else:
                    event = at
                    at = older[at]
                if times[event] < now - spans[-1]:
                    break
                if without_own and owns[event] == row_own[row]:
                    if not distinct:
                        at = other[event]
                    elif other[event] >= 0:  # the value's turn comes when its newest event of another comes
                        place = waiting
                        while place > 0 and held[place - 1] > other[event]:
                            held[place] = held[place - 1]
                            place -= 1
                        held[place] = other[event]
                        waiting += 1
                    continue
                out[filled] = values[codes[event]]
                filled += 1
                found += 1
                for window in range(len(spans)):
                    if times[event] >= now - spans[window]:
                        sizes[window, row] = found
        for event in range(seen):
            last[codes[event]] = -1
        first = end
    return out, begins, sizes


@_compiled
def count_events(rows, events, ends, spans, without_own, kinds):  # type: ignore[no-untyped-def]
    """How many events each row sees, by window and row; arguments as for `newest_values`, `kinds` own codes."""
    row_user, row_time, row_own = rows
    sizes = np.zeros((len(spans), len(row_user)), np.int64)
    last = np.full(kinds, -1, np.int64)  # the latest event of each own code, of this user
    past = np.empty((3, 1024), np.int64)
    before = np.empty(1024, np.int64)
    edges = np.empty(len(spans), np.int64)  # the first event that lies in each window
    first = 0
    while first < len(row_user):
        end = first + 1
        while end < len(row_user) and row_user[end] == row_user[first]:
            end += 1
        count, past = gather(row_user[first], events, ends, past)
        if len(before) < past.shape[1]:
            before = np.empty(past.shape[1], np.int64)
        times, _, owns = past
        edges[:] = 0
        seen = 0
        for row in first + np.argsort(row_time[first:end]):
            now = row_time[row]
            while seen < count and times[seen] < now:
                if without_own:
                    before[seen] = last[owns[seen]]
                    last[owns[seen]] = seen
                seen += 1
            for window in range(len(spans)):
                while edges[window] < seen and times[edges[window]] < now - spans[window]:
                    edges[window] += 1
                sizes[window, row] = seen - edges[window]
            own = last[row_own[row]] if without_own and row_own[row] >= 0 else -1
            while own >= edges[-1]:
                for window in range(len(spans)):
                    if own >= edges[window]:
                        sizes[window, row] -= 1
                own = before[own]
        if without_own:
            for event in range(seen):
                last[owns[event]] = -1
        first = end
    return sizes


@_compiled
def prefixes(buffer, begins, sizes, offsets, out):  # type: ignore[no-untyped-def]
    """Writes the first `sizes` values of each row's list to `out`, one list after the other."""
    for row in range(len(sizes)):
        at, begin = offsets[row], begins[row]
        for i in range(sizes[row]):
            out[at + i] = buffer[begin + i]
