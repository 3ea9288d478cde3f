"""ISO 3166-1 country codes, from pycountry, and the SQL that looks a feed's country up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.sql.column_types import as_text, is_integer, is_text

if TYPE_CHECKING:
    import pyarrow as pa


def country_codes() -> pa.Table:
    """A table of `alpha2` VARCHAR and its numeric `code` INTEGER."""
    import pyarrow as pa
    import pycountry

    pairs = sorted((country.alpha_2, int(country.numeric)) for country in pycountry.countries)
    codes = pa.array([code for _, code in pairs], pa.int32())
    return pa.table({"alpha2": [alpha for alpha, _ in pairs], "code": codes})


def country_code(kind: str | None) -> str:
    """SQL of a feed row's country_code, by the column's type: a number as it is, a name by the table; else 0.

    The table is bound as `countries`.
    """
    code = "0"
    if kind and is_integer(kind):
        code = "coalesce(TRY_CAST(country_code AS INTEGER), 0)"
    elif kind and is_text(kind):
        code = f"coalesce((SELECT code FROM countries WHERE alpha2 = upper({as_text('country_code', kind)})), 0)"
    return f"{code} AS country_code"
