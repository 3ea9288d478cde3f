"""The compiled part of sorting.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner

_FAR = 8  # moves of a position: with more, digits are sooner
_FEW = 24  # positions that are sooner moved than divided
_BUCKET = 4096  # positions that stay in a core's cache while they are sorted
_DIGIT = 11  # bits; with more, the places that a pass writes to are too far apart
_FEW_BITS = 8  # of so few positions that to add up how many have each digit of more would take most of the time


@inner
def bits_of(number):  # type: ignore[no-untyped-def]
    bits = 0
    while number >> bits:
        bits += 1
    return bits


@inner
def differing(words, shared, places):  # type: ignore[no-untyped-def]
    """(the first word after so many `shared` ones in which `places` differ, the highest bit in which they do)."""
    while True:
        word, bits = words[shared], np.int64(0)
        number = word[places[0]]
        for place in places:
            bits |= word[place] ^ number
        if bits or shared + 1 == len(words):
            return shared, bits_of(bits)
        shared += 1


@inner
def sum_up(ends):  # type: ignore[no-untyped-def]
    """Turns counts, each behind that of the digit before, into where the numbers of each digit begin, if sorted."""
    for digit in range(len(ends) - 1):
        ends[digit + 1] += ends[digit]


@inner
def divide(word, places, below, mask, ends, out):  # type: ignore[no-untyped-def]
    """Writes `places` to `out`, sorted by the bits under `mask` of their numbers that have so many `below`; stable.
    Sets `ends` to where the places of each digit end."""
    ends[: mask + 2] = 0
    for place in places:
        ends[((word[place] >> below) & mask) + 1] += 1
    sum_up(ends[: mask + 2])
    for place in places:
        digit = (word[place] >> below) & mask
        at = ends[digit]
        ends[digit] = at + 1
        out[at] = place


@inner
def by_digits(word, places, numbers, others, spots, ends):  # type: ignore[no-untyped-def]
    """Sorts `places` by their numbers in a word, digit by digit from the lowest, but for digits that all of them have;
    stable. Returns the numbers, which lie in one of the two arrays of that length that it works with."""
    count, differ = len(places), np.int64(0)
    width = _DIGIT if count > 1 << _DIGIT else _FEW_BITS
    mask, counts = (1 << width) - 1, ends[: (1 << width) + 1]
    here, there, mine, theirs = numbers[:count], others[:count], places, spots[:count]
    for i in range(count):
        here[i] = word[mine[i]]
        differ |= here[i] ^ here[0]
    moved = False
    for below in range(0, bits_of(differ), width):
        if (differ >> below) & mask:
            counts[:] = 0
            for number in here:
                counts[((number >> below) & mask) + 1] += 1
            sum_up(counts)
            for i in range(count):
                digit = (here[i] >> below) & mask
                at = counts[digit]
                counts[digit] = at + 1
                there[at], theirs[at] = here[i], mine[i]
            here, there, mine, theirs, moved = there, here, theirs, mine, not moved
    if moved:
        theirs[:] = mine
    return here


@inner
def is_after(words, shared, first, second):  # type: ignore[no-untyped-def]
    """Whether the first position is behind the second, by the words after so many `shared` ones."""
    for word in range(shared, len(words)):
        if words[word, first] != words[word, second]:
            return words[word, first] > words[word, second]
    return False


@inner
def move_into_place(words, shared, places):  # type: ignore[no-untyped-def]
    """Sorts few positions by the words after so many `shared` ones; stable."""
    for i in range(1, len(places)):
        place, at = places[i], i
        while at > 0 and is_after(words, shared, places[at - 1], place):
            places[at] = places[at - 1]
            at -= 1
        places[at] = place


@compiled
def ordered(words, order):  # type: ignore[no-untyped-def]
    """Sorts `order`, positions, by their numbers in `words`, by word and position, the most significant first.
    Numbers are not negative. Stable; returns a new array.

    They are divided into buckets by the highest bits in which they differ, and so is each bucket until it stays in a
    core's cache while it is sorted by a word. Few have the same number there, and need a look at the next.
    """
    places, spots, few = order.copy(), np.empty(len(order), np.int64), min(len(order), _BUCKET)
    numbers, others, ends = np.empty(few, np.int64), np.empty(few, np.int64), np.empty((1 << _DIGIT) + 1, np.int64)
    waiting = [(0, len(order), 0)]  # buckets, and how many words all of their positions share
    while waiting:
        begin, end, shared = waiting.pop()
        bucket, free, count = places[begin:end], spots[: end - begin], end - begin
        if count <= _FEW:
            move_into_place(words, shared, bucket)
            continue
        shared, bits = differing(words, shared, bucket)
        if bits == 0:
            continue
        word, after = words[shared], 0
        if count > _BUCKET:
            width = min(bits_of(4 * count // _BUCKET), bits, _DIGIT)
            free[:] = bucket
            divide(word, free, bits - width, (1 << width) - 1, ends, bucket)
            for digit in range(1 << width):
                waiting.append((begin + after, begin + ends[digit], shared))
                after = ends[digit]
            continue
        found = by_digits(word, bucket, numbers, others, free, ends)
        if shared + 1 == len(words):
            continue
        for i in range(1, count + 1):
            if i == count or found[i] != found[after]:
                if i - after > _FEW:
                    waiting.append((begin + after, begin + i, shared + 1))
                elif i - after > 1:
                    move_into_place(words, shared + 1, bucket[after:i])
                after = i
    return places


@compiled
def mark_new(word, order, new):  # type: ignore[no-untyped-def]
    """Sets `new` where the number of a position differs from that of the one before it in `order`."""
    for i in range(1, len(order)):
        if not new[i] and word[order[i]] != word[order[i - 1]]:
            new[i] = True


@compiled
def moved_back(first, others, order):  # type: ignore[no-untyped-def]
    """Sorts `order`, positions, by their numbers in `first`, and then in each of `others`; stable.

    Moves each position back to its place; where those so far had to move far, it gives up and returns none.
    """
    moves = 0
    for i in range(1, len(order)):
        position, at = order[i], i
        while at > 0:
            before, word = order[at - 1], 0
            if first[before] < first[position]:
                break
            if first[before] == first[position]:
                while word < len(others) - 1 and others[word, before] == others[word, position]:
                    word += 1
                if others[word, before] <= others[word, position]:
                    break
            order[at] = before
            at -= 1
        order[at] = position
        moves += i - at
        if moves > _FAR * (i + _FAR):
            return order[:0]
    return order
