"""The compiled part of taking rows: text by place, and numbers of the values that occur.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

from daedalus.parquet.jit import compiled, move


@compiled
def ends_of_taken(ends, places, out):  # type: ignore[no-untyped-def]
    """Fills `out` with where the texts at `places` end, one behind the other, as far as they are shorter than 2 GiB;
    returns the bytes of all. Text i ends at `ends[i + 1]`; at a place below 0 there is none."""
    total = out[0] = 0
    for i in range(len(places)):
        place = places[i]
        if place >= 0:
            total += ends[place + 1] - ends[place]
        out[i + 1] = total
    return total


@compiled
def take_texts(ends, data, places, out_ends, out):  # type: ignore[no-untyped-def]
    """Copies the texts at `places` to `out`; `out_ends` are those of `ends_of_taken`."""
    for i in range(len(places)):
        place = places[i]
        if place >= 0:
            move(out, out_ends[i], data, ends[place], ends[place + 1] - ends[place])


@compiled
def renumber(numbers, there, offset, new, old, out):  # type: ignore[no-untyped-def]
    """Fills `out` with numbers in the order in which those of `numbers` occur first, and `old` with those by number;
    returns how many there are.

    `there` has a bit per number, from `offset` on: 0 where there is none; or no bits, where there are all. `new` has -1
    for each number that may occur.
    """
    count = 0
    for i in range(len(numbers)):
        if len(there) and not there[(offset + i) >> 3] >> ((offset + i) & 7) & 1:
            out[i] = 0
            continue
        number = numbers[i]
        if new[number] < 0:
            new[number], old[count] = count, number
            count += 1
        out[i] = new[number]
    return count
