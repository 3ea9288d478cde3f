"""The compiled kernel of rolling: for each row, the list of its user's newest values before the row.

`newest_values` (lists), `count_events` (counts) and `find_seen` (other kinds) are the entry points. All take the rows
and events of some users, and per user go through events and rows together in time order. Values are int codes;
`distinct` means that a value counts once in a list, at its latest event.

Lists have two methods:

- The usual one, a stack in the array `recent`: events newest first, from index `top` to `end`. New events are put on
  top (`enter`), which removes the earlier events of their values if `distinct`; events that left the longest window,
  or are below the limit, are cut off at `end` for good. A row's list is a copy from `top`, so a row costs as much as
  its list is long, however many events the user has. How many values a window has is counted as events enter (`enter`)
  and leave it (`leave`).
- With `many_own`, a linked list in the array `linked`. A row does not see events with its own code, and when there
  can be several of them, different rows see different stacks. So each event is linked to the next older one that has
  not been replaced (`link`), and each row walks down from the newest, skipping its own (`list_others`).

This file imports nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its
file alone, so it would miss changes elsewhere.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner, move, uncounted

# Rows of the 2-D arrays. An "event" is an index into `past`, so a larger number is a later event.
# past: all events of the user; own codes are compared with a row's own code, to leave out the row's own events.
TIME, CODE, OWN = 0, 1, 2
# recent: EVENT is the event and CODE its value code; columns are filled from the right, the newest at `top`.
EVENT = 0
# linked: for each event the next OLDER and NEWER event in the list, and as OTHER the latest event before it of the
# same value with another own code; -1 where there is none. HELD is a heap that `list_others` uses.
OLDER, NEWER, OTHER, HELD = 0, 1, 2, 3


@inner
def gather(user, events, ends, past):  # type: ignore[no-untyped-def]
    """Copies the events of `user` in time order to `past`; returns how many, or -1 if `past` has no room for them.

    `events` are (users, times, value codes, own codes) in pieces (days, ascending), each sorted by user,
    time and value. `ends` has (next event, end) of each piece; the first is advanced past the users before this one, so
    users must be asked for in ascending order. Events of equal time are copied in reverse: lists are read from
    the newest back, and there equal times must be in ascending order of value.
    """
    users, times, codes, owns = events
    count = 0
    for piece in range(len(ends)):
        at, end = ends[piece]
        while at < end and users[at] < user:
            at += 1
        ends[piece, 0] = at
        while at < end and users[at] == user:
            tied = at + 1
            while tied < end and times[tied] == times[at] and users[tied] == user:
                tied += 1
            if past.shape[1] < count + tied - at:
                return -1
            for event in range(tied - 1, at - 1, -1):
                past[TIME, count] = times[event]
                past[CODE, count] = codes[event]
                past[OWN, count] = owns[event]
                count += 1
            at = tied
    return count


@inner
def place(newest, top, end, event):  # type: ignore[no-untyped-def]
    """The index of `event`, or of the first older one, in `newest[top:end]`, which is newest first (binary search)."""
    left = end - top
    while left > 0:
        half = (left + 1) >> 1
        top += half if newest[top + half - 1] > event else 0  # without a branch, which would be mispredicted
        left -= half
    return top


@inner
def enter(first, seen, codes, newest, stacked, top, end, last, distinct, edges, within):  # type: ignore[no-untyped-def]
    """Puts events `first` to `seen`, of these value `codes`, on top of the stack; with `distinct`, removes the events
    that they replace.

    `last` is the latest event of each value, and `within` the number of values in each window, which begins at its
    event of `edges`; both are updated. Returns the new top.
    """
    gone, oldest = 0, seen  # how many events are replaced, and the oldest of them
    for event in range(first, seen):
        code = codes[event]
        top -= 1
        newest[top], stacked[top] = event, code
        before = last[code] if distinct else -1
        for window in range(len(edges)):
            within[window] += before < edges[window]
        # The last condition: `before` is still on the stack, not cut off below `end`.
        if before >= 0 and top + 1 < end and before >= newest[end - 1]:
            gone += 1
            oldest = min(oldest, before)
        last[code] = event
    if gone == 0:
        return top
    at = place(newest, top, end, oldest)
    if gone == 1:  # the most frequent case: close the gap by moving what is above it
        move(newest, top + 1, newest, top, at - top)
        move(stacked, top + 1, stacked, top, at - top)
        return top + 1
    # Several: compact from the oldest gap upwards. An event that is not the latest of its value has been replaced.
    kept = at + 1
    for i in range(at, top - 1, -1):
        if newest[i] == last[stacked[i]]:
            kept -= 1
            newest[kept], stacked[kept] = newest[i], stacked[i]
    return kept


@inner
def leave(edges, within, times, codes, last, seen, now, spans, distinct):  # type: ignore[no-untyped-def]
    """As `move_edges`, and takes what leaves a window from the number of values `within` it."""
    for window in range(len(spans)):
        edge = edges[window]
        while edge < seen and times[edge] < now - spans[window]:
            within[window] -= not distinct or last[codes[edge]] == edge
            edge += 1
        edges[window] = edge


@inner
def note(first, seen, codes, last, distinct, edges, limit, firsts):  # type: ignore[no-untyped-def]
    """Notes in `firsts`, by value code, the shortest window in which a row lists the values of events `first` to
    `seen`, which it is the first to see: no later row has them in a shorter one, or lists what it does not."""
    listed = 0
    for event in range(seen - 1, first - 1, -1):
        if event < edges[-1] or listed == limit:
            break
        code = codes[event]
        if distinct and last[code] != event:
            continue
        listed += 1
        window = 0
        while event < edges[window]:
            window += 1
        firsts[code] = min(firsts[code], window)


@inner
def link(first, seen, past, linked, last, distinct):  # type: ignore[no-untyped-def]
    """Puts events `first` to `seen` at the head of the linked list; with `distinct`, unlinks the events that they
    replace."""
    for event in range(first, seen):
        before = last[past[CODE, event]] if distinct else -1
        linked[OLDER, event], linked[NEWER, event], linked[OTHER, event] = event - 1, -1, before
        if event > 0:
            linked[NEWER, event - 1] = event
        if before >= 0:
            older, newer = linked[OLDER, before], linked[NEWER, before]
            linked[OLDER, newer] = older
            if older >= 0:
                linked[NEWER, older] = newer
            # A row whose own code is this event's does not see `before` either: pass on what it sees instead.
            if past[OWN, before] == past[OWN, event]:
                linked[OTHER, event] = linked[OTHER, before]
        last[past[CODE, event]] = event


@inner
def hold(held, waiting, event):  # type: ignore[no-untyped-def]
    """Adds an event to a heap of `waiting` events, a max-heap with the newest at 0."""
    at = waiting
    while at > 0 and held[(at - 1) >> 1] < event:
        held[at] = held[(at - 1) >> 1]
        at = (at - 1) >> 1
    held[at] = event


@inner
def let_go(held, waiting):  # type: ignore[no-untyped-def]
    """Removes the newest event, at 0, from a heap of `waiting` events."""
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


@inner
def move_edges(edges, times, seen, now, spans):  # type: ignore[no-untyped-def]
    """Advances `edges`, the first event in each window, for a row at `now`; only the first `seen` events count."""
    for window in range(len(spans)):
        while edges[window] < seen and times[edges[window]] < now - spans[window]:
            edges[window] += 1


@inner
def time_order(times, first, order):  # type: ignore[no-untyped-def]
    """Fills `order` with rows from `first` on, in ascending order of their `times` (Shell's sort; most users have few
    rows)."""
    gap = 1
    while gap < len(order) // 9:
        gap = 3 * gap + 1
    for i in range(len(order)):
        order[i] = first + i
    while gap > 0:
        for i in range(gap, len(order)):
            row, at = order[i], i
            while at >= gap and times[order[at - gap]] > times[row]:
                order[at] = order[at - gap]
                at -= gap
            order[at] = row
        gap //= 3


@inner
def list_values(row, edges, within, limit, own, own_at, stacked, top, out, filled, sizes):  # type: ignore[no-untyped-def]
    """Writes a row's list, of `stacked` from `top` on, to `out` from `filled` on, and its length in each window to
    `sizes`.

    `edges` are the windows' first events, `within` the number of values in each. `own` is the event that the row does
    not see, at the index `own_at`; -1 if it sees all.
    """
    length = 0
    for window in range(len(edges)):
        length = min(limit, within[window] - (own >= edges[window]))
        sizes[row, window] = length
    above = min(length, own_at - top)  # how many of the list are newer than its own event
    move(out, filled, stacked, top, above)
    if above < length:
        move(out, filled + above, stacked, own_at + 1, length - above)


@inner
def list_others(edges, limit, own, past, linked, newest, out, sizes):  # type: ignore[no-untyped-def]
    """As `list_values`, walking the linked list from the event `newest`, without events whose own code is `own`.

    A value whose latest event is left out is listed at its latest event with another own code, OTHER. That one is
    older and not linked, so it waits in a heap until the walk reaches its time.
    """
    held = linked[HELD]
    count = waiting = window = 0
    while count < limit:
        if waiting > 0 and held[0] > newest:  # the next in time order is in the heap, not in the list
            event = held[0]
            let_go(held, waiting)
            waiting -= 1
        else:
            event = newest
            newest = linked[OLDER, event] if event >= 0 else -1
        if event < edges[-1]:  # also -1, at the end of the list
            break
        if past[OWN, event] == own:
            if linked[OTHER, event] >= edges[-1]:
                hold(held, waiting, linked[OTHER, event])
                waiting += 1
            continue
        while event < edges[window]:  # left a shorter window: its list is what has been written
            sizes[window] = count
            window += 1
        out[count] = past[CODE, event]
        count += 1
    sizes[window:] = count


@uncounted
def list_users(user, filled, users, rows, events, ends, spans, rules, rooms, kept, found):  # type: ignore[no-untyped-def]
    """Lists the values of rows of `user` and those after it, from `filled` on, as long as there is room for all of a
    user's. Returns (the next user, the end of what is filled, whether it is its events that there is no room for).

    `rules` are (limit, distinct, many_own, noted), `rooms` (past, linked, recent), `found` (begins, sizes, firsts,
    out), and `kept` (last, order, edges, within) is memory of a user's, of which `last` is -1 between users.
    """
    row_user, row_time, row_own = rows
    (limit, distinct, many_own, noted), (past, linked, recent) = rules, rooms
    (last, order, edges, within), (begins, sizes, firsts, out) = kept, found
    times, codes, newest, stacked = past[TIME], past[CODE], recent[EVENT], recent[CODE]
    while user < len(users) - 1:
        mine = order[users[user] : users[user + 1]]
        count = gather(row_user[users[user]], events, ends, past)
        if count < 0:
            return user, filled, True
        time_order(row_time, users[user], mine)
        top = end = len(newest)
        edges[:], within[:] = 0, 0
        seen, at, has_room = 0, filled, True
        for row in mine:
            entered, own, now = seen, row_own[row], row_time[row]
            while seen < count and times[seen] < now:  # strictly before the row: no leakage
                seen += 1
            begins[row] = at
            if seen == 0:
                continue
            has_room = at + min(limit, seen) <= len(out)  # no list is longer than this
            if not has_room:
                break
            if many_own:
                link(entered, seen, past, linked, last, distinct)
                move_edges(edges, times, seen, now, spans)
                list_others(edges, limit, own, past, linked, seen - 1, out[at:], sizes[row])
            else:
                if entered < seen:
                    top = enter(entered, seen, codes, newest, stacked, top, end, last, distinct, edges, within)
                leave(edges, within, times, codes, last, seen, now, spans, distinct)
                if noted:
                    note(entered, seen, codes, last, distinct, edges, limit, firsts)
                # Cut off what is below the limit (one more is kept, for the event that the row itself may not see), and
                # what is out of the longest window: no later row can list it.
                end = min(end, top + limit + 1)
                while end > top and newest[end - 1] < edges[-1]:
                    end -= 1
                own_event = last[own] if own >= 0 else -1
                own_at = place(newest, top, end, own_event) if own_event >= 0 else end
                list_values(row, edges, within, limit, own_event, own_at, stacked, top, out, at, sizes)
            at += sizes[row, -1]
        for event in range(seen):  # reset for the next user, at the cost of this user's events alone
            last[codes[event]] = -1
        if not has_room:
            return user, filled, False
        user, filled = user + 1, at
    return user, filled, False


@compiled
def newest_values(users, rows, events, ends, spans, limit, distinct, many_own, noted, kinds, out):  # type: ignore[no-untyped-def]
    """Lists each row's newest values in the longest window, as codes, and counts how many are in each window.

    `users` are the indices at which each user's rows begin, and the end of the last; `rows` are (user, time, own
    code), where own code -1 means that the row sees all events; `events` and `ends` are as in `gather`. `spans` are
    the windows' lengths in microseconds, shortest first; `limit` is the most values of a list. `many_own` says that
    several events of a list may have the row's own code; without it own codes are value codes. `noted` asks for the
    shortest window in which each value is listed, where no row has an own code. `kinds` is the number of value codes.
    Returns (buffer of codes, which is `out`, reallocated if too small; the index at which each row's list begins in it;
    sizes by row and window; that window by value code, or the number of windows; none where it is not asked for).
    """
    begins, sizes = np.zeros(len(rows[0]), np.int64), np.zeros((len(rows[0]), len(spans)), np.int64)
    last = np.full(kinds, -1, np.int64)  # the latest event of each value, of this user
    kept = (last, np.empty(len(rows[0]), np.int64), np.empty(len(spans), np.int64), np.empty(len(spans), np.int64))
    firsts = np.full(kinds if noted else 0, len(spans), np.int16)
    rules, user, filled, room = (limit, distinct, many_own, noted), 0, 0, 1024
    while True:
        # Memory that is never written to costs nothing.
        rooms = np.empty((3, room), np.int64), np.empty((4, room), np.int64), np.empty((2, room), np.int32)
        lacks_events = False
        while not lacks_events:
            found = (begins, sizes, firsts, out)
            user, filled, lacks_events = list_users(
                user, filled, users, rows, events, ends, spans, rules, rooms, kept, found
            )
            if user == len(users) - 1:
                return out, begins, sizes, firsts
            if not lacks_events:
                out = np.concatenate((out, np.empty(max(len(out), 1024), out.dtype)))
        room *= 2


@compiled
def count_events(users, rows, events, ends, spans, kinds):  # type: ignore[no-untyped-def]
    """How many events each row sees, by row and window; arguments as in `newest_values`, `kinds` counts own codes.

    A window has `seen - edges[window]` events, less those with the row's own code. The latter are numbered among
    themselves (`place_of`), so their number is that of the latest minus that of the first in the window, plus 1.
    """
    row_user, row_time, row_own = rows
    sizes = np.zeros((len(row_user), len(spans)), np.int64)
    last = np.full(kinds, -1, np.int64)  # the latest event of each own code, of this user
    oldest = np.empty((len(spans), kinds), np.int64)  # by window, an event of the code from where to look for the first
    past = np.empty((3, 1024), np.int64)
    # By event: its number among the events of its own code, and the next event of that code.
    place_of, after = np.empty(1024, np.int64), np.empty(1024, np.int64)
    edges = np.empty(len(spans), np.int64)  # the first event in each window
    order = np.empty(len(row_user), np.int64)
    for user in range(len(users) - 1):
        first, end = users[user], users[user + 1]
        count = gather(row_user[first], events, ends, past)
        while count < 0:
            room = 2 * past.shape[1]
            past, place_of, after = np.empty((3, room), np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
            count = gather(row_user[first], events, ends, past)
        times, _, owns = past
        edges[:] = 0
        seen = 0
        mine = order[first:end]
        time_order(row_time, first, mine)
        for row in mine:
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


@compiled
def find_seen(runs, row_users, row_times, users, event_times, pieces, spans, edges, places, times, order, begins, ends):  # type: ignore[no-untyped-def]
    """Fills per user the places of events by time, equal times from the last to the first, their `times`, and the
    bounds of what each row sees, strictly before it; returns how many events. See `seen_of` (seen.py).

    Events come in pieces of ascending time, each by user, time and value.
    """
    count = 0
    for run in range(len(runs) - 1):
        user, begin = row_users[runs[run]], count
        for piece in range(len(pieces)):
            at, last = pieces[piece]
            while at < last and users[at] < user:
                at += 1
            while at < last and users[at] == user:
                tied = at + 1
                while tied < last and event_times[tied] == event_times[at] and users[tied] == user:
                    tied += 1
                for event in range(tied - 1, at - 1, -1):
                    places[count], times[count] = event, event_times[event]
                    count += 1
                at = tied
            pieces[piece, 0] = at
        seen = begin
        edges[:] = begin
        mine = order[runs[run] : runs[run + 1]]
        time_order(row_times, runs[run], mine)
        for row in mine:
            now = row_times[row]
            while seen < count and times[seen] < now:
                seen += 1
            ends[row] = seen
            for window in range(len(spans)):
                edge = edges[window]
                while edge < seen and times[edge] < now - spans[window]:
                    edge += 1
                edges[window] = begins[row, window] = edge
    return count
