"""The audit of enriched partitions: each sampled vector again, from the pool as Lance has it, in exact fractions.

It shares no code with the enrich stage. Ids and lists are those of the enriched partition itself; a list that it does
not ship is the reference's. That its other columns are the skeleton's is looked at in whole partitions.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from daedalus.audit.reference import read_rows, values_of
from daedalus.audit.sample import among
from daedalus.base.durable import part_files
from daedalus.config import Config
from daedalus.config.schema import EmbeddingColumn, Embeddings
from daedalus.explain.value_differences import changed, read, readable
from daedalus.inputs.lance.table import open_table
from daedalus.inputs.pool import pool_options, reading_pool, table_folder

if TYPE_CHECKING:
    from daedalus.base.days import Day

_SCALE = 1074  # a float times 2 to this is a whole number
_CODES = {"float32": "f", "float16": "e"}  # of struct
_AT_ONCE = 5000  # ids that Lance is asked for in one scan

Vector = Sequence[float | None]
Id = int | str


class Difference(Struct, frozen=True):
    """What is wrong with a row's value of a column; of a whole partition `row` is empty."""

    day: str
    row: Mapping[str, Any]
    column: str
    expected: object
    found: object


class Asked(Struct, frozen=True):
    """A vector that a row ships, and the ids that it follows from; `exact` ones are those of one id."""

    day: str
    row: Mapping[str, Any]
    column: str
    ids: Sequence[Id]
    exact: bool
    found: Vector | None


class EnrichedAudit:
    """Collects the vectors of sampled rows, day by day, and compares them all at the end: the pool is read once."""

    def __init__(self, config: Config, root: Path, skeleton: Path, key: Sequence[str]) -> None:
        embeddings = config.runtime.embeddings
        assert embeddings is not None
        self._config, self._embeddings = config, embeddings
        self._root, self._skeleton, self._key = root, skeleton, key
        self._named = [config.renamed.get(name, name) for name in key]  # in the output
        self._user = config.renamed.get("user_id", "user_id")
        self.names = embeddings.columns.keys()
        self._asked: list[Asked] = []
        self.days: list[str] = []
        self.missing: list[str] = []  # days without an enriched partition
        self.differences: list[Difference] = []

    def add(self, day: Day, users: Set, expected: Sequence[Mapping[str, Any]]) -> None:
        """Looks at a day's partition; `expected` are the reference's rows of the users, with all their lists."""
        folder = f"dt={day}"
        parts, beside = part_files(self._root / folder), part_files(self._skeleton / folder)
        if not parts:
            self.missing.append(str(day))
            return
        self.days.append(str(day))
        self.differences += _other_columns(str(day), parts, beside, self._embeddings)
        hidden = _by_key(expected, self._key)
        for part in parts:
            with readable([part]):
                rows = read_rows(part, keep=lambda table: among(table, self._user, users))
            for row in rows:
                key = tuple(row[name] for name in self._named)
                reference = hidden[key].pop(0) if hidden.get(key) else {}
                self._asked += _asked(str(day), row, reference, self._embeddings.columns)

    def compare(self) -> dict[str, Any]:
        """Reads the pool and compares; adds to `differences`. Returns what was compared."""
        wanted = {one for asked in self._asked for one in asked.ids}
        vectors = read_vectors(self._config, wanted)
        means = Means(vectors, _CODES[self._embeddings.dtype])
        for asked in self._asked:
            self.differences += means.check(asked)
        return {"days": self.days, "not_enriched": self.missing, "vectors": len(self._asked), "ids": len(wanted),
                "without_vector": len(wanted - vectors.keys())}  # fmt: skip


def _other_columns(
    day: str, parts: Sequence[Path], beside: Sequence[Path], embeddings: Embeddings
) -> Iterator[Difference]:
    """What of an enriched partition is not as in the skeleton's: part files, rows, other columns."""
    if [part.name for part in parts] != [part.name for part in beside]:
        yield Difference(day, {}, "part files", len(beside), len(parts))
        return
    wrong: Counter[str] = Counter()
    for part, other in zip(parts, beside, strict=True):
        enriched, skeleton = read([part]), read([other])
        if enriched.num_rows != skeleton.num_rows:
            yield Difference(day, {}, f"rows of {part.name}", skeleton.num_rows, enriched.num_rows)
            continue
        names = [name for name in skeleton.column_names if name not in embeddings.columns]
        kept = [name for name in enriched.column_names if name not in embeddings.columns]
        if names != kept:
            yield Difference(day, {}, f"columns of {part.name}", ", ".join(names), ", ".join(kept))
        for name in set(names) & set(kept):
            wrong[name] += changed(skeleton, enriched, name)["rows"]
    yield from (Difference(day, {}, name, "as in the skeleton's partition", f"{rows:,} rows differ")
                for name, rows in sorted(wrong.items()) if rows)  # fmt: skip


def _by_key(rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> dict[tuple, list[Mapping[str, Any]]]:
    found: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in key), []).append(row)
    return found


def _asked(
    day: str, row: Mapping[str, Any], reference: Mapping[str, Any], columns: Mapping[str, EmbeddingColumn]
) -> Iterator[Asked]:
    """The row's vectors; `reference` has the lists that the row does not ship."""
    for name, column in columns.items():
        if column.of is not None:
            ids = [row[column.of]]
        else:
            source = str(column.mean_of)
            ids = (row[source] if source in row else reference.get(source, []))[: column.max_items]
        known = [one for one in ids if one is not None]
        yield Asked(day, row, name, known, column.of is not None, row.get(name))


