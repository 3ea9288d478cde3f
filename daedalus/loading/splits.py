"""Parts of the data for training and for judging what was trained, as `splits` in runtime.yaml declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Split:
    """The rows of one part: those whose user or session is drawn for it. Parts by day narrow the paths instead."""

    name: str
    columns: tuple[str, ...]  # that it reads

    def keeps(self, rows: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        """Whether each row is in the part, never NULL. `rows` has at least `columns`."""
        raise NotImplementedError
