"""Sorts rows by several columns: each becomes numbers that ascend as its values do, which are sorted by their digits.

NULLs come last. Text is ordered by its bytes, as in DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from daedalus.tables.side_by_side import side_by_side

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Ranks = list[tuple["np.ndarray", int]]  # see `ranked`

_MOST = 1 << 62  # of a number that several columns share
_SMALL = (1 << 31) - 2  # of a number that takes 32 bits, with one more for NULL
_MANY_TEXTS = 4096  # of so many, none of them longer than so many bytes, digits are counted; others are compared
_LONGEST_TEXT = 64
_SEEN = 4096  # first rows by which a column of text is judged
_SHORT = 4096  # rows: of so few, to tell values apart takes longer than to read text
_FEW = 16  # rows of a value, and more, of columns whose equal values have one number


def sort_keys(columns: Sequence[pa.ChunkedArray]) -> list[np.ndarray] | None:
    """Numbers by row, the most significant first, that compare as the rows do; None if a type has no such numbers.

    Neighbouring columns share a number where it has room for both.
    """
    rows = len(columns[0]) if columns else 0
    return keys_of(side_by_side([partial(ranked, column) for column in columns], rows))


def keys_of(ranks: Iterable[Ranks | None]) -> list[np.ndarray] | None:
    """The `sort_keys` of columns of which each was `ranked`."""
    import numpy as np

    words: list[np.ndarray] = []
    room, shared = 0, False  # values of the last number; whether it is of several columns, thus an array of its own
    for of_column in ranks:
        if of_column is None:
            return None
        for key, count in of_column:
            if words and room * count < _MOST:
                if count > 1:
                    words[-1] = np.multiply(words[-1], count, out=words[-1] if shared else None)
                    words[-1] += key
                    room, shared = room * count, True
            else:
                words.append(key.astype(np.int64, copy=False))
                room, shared = count, False
    return words


def ranked(column: pa.ChunkedArray | pa.Array) -> Ranks | None:
    """(numbers from 0 up in the order of the column's values, one more than the largest), NULL being the largest.

    Two such for integers that are too far apart for one, such as ids that are hashes; None for other types. Floats are
    told apart by their bits, see `has_one_order`.
    """
    import numpy as np
    import pyarrow as pa

    column = _in_order(column)
    kind = column.type
    if column.null_count == len(column):
        return [(np.zeros(len(column), np.int32), 1)]
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
    key = np.empty(len(numbers), np.int32 if most - least < _SMALL else np.int64)
    np.subtract(numbers, least, out=key, casting="unsafe")
    if missing is None:
        return [(key, most - least + 1)]
    key[missing] = most - least + 1
    return [(key, most - least + 2)]


def _in_order(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Floats and days as whole numbers that ascend as they do: -0.0 before 0.0, and NaN behind all other numbers."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_date32(column.type):
        return whole(column).view(pa.int32())
    if not pa.types.is_floating(column.type):
        return column
    kind = pa.int64() if column.type == pa.float64() else pa.int32()
    bits, missing = numbers_of(whole(column).view(kind))
    below = (1 << (kind.bit_width - 1)) - 1  # of negative numbers, the larger bits are of the smaller one
    return pa.array(np.where(bits < 0, bits ^ below, bits), pa.int64(), mask=missing)


def has_one_order(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether `ranked` and SQL agree on a column's order: SQL takes -0.0 for 0.0, and any NaN for any other."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return True
    numbers = whole(column).drop_null().to_numpy()
    nan = np.isnan(numbers)
    forms = np.unique(numbers[nan].view(f"u{numbers.dtype.itemsize}"))
    return len(forms) < 2 and not (np.signbit(numbers) & (nan | (numbers == 0))).any()


def _halves(numbers: np.ndarray, missing: np.ndarray | None, least: int, most: int) -> Ranks:
    """The upper and the lower 32 bits of how far numbers are above the least; the upper half of NULL is the largest."""
    import numpy as np

    above = numbers.view(np.uint64) - np.uint64(least % (1 << 64))  # wraps around, which is what is meant
    upper, lower = (above >> np.uint64(32)).astype(np.int64), (above & np.uint64(0xFFFFFFFF)).astype(np.int64)
    count = ((most - least) >> 32) + 1
    if missing is not None:
        upper[missing], lower[missing] = count, 0
        count += 1
    return [(upper, count), (lower, 1 << 32)]


def _ranked_text(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, int]:
    import numpy as np

    coded = numbered_text(whole(column))
    ranks = _ranks(coded.dictionary)
    places = np.append(ranks, len(ranks) + 1).astype(np.int32)  # the last is of NULL
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
    from daedalus.tables import compiled_text

    data = np.frombuffer(texts.buffers()[2], np.uint8)
    alike, digits, base, many = compiled_text.alphabet(ends, data)
    words = np.empty((-(-(longest - alike) // many), len(texts)), np.int64)
    compiled_text.words_of(ends, data, alike, digits, base, many, words)
    order = order_of(words)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.cumsum(differs(words, order)) + 1
    return ranks


def order_of(keys: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The positions of rows in ascending order of their `sort_keys`; equal rows stay in their order."""
    import numpy as np

    from daedalus.tables import radix

    words = np.asarray(keys)
    return radix.ordered(words, np.arange(words.shape[1]))


def order_of_nearly_sorted(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The same, sooner where most rows are near their places: a spine's, of users, by time."""
    import numpy as np

    from daedalus.tables import radix

    others = np.stack(keys[1:]) if len(keys) > 2 else keys[-1].reshape(1, -1)
    order = radix.moved_back(keys[0], others, np.arange(len(keys[0])))
    return order if len(order) else order_of(keys)


def first_of_equal(keys: Sequence[np.ndarray], order: np.ndarray) -> np.ndarray:
    """Of rows with equal keys the first in `order`."""
    new = differs(keys, order)
    new[:1] = True
    return order[new]


def differs(keys: Iterable[np.ndarray], order: np.ndarray) -> np.ndarray:
    """Whether each row has other keys than the one before it in `order`; the first has not."""
    import numpy as np

    from daedalus.tables import radix

    new = np.zeros(len(order), np.bool_)
    for word in keys:
        radix.mark_new(word, order, new)
    return new


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


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array. Numbers of many values stay those of each chunk, so that equal values may have several:
    to find which are equal takes longer than all that is done with them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.num_chunks <= 1 or not pa.types.is_dictionary(column.type):
        return whole(column)
    if _FEW * sum(len(chunk.dictionary) for chunk in column.chunks) < len(column):
        return whole(column)
    indices, known = [], 0
    for chunk in column.chunks:
        indices.append(pc.add(chunk.indices, pa.scalar(known, chunk.indices.type)))
        known += len(chunk.dictionary)
    values = pa.concat_arrays([chunk.dictionary for chunk in column.chunks])
    return pa.DictionaryArray.from_arrays(pa.concat_arrays(indices), values)


def numbered_text(column: pa.Array) -> pa.DictionaryArray:
    """Any column as numbers of its values as text. Where most rows have one of their own, by the first of them, each
    row's value has its own number, so that equal values have several: to tell them apart takes longer than to read
    them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.dictionary(pa.int32(), pa.string())
    if pa.types.is_dictionary(column.type):
        return column if column.type == kind else column.cast(kind)
    text = column.cast(pa.string())
    first = text[:_SEEN]
    if len(text) <= _SEEN or 2 * pc.count_distinct(first).as_py() < len(first):
        return text.dictionary_encode()
    rows = pa.array(np.arange(len(text), dtype=np.int32), mask=np.asarray(text.is_null()))
    _, ends, data = text.buffers()
    return pa.DictionaryArray.from_arrays(rows, pa.StringArray.from_buffers(len(text), ends, data, offset=text.offset))


def has_few_values(coded: pa.DictionaryArray) -> bool:
    """Whether text is better handed on as numbers of values: each value has one number, and many rows."""
    import pyarrow.compute as pc

    values = coded.dictionary
    if len(coded) <= _SHORT or len(coded) <= _FEW * len(values) or values.null_count:
        return False
    return bool(pc.count_distinct(values).as_py() == len(values))
