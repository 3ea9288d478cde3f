"""ISO 3166-1 country codes, from pycountry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def country_codes() -> pa.Table:
    """A table of `alpha2` VARCHAR and its numeric `code` INTEGER."""
    import pyarrow as pa
    import pycountry

    pairs = sorted((country.alpha_2, int(country.numeric)) for country in pycountry.countries)
    codes = pa.array([code for _, code in pairs], pa.int32())
    return pa.table({"alpha2": [alpha for alpha, _ in pairs], "code": codes})
