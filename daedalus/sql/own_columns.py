"""A feed's own names for the spine's columns, and its times as whole numbers: how SQL reads them as the spine's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from daedalus.config.schema import Feed
from daedalus.sql.column_types import is_integer
from daedalus.sql.text import FILE, name

UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}  # microseconds in one; of "ns" a thousand are one
TIME = "event_timestamp"


class OwnColumns(Struct, frozen=True):
    """What a file calls some of the spine's columns, as (spine's name, own name).

    `unit` is that of its times where they are whole numbers; "" where they are times.
    """

    names: tuple[tuple[str, str], ...] = ()
    unit: str = ""

    @classmethod
    def of(cls, feed: Feed) -> OwnColumns | None:
        """Those of a feed; None if all is as the spine has it."""
        names = tuple(sorted((column, own) for column, own in feed.columns.items() if column != own))
        return cls(names, feed.timestamp_unit or "") if names or feed.timestamp_unit else None

    def own(self, column: str) -> str:
        """The file's name of a column of the spine."""
        return next((own for spine, own in self.names if spine == column), column)

    def told(self, column: str) -> str:
        """A column's name in an error: the file's, and the spine's where it is another."""
        own = self.own(column)
        return own if own == column else f"{own} ({column})"

    def scan(self, source: str, columns: Iterable[str], *, files: bool = False) -> str:
        """SQL that reads `columns` of the spine from `source`, with `files` also FILE."""
        read = [f"{self._read(column)} AS {name(column)}" for column in columns]
        return f"(SELECT {', '.join([*read, *([FILE] if files else [])])} FROM {source})"

    def kind(self, column: str, found: str) -> str:
        """The type of a column as `scan` gives it, `found` in the file."""
        return "TIMESTAMP" if column == TIME and self.unit else found

    def _read(self, column: str) -> str:
        own = name(self.own(column))
        return from_integer(own, self.unit) if column == TIME and self.unit else own

    def seen(self, schema: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
        """The types of `columns` by the spine's names, of a file with this schema."""
        return {column: schema[self.own(column)] for column in columns if self.own(column) in schema}


def from_integer(number: str, unit: str) -> str:
    """SQL of a TIMESTAMP from a whole number of units since 1970; nanoseconds are rounded down, as those of times."""
    whole = f"CAST({number} AS BIGINT)"
    if unit == "ns":
        return f"make_timestamp({whole} // 1000 - CAST({whole} % 1000 < 0 AS BIGINT))"
    return f"make_timestamp({whole} * {UNITS[unit]})"


def is_whole_number(kind: str) -> bool:
    """Whether a column of a type can have times as whole numbers."""
    return is_integer(kind) or kind == "UBIGINT"
