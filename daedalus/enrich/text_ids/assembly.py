"""An enriched partition whose ids are text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.enrich.assembly import (
    _NOT_USABLE,
    Enriched,
    Entry,
    RowGroup,
    _check_lengths,
    _MeansOf,
    _VectorsOf,
)
from daedalus.enrich.means_file import MeansFile
from daedalus.enrich.text_ids.names import Names
from daedalus.enrich.vectors_file import VectorsFile
from daedalus.parquet.vector_writer import Vectors
from daedalus.sql.text import ROW
from daedalus.tables.artifacts import read_table

if TYPE_CHECKING:
    import numpy as np


class TextEnriched(Enriched):
    """As `Enriched`, of ids that are text."""

    def write(
        self, folder: Path, parts: Sequence[Path], vectors: Mapping[str, Path], means: Mapping[str, Path],
        content: Path | None,
    ) -> int:  # fmt: skip
        folder.mkdir()
        kept = read_table(content, [ROW.strip('"')]).column(0).to_numpy() if content else None
        with ExitStack() as stack:
            sources: dict[str, _VectorsOf | _MeansOf] = {}
            for entry in self.entries:
                if entry.of is not None:
                    file = stack.enter_context(VectorsFile(vectors[entry.name]))
                    sources[entry.name] = _TextVectorsOf(entry, file, Names(vectors[entry.name]))
                else:
                    assert kept is not None
                    made = stack.enter_context(MeansFile(means[entry.name]))
                    sources[entry.name] = _TextMeansOf(entry, made, kept, vectors[entry.name])
            rows = 0
            for part in parts:
                rows += self._write_part(part, folder / part.name, rows, sources)
            _check_lengths(list(sources.values()))
        if kept is not None and rows != len(kept):
            raise ValueError(f"{rows} rows where {len(kept)} ship")
        return rows


class _TextVectorsOf(_VectorsOf):
    def __init__(self, entry: Entry, vectors: VectorsFile, names: Names) -> None:
        super().__init__(entry, vectors)
        self._names = names

    def some_id(self) -> str:  # type: ignore[override]
        return self._names.said(self._some)

    def pieces(self, group: RowGroup) -> list[Vectors]:
        column = group.part.read_row_group(group.number, columns=[self._entry.of], use_threads=False).column(0)
        numbers = self._names.numbers(column)
        places = self._vectors.find(numbers)
        if (amiss := places == _NOT_USABLE).any():
            raise self._names.unusable(self._entry.where, self._vectors, int(numbers[amiss.argmax()]))
        if len(places) and (most := int(places.max())) >= 0:
            self.length, self._some = self._vectors.dim, most
        return [Vectors(places, partial(self._vectors.take), self._vectors.dim, self._vectors.dtype)]


class _TextMeansOf(_MeansOf):
    def some_id(self) -> str:  # type: ignore[override]
        return Names(self._vectors).said(super().some_id())

    def _piece(self, group: int, rows: np.ndarray) -> Vectors:
        means = self._group(group)
        if means.unusable is not None and len(amiss := means.unusable.take(rows).drop_null()):
            with VectorsFile(self._vectors) as vectors:
                raise Names(self._vectors).unusable(self._entry.where, vectors, amiss[0].as_py())
        return super()._piece(group, rows)
