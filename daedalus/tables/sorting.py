"""Sorts rows by several columns: each becomes numbers that ascend as its values do, which are sorted by their digits.

NULLs come last. Text is ordered by its bytes, as in DuckDB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from daedalus.tables.side_by_side import side_by_side

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MOST = 1 << 62  # of a number that several columns share
_MANY_TEXTS = 4096  # of so many, none of them longer than so many bytes, digits are counted; others are compared
_LONGEST_TEXT = 64


def sort_keys(columns: Sequence[pa.ChunkedArray]) -> list[np.ndarray] | None:
    """Numbers by row, the most significant first, that compare as the rows do; None if a type has no such numbers.

    Neighbouring columns share a number where it has room for both.
    """
    words: list[np.ndarray] = []
    room = 0  # values of the last number
    rows = len(columns[0]) if columns else 0
    for ranked in side_by_side([partial(_ranked, column) for column in columns], rows):
        if ranked is None:
            return None
        for key, count in ranked:
            if words and room * count < _MOST:
                words[-1] = words[-1] * count + key
                room *= count
            else:
                words.append(key)
                room = count
    return words


def _ranked(column: pa.ChunkedArray) -> list[tuple[np.ndarray, int]] | None:
    """(numbers from 0 up in the order of the column's values, one more than the largest), NULL being the largest.

    Two such for integers that are too far apart for one, such as ids that are hashes.
    """
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if column.null_count == len(column):
        return [(np.zeros(len(column), np.int64), 1)]
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return [_ranked_text(column)]
    if not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind)):
        return None
    if kind == pa.uint64():
        return None
    numbers, missing = numbers_of(column)
    present = numbers if missing is None else numbers[~missing]
    least, most = int(present.min()), int(present.max())
    if most - least >= _MOST:
        return _halves(numbers, missing, least, most)
    key = numbers - least
    if missing is None:
        return [(key, most - least + 1)]
    key[missing] = most - least + 1
    return [(key, most - least + 2)]


def _halves(numbers: np.ndarray, missing: np.ndarray | None, least: int, most: int) -> list[tuple[np.ndarray, int]]:
    """The upper and the lower 32 bits of how far numbers are above the least; the upper half of NULL is the largest."""
    import numpy as np

    above = numbers.view(np.uint64) - np.uint64(least % (1 << 64))  # wraps around, which is what is meant
    upper, lower = (above >> np.uint64(32)).astype(np.int64), (above & np.uint64(0xFFFFFFFF)).astype(np.int64)
    count = ((most - least) >> 32) + 1
    if missing is not None:
        upper[missing], lower[missing] = count, 0
        count += 1
    return [(upper, count), (lower, 1 << 32)]


def _ranked_text(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    import numpy as np

    coded = numbered_text(whole(column))
    if len(coded.dictionary) > len(coded):  # a few rows of a file, with all that the file has
        coded = with_used_values(coded)
    ranks = _ranks(coded.dictionary)
    places = np.append(ranks, len(ranks) + 1).astype(np.int64)  # the last is of NULL
    codes = coded.indices if not coded.null_count else coded.indices.fill_null(len(ranks))
    return places[codes.to_numpy()], len(places) + 1


def _ranks(texts: pa.StringArray) -> np.ndarray:
    """Numbers from 1 up in the order of texts; equal ones, which a file's own numbers may tell apart, have the same."""
    import numpy as np
    import pyarrow.compute as pc

    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1] if len(texts) else ()
    longest = int(np.diff(ends).max()) if len(ends) >= _MANY_TEXTS and not texts.null_count else 0
    if not 0 < longest <= _LONGEST_TEXT:
        return pc.rank(texts, tiebreaker="dense").to_numpy()
    from daedalus.tables import radix

    words = np.empty((-(-longest // radix.WORD) + 1, len(texts)), np.int64)
    radix.words_of(ends, np.frombuffer(texts.buffers()[2], np.uint8), words)
    order = order_of(list(words))
    new = np.zeros(len(order), np.bool_)
    for word in words:
        new[1:] |= word[order[1:]] != word[order[:-1]]
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.cumsum(new) + 1
    return ranks


def order_of(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The positions of rows in ascending order of their `sort_keys`; equal rows stay in their order."""
    import numpy as np

    from daedalus.tables import radix

    order = np.arange(len(keys[0]))
    for word in reversed(keys):
        most = int(word.max()) if len(word) else 0
        order = radix.ordered(word, most.bit_length(), order)
    return order


def order_of_nearly_sorted(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The same, sooner where most rows are near their places: a spine's, of users, by time."""
    import numpy as np

    from daedalus.tables import radix

    others = np.stack(keys[1:]) if len(keys) > 2 else keys[-1].reshape(1, -1)
    order = radix.moved_back(keys[0], others, np.arange(len(keys[0])))
    return order if len(order) else order_of(keys)


def first_of_equal(keys: Sequence[np.ndarray], order: np.ndarray) -> np.ndarray:
    """Of rows with equal keys the first in `order`."""
    import numpy as np

    new = np.zeros(len(order), np.bool_)
    new[:1] = True
    for word in keys:
        new[1:] |= word[order[1:]] != word[order[:-1]]
    return order[new]


def numbers_of(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """(a column of integers, times or booleans as int64; where it is NULL, or None if it never is)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    array = whole(column)
    missing = np.asarray(array.is_null()) if array.null_count else None
    plain = array.fill_null(pc.cast(pa.scalar(0), array.type)) if array.null_count else array
    if plain.type == pa.int64():
        return plain.to_numpy(), missing
    if pa.types.is_timestamp(plain.type):
        return plain.view(pa.int64()).to_numpy(), missing
    return plain.cast(pa.int64()).to_numpy(zero_copy_only=False), missing


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array."""
    import pyarrow as pa

    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbered_text(column: pa.Array) -> pa.DictionaryArray:
    """Any column as numbers of its values as text."""
    import pyarrow as pa

    kind = pa.dictionary(pa.int32(), pa.string())
    if pa.types.is_dictionary(column.type):
        return column if column.type == kind else column.cast(kind)
    return column.cast(pa.string()).dictionary_encode()


def with_used_values(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same with the values that rows have, and no other."""
    import pyarrow as pa

    used = coded.indices.dictionary_encode()
    return pa.DictionaryArray.from_arrays(used.indices, coded.dictionary.take(used.dictionary))
