"""What is said of a vector that a row needs and that is not like the others of its day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError

if TYPE_CHECKING:
    from daedalus.enrich.vectors_file import VectorsFile

_HINT = "have these rows of the pool written again by one model, or take them out"


def unusable(where: str, vectors: VectorsFile, some: int) -> DayError:
    """The error of a day that needs the vector of id `some`, which is not usable; `where` is a key path.

    It names that id, and another whose vector has the usual length, if there is one; with their lengths.
    """
    place = int(vectors.ids.searchsorted(some))
    length = int(vectors.lengths[place])
    if length < 0:
        found = f"a NULL among the {-1 - length} components of id {some}"
        return DayError("a vector with a NULL component", where=where, found=found,
                        expected="vectors of numbers alone", hint=_HINT)  # fmt: skip
    alike = vectors.ids[vectors.lengths == vectors.dim]
    return unequal(where, [(length, some), *((vectors.dim, int(other)) for other in alike[:1])])


def unequal(where: str, lengths: Sequence[tuple[int, int]]) -> DayError:
    """The error of a day that needs vectors of unequal length: (length, id) of one, and of one as the others are."""
    (first, some), *others = lengths
    found = "".join(
        [f"{first} components of id {some}", *(f", and {length} of id {other}" for length, other in others)]
    )
    return DayError("vectors of unequal length", where=where, found=found,
                    expected=f"{lengths[-1][0]} components, as others that the day uses have", hint=_HINT)  # fmt: skip
