"""Rows with labels, by query group: a matrix of features in which each session's rows stand together.

The output is read twice, so that the matrix is in memory once: for which rows there are and where they go, then for
their features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from daedalus.base.errors import DaedalusError
from daedalus.loading.labels import check_gains, label_values
from daedalus.loading.published import Published

if TYPE_CHECKING:
    import pyarrow as pa

_QID = "qid"
_EXACT = 1 << 24  # whole numbers that FLOAT32 holds


@dataclass(frozen=True)
class Wanted:
    """What is asked for; `who` is the function that messages name."""

    who: str
    features: Sequence[str]
    categorical: Sequence[str]
    labels: Mapping[str, float]
    event: str


@dataclass(frozen=True)
class QueryGroups:
    """Features (rows x names) and labels of rows in order of query group, as FLOAT32, and the rows of each group."""

    features: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    names: Sequence[str]


def query_groups(found: Published, wanted: Wanted) -> QueryGroups:
    """The rows that have a qid and a label, those of equal qid in the order of the output. Raises DaedalusError."""
    _check(found, wanted)
    widths = {name: _width(found, name, wanted.who) for name in wanted.features}
    qids, labels = _rows(found, wanted)
    order = np.argsort(qids, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    names = [name for column, width in widths.items() for name in _names(column, width)]
    features = np.empty((len(order), len(names)), np.float32)
    at = 0
    for block, of_qids in _features(found, wanted, widths):
        here = places[at : at + len(block)]
        if not np.array_equal(qids[at : at + len(block)], of_qids):
            break
        features[here] = block
        at += len(block)
    if at != len(order):
        raise DaedalusError("a partition was replaced while it was read", where=wanted.who, hint="call it again")
    return QueryGroups(features, labels[order], np.unique(qids, return_counts=True)[1], names)


def _check(found: Published, wanted: Wanted) -> None:
    check_gains(wanted.labels, f"{wanted.who}(labels)")
    if isinstance(wanted.features, str) or not wanted.features:
        raise DaedalusError("no features", where=f"{wanted.who}(features)", found=repr(wanted.features),
                            expected="names of columns")  # fmt: skip
    if twice := [name for name in wanted.features if list(wanted.features).count(name) > 1]:
        raise DaedalusError("a feature that appears twice", where=f"{wanted.who}(features)", found=twice[0])
    if _QID not in found.schema.names:
        raise DaedalusError("the output has no query groups", where=wanted.who, found=f"no {_QID}",
                            expected="a feed with feed_session")  # fmt: skip
    found.check_columns([wanted.event], f"{wanted.who}(event)")
    found.check_columns(wanted.features, f"{wanted.who}(features)")
    for name in wanted.categorical:
        if name not in wanted.features:
            raise DaedalusError("a category that is no feature", where=f"{wanted.who}(categorical)", found=name,
                                expected="one of features")  # fmt: skip
        if not _is_code(found.schema.field(name).type):
            raise DaedalusError("a category that is no code", where=f"{wanted.who}(categorical)",
                                found=f"{name}, a column of {found.schema.field(name).type}",
                                expected="whole numbers or booleans")  # fmt: skip


def _is_code(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _width(found: Published, name: str, who: str) -> int | None:
    """How many components a column of vectors has; None for a column of numbers. Raises DaedalusError for others."""
    import pyarrow as pa

    kind = found.schema.field(name).type
    if _is_code(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return None
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not listed or not pa.types.is_floating(kind.value_type):
        hint = "lists are for models that take them: see docs/training.md" if listed else "leave it out"
        raise DaedalusError("a feature that is no number", where=f"{who}(features)", found=f"{name}, a {kind}",
                            expected="a number, a boolean, or a column of vectors", hint=hint)  # fmt: skip
    for batch in found.dataset([name]).to_batches():
        if len(known := batch.column(0).drop_null()):
            return len(known[0])
    raise DaedalusError("a column of vectors without any vector", where=f"{who}(features)", found=name,
                        expected="a vector in some row", hint="leave it out, or read stage='enrich'")  # fmt: skip


def _names(column: str, width: int | None) -> Sequence[str]:
    """Brackets are allowed in names of features by neither of the two."""
    return [column] if width is None else [f"{column}_{i}" for i in range(width)]


def _rows(found: Published, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
    """The qids and labels of the rows to take, in the order of the output."""
    taken = [(qids[keep], labels[keep]) for qids, labels, keep, _ in _read(found, wanted, ())]
    if not sum(len(qids) for qids, _ in taken):
        raise DaedalusError("no row has both a qid and a label", where=f"{wanted.who}(labels)",
                            found=", ".join(wanted.labels), expected=f"events of {found.paths[-1]}")  # fmt: skip
    return np.concatenate([qids for qids, _ in taken]), np.concatenate([labels for _, labels in taken])


def _read(
    found: Published, wanted: Wanted, columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Any]]:
    """Of each batch: qids, labels, which rows have both, and the batch with the columns."""
    whole = list(dict.fromkeys([_QID, wanted.event, *columns]))
    for batch in found.dataset(whole).to_batches():
        labels, keep = label_values(batch.column(wanted.event), wanted.labels, f"{wanted.who}(labels)")
        qids = batch.column(_QID)
        keep &= qids.is_valid().to_numpy(zero_copy_only=False)
        yield qids.fill_null(-1).to_numpy(), labels, keep, batch


def _features(
    found: Published, wanted: Wanted, widths: Mapping[str, int | None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each batch the features of the rows to take, and their qids."""
    import pyarrow as pa

    for qids, _, keep, batch in _read(found, wanted, wanted.features):
        rows = batch.filter(pa.array(keep))
        blocks = [_numbers(rows.column(name), name, wanted) if width is None
                  else _vectors(rows.column(name), name, width, wanted.who)
                  for name, width in widths.items()]  # fmt: skip
        yield np.concatenate(blocks, axis=1), qids[keep]


def _numbers(column: pa.Array, name: str, wanted: Wanted) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in wanted.categorical and len(column.drop_null()):
        ends = pc.min_max(column.cast(pa.int64())).as_py()
        if ends["min"] < 0 or ends["max"] >= _EXACT:
            raise DaedalusError("a category that is no code", where=f"{wanted.who}(categorical)",
                                found=f"{name}, from {ends['min']} to {ends['max']}",
                                expected=f"from 0 to {_EXACT - 1:,}")  # fmt: skip
    return column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False).reshape(-1, 1)


def _vectors(column: Any, name: str, width: int, who: str) -> np.ndarray:
    """A row for each vector; NaN throughout for NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = column.drop_null()
    lengths = pc.list_value_length(known).unique().to_pylist()
    if lengths not in ([], [width]):
        found = f"{name}, with {' and '.join(str(n) for n in sorted({width, *lengths}))} items"
        raise DaedalusError("a list that is no vector", where=f"{who}(features)", found=found,
                            expected="as many items in each row", hint="leave it out")  # fmt: skip
    block = np.full((len(column), width), np.nan, np.float32)
    values = known.flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    block[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, width)
    return block
