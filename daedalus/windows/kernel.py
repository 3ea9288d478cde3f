"""The compiled heart of rolling: for each row, the newest of what its user did before it.

One pass over a user's events in time order keeps the newest, latest first; of distinct values an event takes
the place of its value's earlier one. A row's list is what lies on top, copied as it stands, and what no later row
can list is dropped below, so a row costs what it lists, however long the user's past is. The events between two rows
come in together: those that they take the place of go in one pass over what the row before listed.

Where a row's own events may be several in a list, so that what lies on top differs from row to row, the events are
linked instead, each to the next older one that still stands for its value.

This file imports nothing of the project: numba keeps what it compiled by this file's time stamp.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled

# Rows of `past`, a user's events; of `recent`, those that a list may have, newest first, and their values; and of
# `linked`, for each event the next older and newer one that stands for its value, -1 where there is none, its
# value's newest before it with another own code, and a heap of those whose turn comes later.
TIME, CODE, OWN = 0, 1, 2
EVENT = 0
OLDER, NEWER, OTHER, HELD = 0, 1, 2, 3


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
def enter(first, seen, past, recent, top, end, last, distinct):  # type: ignore[no-untyped-def]
    """Puts events `first` to `seen` on top of `recent`, and takes out what they take the place of.

    Returns the new top.
    """
    newest, codes = recent[EVENT], recent[CODE]
    gone, oldest = 0, seen  # of those taken out, how many there are and the oldest
    for event in range(first, seen):
        code = past[CODE, event]
        top -= 1
        newest[top], codes[top] = event, code
        before = last[code]
        if distinct and top + 1 < end and before >= newest[end - 1]:
            gone += 1
            oldest = min(oldest, before)
        last[code] = event
    if gone == 0:
        return top
    at = place(newest, top, end, oldest)
    if gone == 1:
        for i in range(at, top, -1):
            newest[i], codes[i] = newest[i - 1], codes[i - 1]
        return top + 1
    kept = at + 1
    for i in range(at, top - 1, -1):
        if newest[i] == last[codes[i]]:
            kept -= 1
            newest[kept], codes[kept] = newest[i], codes[i]
    return kept


@compiled
def link(event, past, linked, last, distinct):  # type: ignore[no-untyped-def]
    """Puts an event at the head of those that stand for their values, and takes out its value's earlier one."""
    before = last[past[CODE, event]] if distinct else -1
    linked[OLDER, event], linked[NEWER, event], linked[OTHER, event] = event - 1, -1, before
    if event > 0:
        linked[NEWER, event - 1] = event
    if before >= 0:
        older, newer = linked[OLDER, before], linked[NEWER, before]
        linked[OLDER, newer] = older
        if older >= 0:
            linked[NEWER, older] = newer
        if past[OWN, before] == past[OWN, event]:
            linked[OTHER, event] = linked[OTHER, before]
    last[past[CODE, event]] = event


@compiled
def hold(held, waiting, event):  # type: ignore[no-untyped-def]
    """Puts an event into a heap of `waiting` ones, the newest first."""
    at = waiting
    while at > 0 and held[(at - 1) >> 1] < event:
        held[at] = held[(at - 1) >> 1]
        at = (at - 1) >> 1
    held[at] = event


@compiled
def let_go(held, waiting):  # type: ignore[no-untyped-def]
    """Takes the newest out of a heap of `waiting` events."""
    event, at = held[waiting - 1], 0
    while 2 * at + 1 < waiting - 1:
        child = 2 * at + 1
        if child + 1 < waiting - 1 and held[child + 1] > held[child]:
            child += 1
        if held[child] <= event:
            break
        held[at] = held[child]
        at = child
    held[at] = event


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
def list_others(edges, limit, own, past, linked, newest, out, sizes):  # type: ignore[no-untyped-def]
    """As `list_values`, of what is linked from the event `newest` on, but events whose own code is `own` do not count.

    A value whose newest event is such a one has its turn where its newest event of another comes.
    """
    held = linked[HELD]
    count = waiting = window = 0
    while count < limit:
        if waiting > 0 and held[0] > newest:
            event = held[0]
            let_go(held, waiting)
            waiting -= 1
        else:
            event = newest
            newest = linked[OLDER, event] if event >= 0 else -1
        if event < edges[-1]:
            break
        if past[OWN, event] == own:
            if linked[OTHER, event] >= edges[-1]:
                hold(held, waiting, linked[OTHER, event])
                waiting += 1
            continue
        while event < edges[window]:
            sizes[window] = count
            window += 1
        out[count] = past[CODE, event]
        count += 1
    sizes[window:] = count


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
    past, linked, recent = np.empty((3, 1024), np.int64), np.empty((4, 1024), np.int64), np.empty((2, 1024), np.int32)
    for user in range(len(users) - 1):
        first, rows_end = users[user], users[user + 1]
        count, past = gather(row_user[first], events, ends, past)
        if not many_own and recent.shape[1] < past.shape[1]:
            recent = np.empty((2, past.shape[1]), np.int32)
        if many_own and linked.shape[1] < past.shape[1]:
            linked = np.empty((4, past.shape[1]), np.int64)
        top = end = recent.shape[1]
        edges[:] = 0
        seen = 0
        for row in first + np.argsort(row_time[first:rows_end]):
            entered, own = seen, row_own[row]
            while seen < count and past[TIME, seen] < row_time[row]:
                if many_own:
                    link(seen, past, linked, last, distinct)
                seen += 1
            move_edges(edges, past[TIME], seen, row_time[row], spans)
            if len(out) < filled + min(limit, seen):
                out = np.concatenate((out, np.empty(max(len(out), seen), out.dtype)))
            begins[row] = filled
            if many_own:
                list_others(edges, limit, own, past, linked, seen - 1, out[filled:], sizes[row])
            else:
                top = enter(entered, seen, past, recent, top, end, last, distinct)
                end = place(recent[EVENT], top, min(end, top + limit + 1), edges[-1] - 1)
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
    oldest = np.empty((len(spans), kinds), np.int64)  # and, by window, the first one that a row has looked from
    past = np.empty((3, 1024), np.int64)
    place_of, after = np.empty(1024, np.int64), np.empty(1024, np.int64)  # among events of its own code; the next one
    edges = np.empty(len(spans), np.int64)  # the first event that lies in each window
    for user in range(len(users) - 1):
        first, end = users[user], users[user + 1]
        count, past = gather(row_user[first], events, ends, past)
        if len(after) < past.shape[1]:
            place_of, after = np.empty(past.shape[1], np.int64), np.empty(past.shape[1], np.int64)
        times, _, owns = past
        edges[:] = 0
        seen = 0
        for row in first + np.argsort(row_time[first:end]):
            now, own = row_time[row], row_own[row]
            while seen < count and times[seen] < now:
                before = last[owns[seen]]
                if before < 0:
                    place_of[seen] = 0
                    oldest[:, owns[seen]] = seen
                else:
                    place_of[seen] = place_of[before] + 1
                    after[before] = seen
                last[owns[seen]] = seen
                seen += 1
            move_edges(edges, times, seen, now, spans)
            for window in range(len(spans)):
                sizes[row, window] = seen - edges[window]
                if own >= 0 and last[own] >= edges[window]:
                    at = oldest[window, own]
                    while at < edges[window]:
                        at = after[at]
                    oldest[window, own] = at
                    sizes[row, window] -= place_of[last[own]] - place_of[at] + 1
        for event in range(seen):
            last[owns[event]] = -1
    return sizes
