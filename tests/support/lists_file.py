"""Writes a file of lists and nothing else."""

from __future__ import annotations

from daedalus.parquet.footer import Assembled
from daedalus.parquet.list_writer import chunks_of, form_of


def write_lists(path, schema, groups):
    """Writes columns of lists by row group; returns the number of rows."""
    with path.open("wb") as out:
        file = Assembled(out, form_of(schema).footer)
        for lists in groups:
            file.add(chunks_of(schema, lists), len(lists.begins))
        return file.finish()
