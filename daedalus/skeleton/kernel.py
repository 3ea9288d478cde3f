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

# Rows of `past`, the events of a user; and of `links`, for each of them the one below it in the list, the one
# above, the one to look at instead when it is a row's own, and room for those whose turn comes later.
TIME, CODE, OWN = 0, 1, 2
OLDER, NEWER, OTHER, HELD = 0, 1, 2, 3


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
                past[TIME, count] = times[event]
                past[CODE, count] = codes[event]
                past[OWN, count] = owns[event]
                count += 1
            begin = tied
    return count, past


@_compiled
def enter(event, head, past, links, last, distinct):  # type: ignore[no-untyped-def]
    """Puts an event on top of the list that begins at `head`; its value's earlier one goes. Returns the new head."""
    before = last[past[CODE, event]] if distinct else head
    links[OTHER, event] = -1
    if before >= 0:
        links[OTHER, event] = before if past[OWN, before] != past[OWN, event] else links[OTHER, before]
    if distinct and before >= 0:
        below, above = links[OLDER, before], links[NEWER, before]
        if before == head:
            head = below
        else:
            links[OLDER, above] = below
        if below >= 0:
            links[NEWER, below] = above
    links[OLDER, event] = head
    if head >= 0:
        links[NEWER, head] = event
    last[past[CODE, event]] = event
    return event


@_compiled
def list_values(head, now, spans, limit, own, past, links, distinct, out, begin, sizes, row):  # type: ignore[no-untyped-def]
    """Writes the value codes of the list at `head` to `out`, from `begin` on; returns how many.

    Arguments are those of `newest_values`, for one row. Events whose own code is `own` are not there for it.
    """
    count, at, waiting = 0, head, 0
    while count < limit and (at >= 0 or waiting > 0):
        if waiting > 0 and links[HELD, waiting - 1] > at:
            waiting -= 1
            event = links[HELD, waiting]
        else:
            event = at
            at = links[OLDER, at]
        time = past[TIME, event]
        if time < now - spans[-1]:
            break
        if own >= 0 and past[OWN, event] == own:
            other = links[OTHER, event]
            if not distinct:
                at = other
            elif other >= 0:  # the value's turn comes when its newest event of another comes
                place = waiting
                while place > 0 and links[HELD, place - 1] > other:
                    links[HELD, place] = links[HELD, place - 1]
                    place -= 1
                links[HELD, place] = other
                waiting += 1
            continue
        out[begin + count] = past[CODE, event]
        count += 1
        for window in range(len(spans)):
            if time >= now - spans[window]:
                sizes[row, window] = count
    return count


@_compiled
def newest_values(users, rows, events, ends, spans, limit, distinct, kinds, out):  # type: ignore[no-untyped-def]
    """Lists of each row's newest values' codes in the longest window, and how many of them lie in each window.

    `users` are where each user's rows begin, and their end; `rows` are (user, time, own code), where -1 is
    the code of a row that all events count for; `events` and `ends` as `gather` wants them. `spans` are the
    windows' microseconds, shortest first; `kinds` how many codes there are. Returns (buffer of codes, which is
    `out`, grown if need be, where each row's list begins in it, sizes by row and window).
    """
    row_user, row_time, row_own = rows
    begins = np.zeros(len(row_user), np.int64)
    sizes = np.zeros((len(row_user), len(spans)), np.int64)
    filled = 0
    last = np.full(kinds, -1, np.int64)  # the latest event of each value, of this user
    past = np.empty((3, 1024), np.int64)
    links = np.empty((4, 1024), np.int64)
    for user in range(len(users) - 1):
        first, end = users[user], users[user + 1]
        count, past = gather(row_user[first], events, ends, past)
        if links.shape[1] < past.shape[1]:
            links = np.empty((4, past.shape[1]), np.int64)
        head, seen = -1, 0
        for row in first + np.argsort(row_time[first:end]):
            while seen < count and past[TIME, seen] < row_time[row]:
                head = enter(seen, head, past, links, last, distinct)
                seen += 1
            if len(out) < filled + min(limit, seen):
                out = np.concatenate((out, np.empty(max(len(out), seen), out.dtype)))
            begins[row] = filled
            filled += list_values(
                head, row_time[row], spans, limit, row_own[row], past, links, distinct, out, filled, sizes, row
            )
        for event in range(seen):
            last[past[CODE, event]] = -1
    return out, begins, sizes


