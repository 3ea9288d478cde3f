"""Takes rows of Arrow columns by their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MANY = 4096  # texts that are sooner taken by our own code, which asks for all memory at once
_LONGEST = (1 << 31) - 1  # bytes of a column of text


def taken(values: pa.Array, places: pa.Array | np.ndarray) -> pa.Array:
    """The values at `places`, all of which are there; NULL where a place is NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = places if isinstance(places, pa.Array) else pa.array(places)
    text = _taken_text(values, places) if values.type == pa.string() else None
    return pc.take(values, places, boundscheck=False) if text is None else text


def taken_rows(table: pa.Table, places: np.ndarray) -> pa.Table:
    """The rows of a table at `places`, all of which are there."""
    import pyarrow as pa

    places = pa.array(places)
    return pa.table([taken(whole(column), places) for column in table.columns], table.column_names)


def text_of(coded: pa.DictionaryArray) -> pa.StringArray:
    """Numbers of values as text."""
    import pyarrow as pa

    return taken(coded.dictionary.cast(pa.string()), coded.indices)


def _taken_text(values: pa.StringArray, places: pa.Array) -> pa.StringArray | None:
    """The same for text; None for so little that Arrow is as fast, and for more than a column holds."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(places) < _MANY or not len(values) or values.offset:
        return None
    from daedalus.tables import compiled_text

    there = pc.take(values.is_valid(), places, boundscheck=False) if values.null_count else places.is_valid()
    numbers = (places.fill_null(-1) if places.null_count else places).to_numpy()
    ends, data = (np.frombuffer(values.buffers()[1 + i] or b"", kind) for i, kind in enumerate((np.int32, np.uint8)))
    found, texts, size = compiled_text.take_texts(ends, data, numbers, _LONGEST)
    if size > _LONGEST:
        return None
    mask = there.fill_null(False).buffers()[1] if values.null_count or places.null_count else None
    return pa.StringArray.from_buffers(len(places), pa.py_buffer(found), pa.py_buffer(texts), mask)


def with_used_values(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same with the values that rows have, in the order in which they occur first, and no other."""
    import numpy as np
    import pyarrow as pa

    from daedalus.tables import compiled_text

    places = coded.indices
    there, data = places.buffers()
    byte, bit = divmod(places.offset, 8)
    bits = there.slice(byte) if there and places.null_count else None
    numbers = np.frombuffer(data or b"", np.int32, len(places), 4 * places.offset)
    new, out = np.full(len(coded.dictionary), -1, np.int32), np.empty(bit + len(places), np.int32)
    old = np.empty(len(new), np.int32)
    count = compiled_text.renumber(numbers, np.frombuffer(bits or b"", np.uint8), bit, new, old, out[bit:])
    found = pa.Array.from_buffers(pa.int32(), len(places), [bits, pa.py_buffer(out)], places.null_count, bit)
    return pa.DictionaryArray.from_arrays(found, taken(coded.dictionary, old[:count]), safe=False)
