"""The compiled heart of rolling: for each row, the newest of what its user did before it.

One pass over a user's events in time order keeps the newest, latest first; of distinct values an event takes
the place of its value's earlier one. A row's list is what lies on top, copied as it stands, and what no later row
can list is dropped below, so a row costs what it lists, however long the user's past is.

This file imports nothing of the project: numba keeps what it compiled by this file's time stamp.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

# Rows of `past`, a user's events; of `recent`, those that a list may have, newest first, and their values; and of
# `others`, for each event its value's newest before it with another own code, and those whose turn comes later.
TIME, CODE, OWN = 0, 1, 2
EVENT = 0
OTHER, HELD = 0, 1


def compiled(function: Callable) -> Callable:
    """Compiled when first called, and kept on disk where there is a folder to write to."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@compiled
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


@compiled
def place(newest, top, end, event):  # type: ignore[no-untyped-def]
    """Where `event`, or the first older one, stands among events that are newest first from `top` to `end`."""
    while top < end:
        middle = (top + end) >> 1
        if newest[middle] > event:
            top = middle + 1
        else:
            end = middle
    return top


@compiled
def enter(event, past, others, recent, top, end, last, distinct, many_own):  # type: ignore[no-untyped-def]
    """Puts an event on top of `recent`, where its value's earlier one goes if it is there. Returns the new top."""
    code, newest, codes = past[CODE, event], recent[EVENT], recent[CODE]
    before = last[code] if distinct else -1
    at = end if before < 0 else place(newest, top, end, before)
    if at == end:
        top -= 1
        at = top
    for i in range(at, top, -1):
        newest[i], codes[i] = newest[i - 1], codes[i - 1]
    newest[top], codes[top] = event, code
    last[code] = event
    if many_own:
        others[OTHER, event] = before
        if before >= 0 and past[OWN, before] == past[OWN, event]:
            others[OTHER, event] = others[OTHER, before]
    return top


@compiled
def move_edges(edges, times, seen, now, spans):  # type: ignore[no-untyped-def]
    """Moves each window's first event, among the first `seen`, to where it is for a row at `now`."""
    for window in range(len(spans)):
        while edges[window] < seen and times[edges[window]] < now - spans[window]:
            edges[window] += 1


@compiled
def list_values(edges, limit, own, recent, top, end, out, sizes):  # type: ignore[no-untyped-def]
    """Writes a row's list, of what `recent` has from `top` to `end`, to `out`, and how long it is in each window.

    `edges` are the windows' first events; `own` is the place of the one that is not there for the row, or `end`.
    """
    for window in range(len(edges)):
        below = place(recent[EVENT], top, end, edges[window] - 1)
        sizes[window] = min(limit, below - top - (own < below))
    above = min(sizes[-1], own - top)
    # Slices first: with indices that start at 0 the compiler copies in vectors.
    newer, older, room = recent[CODE, top:], recent[CODE, own + 1 :], out[above:]
    for i in range(above):
        out[i] = newer[i]
    for i in range(sizes[-1] - above):
        room[i] = older[i]


@compiled
def list_others(edges, limit, own, past, others, recent, top, end, out, sizes):  # type: ignore[no-untyped-def]
    """As `list_values`, but every event whose own code is `own` is not there for the row.

    A value whose newest event is such a one has its turn where its newest event of another comes.
    """
    count, at, waiting = 0, top, 0
    while count < limit and (at < end or waiting > 0):
        if waiting > 0 and (at == end or others[HELD, waiting - 1] > recent[EVENT, at]):
            waiting -= 1
            event = others[HELD, waiting]
        else:
            event = recent[EVENT, at]
            at += 1
        if event < edges[-1]:
            break
        if past[OWN, event] == own:
            other, turn = others[OTHER, event], waiting
            if other >= 0:
                while turn > 0 and others[HELD, turn - 1] > other:
                    others[HELD, turn] = others[HELD, turn - 1]
                    turn -= 1
                others[HELD, turn] = other
                waiting += 1
            continue
        out[count] = past[CODE, event]
        count += 1
        for window in range(len(edges)):
            if event >= edges[window]:
                sizes[window] = count


@compiled
def newest_values(users, rows, events, ends, spans, limit, distinct, many_own, kinds, out):  # type: ignore[no-untyped-def]
    """Lists of each row's newest values' codes in the longest window, and how many of them lie in each window.

    `users` are where each user's rows begin, and their end; `rows` are (user, time, own code), where -1 is
    the code of a row that all events count for; `events` and `ends` as `gather` wants them. `spans` are the
    windows' microseconds, shortest first; `many_own` says that a row's own events may be several in a list, else
    own codes are value codes; `kinds` is how many value codes there are. Returns (buffer of codes, which is
    `out`, grown if need be, where each row's list begins in it, sizes by row and window).
    """
    row_user, row_time, row_own = rows
    begins, sizes = np.zeros(len(row_user), np.int64), np.zeros((len(row_user), len(spans)), np.int64)
    edges, filled = np.zeros(len(spans), np.int64), 0
    last = np.full(kinds, -1, np.int64)  # the latest event of each value, of this user
    past, others, recent = np.empty((3, 1024), np.int64), np.empty((2, 1024), np.int64), np.empty((2, 1024), np.int32)
    for user in range(len(users) - 1):
        first, rows_end = users[user], users[user + 1]
        count, past = gather(row_user[first], events, ends, past)
        if recent.shape[1] < past.shape[1]:
            others, recent = np.empty((2, past.shape[1]), np.int64), np.empty((2, past.shape[1]), np.int32)
        top = end = recent.shape[1]
        edges[:] = 0
        seen = 0
        for row in first + np.argsort(row_time[first:rows_end]):
            while seen < count and past[TIME, seen] < row_time[row]:
                top = enter(seen, past, others, recent, top, end, last, distinct, many_own)
                seen += 1
                if not many_own and end - top > limit + 1:  # no later row comes down to it
                    end -= 1
            move_edges(edges, past[TIME], seen, row_time[row], spans)
            end = place(recent[EVENT], top, end, edges[-1] - 1)
            if len(out) < filled + min(limit, seen):
                out = np.concatenate((out, np.empty(max(len(out), seen), out.dtype)))
            begins[row], own = filled, row_own[row]
            if many_own and own >= 0:
                list_others(edges, limit, own, past, others, recent, top, end, out[filled:], sizes[row])
            else:
                left_out = end if own < 0 or last[own] < 0 else place(recent[EVENT], top, end, last[own])
                list_values(edges, limit, left_out, recent, top, end, out[filled:], sizes[row])
            filled += sizes[row, -1]
        for event in range(seen):
            last[past[CODE, event]] = -1
    return out, begins, sizes


@compiled
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
            move_edges(edges, times, seen, now, spans)
            for window in range(len(spans)):
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