@_compiled
def count_events(users, rows, events, ends, spans, kinds):  # type: ignore[no-untyped-def]
    """How many events each row sees, by row and window; arguments as for `newest_values`, `kinds` own codes."""
    row_user, row_time, row_own = rows
    sizes = np.zeros((len(row_user), len(spans)), np.int64)
    last = np.full(kinds, -1, np.int64)  # the latest event of each own code, of this user
    past = np.empty((3, 1024), np.int64)
    before = np.empty(1024, np.int64)
    edges = np.empty(len(spans), np.int64)  # the first event that lies in each window
    for user in range(len(users) - 1):
        first, end = users[user], users[user + 1]
        count, past = gather(row_user[first], events, ends, past)
        if len(before) < past.shape[1]:
            before = np.empty(past.shape[1], np.int64)
        times, _, owns = past
        edges[:] = 0
        seen = 0
        for row in first + np.argsort(row_time[first:end]):
            now = row_time[row]
            while seen < count and times[seen] < now:
                before[seen] = last[owns[seen]]
                last[owns[seen]] = seen
                seen += 1
            for window in range(len(spans)):
                while edges[window] < seen and times[edges[window]] < now - spans[window]:
                    edges[window] += 1
                sizes[row, window] = seen - edges[window]
            own = last[row_own[row]] if row_own[row] >= 0 else -1
            while own >= edges[-1]:
                for window in range(len(spans)):
                    if own >= edges[window]:
                        sizes[row, window] -= 1
                own = before[own]
        for event in range(seen):
            last[owns[event]] = -1
    return sizes


@_compiled
def first_columns(codes, begins, sizes, kinds):  # type: ignore[no-untyped-def]
    """By code, the first column (number of columns: none) that has it; arguments as of `lists.Lists`, `kinds` codes."""
    columns = sizes.shape[1]
    first = np.full(kinds, columns, np.int64)
    for row in range(len(begins)):
        begin = 0
        for column in range(columns):
            for code in codes[begins[row] + begin : begins[row] + sizes[row, column]]:
                if column < first[code]:
                    first[code] = column
            begin = sizes[row, column]
    return first


@_compiled
def looked_up(codes, numbers):  # type: ignore[no-untyped-def]
    """The number of each code."""
    out = np.empty(len(codes), numbers.dtype)
    for i in range(len(codes)):
        out[i] = numbers[codes[i]]
    return out


@_compiled
def prefixes(codes, begins, sizes, out):  # type: ignore[no-untyped-def]
    """Writes the first `sizes` codes of each row's list to `out`, one list after the other."""
    filled = 0
    for row in range(len(sizes)):
        # Slices first: with indices that start at 0 the compiler copies in vectors.
        taken, room = codes[begins[row] : begins[row] + sizes[row]], out[filled : filled + sizes[row]]
        for i in range(len(taken)):
            room[i] = taken[i]
        filled += sizes[row]


@_compiled
def put_run(out, at, count, level):  # type: ignore[no-untyped-def]
    """Writes `count` equal levels as a run to `out`, if there are any; returns where it ends."""
    if count == 0:
        return at
    left = count << 1
    while left > 0x7F:
        out[at] = left & 0x7F | 0x80
        left >>= 7
        at += 1
    out[at], out[at + 1] = left, level
    return at + 2


@_compiled
def levels(sizes):  # type: ignore[no-untyped-def]
    """Repetition and definition levels of lists without NULLs in parquet's runs, as two arrays of bytes.

    Repetition is 0 where a row begins; definition is 3 for a value and 1 for an empty list.
    """
    repeated, defined = np.empty(16 * len(sizes) + 16, np.uint8), np.empty(8 * len(sizes) + 8, np.uint8)
    repeated_end = defined_end = begun = alike = 0
    level = 3
    for size in sizes:
        begun += 1
        if size > 1:
            repeated_end = put_run(repeated, repeated_end, begun, 0)
            repeated_end = put_run(repeated, repeated_end, size - 1, 1)
            begun = 0
        if (size > 0) != (level == 3):
            defined_end = put_run(defined, defined_end, alike, level)
            alike, level = 0, 4 - level
        alike += max(size, 1)
    repeated_end = put_run(repeated, repeated_end, begun, 0)
    defined_end = put_run(defined, defined_end, alike, level)
    return repeated[:repeated_end], defined[:defined_end]
