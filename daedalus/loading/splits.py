"""Parts of the data for training and for judging what was trained, as `splits` in runtime.yaml declares them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING

from daedalus.base.days import DayRange, parse_range
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.config.config import RUNTIME
from daedalus.loading.draws import OF, draws

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.config.config import Config


@dataclass(frozen=True)
class Split:
    """The rows of one part: those whose user or session is drawn for it. Days narrow the paths instead."""

    name: str
    columns: tuple[str, ...]  # that it reads: the id's
    salt: str
    first: int  # of the numbers that `draws` gives, up to `end`, which is not included
    end: int

    def keeps(self, rows: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        """Whether each row is in the part, never NULL. `rows` has at least `columns`."""
        return self.keeps_ids(rows.column(self.columns[0]))

    def keeps_ids(self, ids: pa.Array | pa.ChunkedArray) -> pa.BooleanArray:
        """The same of the column itself."""
        import pyarrow as pa

        drawn = draws(ids, self.salt)
        return pa.array((drawn >= self.first) & (drawn < self.end))


def split_of(config: Config, name: str, where: str) -> tuple[Split | None, DayRange | None]:
    """A part of the configuration's splits: which rows it has, and which days; None for all of them.

    Raises DaedalusError if there is no such part; `where` is what asks for it.
    """
    splits = config.runtime.splits
    if splits is None:
        raise DaedalusError("the configuration has no splits", where=where, found=name,
                            expected=f"splits in {config.folder / RUNTIME}")  # fmt: skip
    if name not in splits.parts:
        raise DaedalusError("there is no such part", where=where, found=name,
                            expected=" or ".join(splits.parts), hint=did_you_mean(name, splits.parts))  # fmt: skip
    part = splits.named[name]
    days = parse_range(str(part.days), where) if part.days is not None else None
    if splits.column is None:
        return None, days
    before = [other.share for other in splits.named.values()][: list(splits.parts).index(name)]
    first, end = _ends(before), _ends([*before, part.share])
    return Split(name, (config.renamed.get(splits.column, splits.column),), str(splits.salt), first, end), days


def _ends(shares: list[float | None]) -> int:
    """The first number that is not drawn for any of these shares, counted exactly, as they are written."""
    return ceil(sum(Decimal(repr(share)) for share in shares if share) * OF)
