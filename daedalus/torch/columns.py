"""Which columns become tensors, and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from daedalus.base.errors import DaedalusError
from daedalus.loading.published import Published
from daedalus.torch.forms import Form, Numbers, Padded, Ragged, Vectors
from daedalus.torch.numbers import number_type
from daedalus.torch.parts import PartReader

_OURS = ("label", "groups")


def chosen_columns(found: Published, columns: Sequence[str] | None, pad: Mapping[str, int | None]) -> list[str]:
    """The columns as named, or all that tensors can hold. Raises DaedalusError for others, and for a wrong `pad`."""
    if columns is not None and (isinstance(columns, str) or not columns):
        raise DaedalusError("no list of columns", where="TrainingDataset(columns)", found=repr(columns),
                            expected="names of columns, at least one")  # fmt: skip
    found.check_columns(columns or (), "TrainingDataset(columns)")
    found.check_columns(list(pad), "TrainingDataset(pad)")
    chosen = list(dict.fromkeys(columns or (f.name for f in found.schema if _has_form(f.type))))
    for name in chosen:
        _check_column(name, found.schema.field(name).type)
    for name, length in pad.items():
        _check_pad(name, length, found.schema.field(name).type, chosen)
    return chosen


def forms_of(
    found: Published, columns: Sequence[str], pad: Mapping[str, int | None], reader: PartReader
) -> list[Form]:  # fmt: skip
    """The form of each column; of vectors, the length is that of the first one that there is."""
    forms = [_form(name, found.schema.field(name).type, pad, found, reader) for name in columns]
    made = [key for form in forms for key in form.keys]
    for key in sorted({*(key for key in made if made.count(key) > 1), *set(made) & set(_OURS)}):
        raise DaedalusError("two tensors of one name", where="TrainingDataset(columns)", found=key,
                            hint="leave one of the columns out, or give the output column another name")  # fmt: skip
    return forms


def _form(
    name: str, kind: pa.DataType, pad: Mapping[str, int | None], found: Published, reader: PartReader
) -> Form:  # fmt: skip
    if not _is_list(kind):
        return Numbers(name, name != "dt" and not pa.types.is_floating(number_type(kind)))
    if pa.types.is_fixed_size_list(kind) and name not in pad:
        return Vectors(name, kind.list_size)
    if kind.value_type in (pa.float16(), pa.float32()) and name not in pad:
        return Vectors(name, _length_of_first(name, found, reader))
    length = pad.get(name)
    return Ragged(name) if length is None else Padded(name, length)


def _length_of_first(name: str, found: Published, reader: PartReader) -> int:
    """The length of a column's first vector, 0 if there is none."""
    for part in range(len(found.paths)):
        for lists in reader.first_lists(part, name):
            there = lists.drop_null()
            if len(there):
                return len(there[0])
    return 0


def _has_form(kind: pa.DataType) -> bool:
    return number_type(kind.value_type if _is_list(kind) else kind) is not None


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _check_column(name: str, kind: pa.DataType) -> None:
    if not _has_form(kind):
        hint = "labels={event: number} turns events into numbers" if name == "event" else "leave it out of columns"
        raise DaedalusError("a column that no tensor can hold", where="TrainingDataset(columns)",
                            found=f"{name}, of type {kind}", expected="numbers, booleans, times, or lists of them",
                            hint=hint)  # fmt: skip


def _check_pad(name: str, length: int | None, kind: pa.DataType, chosen: Sequence[str]) -> None:
    where = f"TrainingDataset(pad), {name}"
    if not _is_list(kind):
        raise DaedalusError("a column to pad that is no list", where=where, found=kind, expected="a column of lists")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
        raise DaedalusError("no length to pad to", where=where, found=repr(length),
                            expected="a whole number from 1 on, or None for ragged lists")  # fmt: skip
    if name not in chosen:
        raise DaedalusError("a column to pad that is not read", where=where, found=f"columns={list(chosen)}",
                            expected=f"{name} among them")  # fmt: skip
