"""`daeda explain row` of a column of vectors: the ids that it follows from, their weights, and which have no vector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.terminal_text import plain
from daedalus.config.schema import EmbeddingColumn
from daedalus.sql.text import Sql, literal, parquet

if TYPE_CHECKING:
    from daedalus.enrich.vectors_file import VectorsFile

_COMPONENTS = 4  # of a vector that are shown

Id = int | str
Rows = Callable[[Sql, Mapping[str, Sequence[Path | str]]], list[dict]]


class VectorLooker:
    """Answers questions about the vectors of one day's column. `pool` and `vectors` are the artifacts of pool_vectors
    and of the day's vectors; `rows` runs a query on such files."""

    def __init__(self, column: EmbeddingColumn, dtype: str, pool: Path, vectors: Path, rows: Rows) -> None:
        self._column, self._dtype = column, dtype
        self._pool, self._vectors, self._rows = pool, vectors, rows

    def of_id(self, one: Id | None) -> dict:
        """What an `of` column has for an id: the `id`, `has_vector`, its `length`, and the first components."""
        lengths = self._lengths([one] if one is not None else [])
        length = lengths.get(one) if one is not None else None
        value = self._value(Counter([one]), lengths) if one is not None and length is not None else None
        return {"of": self._column.of, "id": one, "has_vector": length is not None, "length": _said(length),
                "components": value}  # fmt: skip

    def of_list(self, items: Sequence[Id]) -> dict:
        """What a `mean_of` column has for a list: the `counted` ids with their weights, those `without_vector`, those
        `beyond` max_items, the `length` and the first components; `not_usable`, by id, are other lengths."""
        most = self._column.max_items
        first, beyond = items[:most], items[most:] if most is not None else []
        lengths = self._lengths(first)
        used = Counter(one for one in first if lengths.get(one) is not None)
        sizes = Counter(lengths[one] for one in used)
        usual = max(sizes, key=lambda size: (size is not None and size >= 0, sizes[size])) if sizes else None
        return {
            "mean_of": self._column.mean_of,
            "max_items": most,
            "counted": [{"id": one, "times": times, "weight": round(times / used.total(), 6)}
                        for one, times in used.items()],
            "without_vector": list(dict.fromkeys(one for one in first if one not in used)),
            "beyond": list(beyond),
            "not_usable": {str(one): _said(lengths[one]) for one in used if lengths[one] != usual or not _whole(usual)},
            "length": _said(usual),
            "components": self._value(used, lengths) if used else None,
        }  # fmt: skip

    def _lengths(self, ids: Iterable[Id]) -> dict[Id, int | None]:
        """The lengths of the pool's vectors by id: None for an id that has only NULL vectors."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        sql = Sql(f"SELECT id, length FROM {parquet('pool')} WHERE list_contains({literal(wanted)}, id)")
        return {row["id"]: row["length"] for row in self._rows(sql, {"pool": [self._pool]})}

    def _numbers(self, ids: Sequence[Id]) -> Any:
        """The ids as the file of vectors has them."""
        import numpy as np
        import pyarrow as pa

        if not any(isinstance(one, str) for one in ids):
            return np.array(ids, np.int64)
        from daedalus.enrich.text_ids.names import Names

        return Names(self._vectors).numbers(pa.array(ids))

    def _value(self, used: Mapping[Id, int], lengths: Mapping[Id, int | None]) -> list | None:
        """The first components of the mean; None where not all vectors are at hand: those of rows that do not reach
        the output are not brought, and of those that are not usable there are only lengths."""
        import numpy as np

        from daedalus.enrich.vectors_file import VectorsFile

        with VectorsFile(self._vectors) as file:
            found = file.find(self._numbers(list(used)))
            if not len(found) or found.min() < 0:
                return None
            vectors = _first_components(file, found)
        with np.errstate(over="ignore"):
            means = [_mean(column, list(used.values())) for column in vectors.T.tolist()]
            shown = np.array(means, np.float64).astype(np.float32).astype(self._dtype)
        if self._column.of is not None:
            with np.errstate(over="ignore"):
                shown = vectors[0].astype(self._dtype)
        return [plain(value) for value in shown.tolist()]


def _first_components(file: VectorsFile, found: Any) -> Any:
    return file.take(found)[:, :_COMPONENTS]


def _mean(values: Sequence[float], times: Sequence[int]) -> float:
    """For people: what is shipped is rounded once, from the exact sum."""
    weighted = [value * count for value, count in zip(values, times, strict=True)]
    try:
        return math.fsum(weighted) / sum(times)
    except (OverflowError, ValueError):  # too large, or inf - inf
        return sum(weighted) / sum(times)


def _whole(length: int | None) -> bool:
    """Whether a vector of this length, as pool_vectors has it, has no NULL component."""
    return length is not None and length >= 0


def _said(length: int | None) -> int | str | None:
    """The length of a vector; of one with a NULL component that too."""
    return length if length is None or length >= 0 else f"{-1 - length}, with a NULL component"
