"""What is said of a vector that a row needs and that is not like the others of its day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.errors import DayError

if TYPE_CHECKING:
    from daedalus.enrich.vectors_file import VectorsFile


def unusable(where: str, vectors: VectorsFile, some: int) -> DayError:
    """The error of a day that needs the vector of id `some`, which is not usable; `where` is a key path.

    It names that id, and another whose vector has the usual length, if there is one; with their lengths.
    """
    place = int(vectors.ids.searchsorted(some))
    length = int(vectors.lengths[place])
    hint = "have these rows of the pool written again by one model, or take them out"
    if length < 0:
        found = f"a NULL among the {-1 - length} components of id {some}"
        return DayError("a vector with a NULL component", where=where, found=found,
                        expected="vectors of numbers alone", hint=hint)  # fmt: skip
    alike = vectors.ids[vectors.lengths == vectors.dim]
    other = f", and {vectors.dim} of id {alike[0]}" if len(alike) else ""
    return DayError("vectors of unequal length", where=where, found=f"{length} components of id {some}{other}",
                    expected=f"{vectors.dim} components, as most that the day uses have", hint=hint)  # fmt: skip
