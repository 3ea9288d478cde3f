"""The number that an id draws: the same on every machine and for good, so that its part never changes.

The bytes of an id are those of its UTF-8 text, or the 8 of a whole number, as int64 in little-endian order. Its
64-bit hash begins as the first 8 bytes of the salt's SHA-256. For each 8 bytes of the id, zeros filling up the last,
and then for the number of bytes, it becomes `_mixed(hash ^ that number)`. The draw is the upper 53 bits.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from daedalus.base.errors import DaedalusError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

OF = 2**53  # draws are from 0 to this, which is not included
_WORD = 8  # bytes


def draws(ids: pa.Array | pa.ChunkedArray, salt: str) -> np.ndarray:
    """The draw of each id as INT64; -1 for NULL. Raises DaedalusError for ids that are no text and no whole numbers."""
    import numpy as np
    import pyarrow as pa

    kind = ids.type.value_type if pa.types.is_dictionary(ids.type) else ids.type
    start = np.frombuffer(sha256(salt.encode()).digest(), "<u8", 1)
    if pa.types.is_integer(kind):
        words = _whole(ids.cast(pa.int64()).fill_null(0)).to_numpy().view(np.uint64)
        hashed = _mixed(_mixed(start ^ words) ^ np.uint64(_WORD))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        hashed = _of_text(_whole(ids.cast(pa.large_string()).fill_null("")), start)
    else:
        raise DaedalusError("ids that cannot be split", where="splits", found=kind, expected="whole numbers or text")
    drawn = (hashed >> np.uint64(11)).astype(np.int64)
    drawn[_whole(ids.is_null()).to_numpy(zero_copy_only=False)] = -1
    return drawn


def _of_text(ids: Any, start: np.ndarray) -> np.ndarray:
    """The hashes of an array of LARGE_STRING without NULL: a pass for each 8 bytes, over those that are so long."""
    import numpy as np

    if len(ids) == 0:
        return np.empty(0, np.uint64)
    _, offsets, data = ids.buffers()
    ends = np.frombuffer(offsets, np.int64, len(ids) + 1, ids.offset * 8)
    begins, lengths = ends[:-1] - ends[0], np.diff(ends)
    text = np.frombuffer(data or b"", np.uint8, ends[-1] - ends[0], ends[0] if data else 0)
    padded = np.concatenate([text, np.zeros(_WORD, np.uint8)])
    words = np.ndarray(len(text) + 1, "<u8", padded, strides=(1,))  # that which begins at each byte
    hashed = np.repeat(start, len(ids))
    longest_first = np.argsort(-lengths, kind="stable")
    shorter = -lengths[longest_first]
    for at in range(0, int(lengths.max()), _WORD):
        these = longest_first[: np.searchsorted(shorter, -at)]
        left = np.minimum(lengths[these] - at, _WORD).astype(np.uint64)
        past = np.uint64(64) - np.uint64(8) * left
        hashed[these] = _mixed(hashed[these] ^ (words[begins[these] + at] << past >> past))
    return _mixed(hashed ^ lengths.astype(np.uint64))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64: each bit of a number moves each of the result half of the time."""
    import numpy as np

    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _whole(column: pa.Array | pa.ChunkedArray) -> Any:
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