def read_vectors(config: Config, wanted: set[Id]) -> dict[Id, Vector]:
    """The vectors of ids that have one: of each the last in table order that is not NULL."""
    coverage, embeddings = config.runtime.embedding_coverage_filter, config.runtime.embeddings
    assert embeddings is not None
    columns, found, ids = [coverage.id_column, embeddings.vector_column], dict[Id, Vector](), sorted(wanted)
    with reading_pool(coverage.uri):
        table = open_table(table_folder(coverage.uri, coverage.table), options=pool_options(config))
        for start in range(0, len(ids), _AT_ONCE):
            some = ", ".join(map(_literal, ids[start : start + _AT_ONCE]))
            scan = table.scanner(columns, filter=f"`{coverage.id_column}` IN ({some})", scan_in_order=True)
            for batch in scan.to_batches():
                known, vectors = map(values_of, batch.columns)
                found |= {one: vector for one, vector in zip(known, vectors, strict=True) if vector is not None}
    return found


def _literal(one: int | str) -> str:
    """An id in a filter of Lance."""
    return "'" + one.replace("'", "''") + "'" if isinstance(one, str) else str(one)


class Means:
    """Exact means of vectors by id, as they are stored in a type: a code of struct, `f` or `e`."""

    def __init__(self, vectors: Mapping[Id, Vector], code: str) -> None:
        self._vectors, self._code = vectors, code
        self._scaled: dict[Id, Sequence[int] | None] = {}  # None: not all is finite

    def check(self, asked: Asked) -> Iterator[Difference]:
        """What is wrong with a vector: the first component that is, or that there is one, or is none."""
        ids = [one for one in asked.ids if one in self._vectors]
        sizes = {len(self._vectors[one]) for one in ids}
        wanted = "NULL" if not ids else f"{sizes.pop()} components" if len(sizes) == 1 else "a day that fails"
        got = "NULL" if asked.found is None else f"{len(asked.found)} components"
        if wanted != got:
            yield Difference(asked.day, asked.row, asked.column, wanted, got)
            return
        if asked.found is None:
            return
        allowed = self._of_one(ids[0]) if asked.exact else self._of_many(ids, asked.found)
        for place, (one, expected) in enumerate(zip(asked.found, allowed, strict=True)):
            if not any(_same(one, value) for value in expected):
                text = f"{expected[0]!r} in component {place}"
                yield Difference(asked.day, asked.row, asked.column, text, f"{one!r}")
                return

    def _of_one(self, one: Id) -> Iterator[Sequence[float]]:
        """The one value that each component may have."""
        for value in self._vectors[one]:
            yield (rounded(value, self._code),) if value is not None else ()

    def _of_many(self, ids: Sequence[Id], found: Vector) -> Iterator[Sequence[float]]:
        """The values that each component of a mean may have, the right one first: it and its neighbours."""
        scaled = [numbers for one in ids if (numbers := self._whole(one)) is not None]
        if len(scaled) < len(ids):
            yield from map(self._exact, zip(*(self._vectors[one] for one in ids), strict=True))
            return
        below = len(ids) << _SCALE
        for total, one in zip(map(sum, zip(*scaled, strict=True)), found, strict=True):
            quick = rounded(total / below, "f")  # two roundings: nearly always the right one
            right = (rounded(quick, self._code),)
            yield right if one is not None and _same(one, right[0]) else self._near(Fraction(total, below))

    def _whole(self, one: Id) -> Sequence[int] | None:
        """A vector's components times 2 ** _SCALE."""
        if one not in self._scaled:
            try:
                pairs = [value.as_integer_ratio() for value in self._vectors[one]]  # type: ignore[union-attr]
                self._scaled[one] = [(over << _SCALE) // under for over, under in pairs]
            except (OverflowError, ValueError, AttributeError):  # infinite, NaN or NULL
                self._scaled[one] = None
        return self._scaled[one]

    def _exact(self, values: Sequence[float | None]) -> Sequence[float]:
        """Of components that need not be finite."""
        known = [value for value in values if value is not None]
        special = [value for value in known if value - value != 0]
        if special:
            return (rounded(sum(special), self._code),)
        total = sum(map(Fraction, known), Fraction())
        return self._near(total / len(known)) if len(known) == len(values) else ()

    def _near(self, exact: Fraction) -> Sequence[float]:
        right = single(exact)
        near = [rounded(value, self._code) for value in (right, *neighbours(right))]
        return [*near, *(-value for value in near if value == 0)]


def single(exact: Fraction) -> float:
    """The float32 nearest to a fraction, the even one of two; infinite beyond the range."""
    over, under = abs(exact.numerator), exact.denominator
    if not over:
        return 0.0
    exponent = over.bit_length() - under.bit_length()
    exponent -= abs(exact) < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    found = round(exact / unit) * unit
    return float(found) if abs(found) < 2**128 else float("inf") * (1 if exact > 0 else -1)


def neighbours(value: float) -> Sequence[float]:
    """The float32 below and above one."""
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    place = bits if bits >= 0 else -(bits & 0x7FFFFFFF)  # floats in order
    near = (place + step for step in (-1, 1))
    return [_of_place(one) for one in near if abs(one) <= 0x7F800000]


def _of_place(place: int) -> float:
    bits = place if place >= 0 else (-place | 0x80000000) - (1 << 32)
    (value,) = struct.unpack("<f", struct.pack("<i", bits))
    return value


def rounded(value: float, code: str) -> float:
    """A float in the type of a code of struct, in one rounding; infinite beyond its range."""
    try:
        (found,) = struct.unpack(f"<{code}", struct.pack(f"<{code}", value))
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return found


def _same(got: float | None, want: float) -> bool:
    """Whether two floats are one: NaN is NaN, and 0.0 is not -0.0."""
    if got is None:
        return False
    if want != want or got != got:
        return want != want and got != got
    return got == want and str(got) == str(want)
