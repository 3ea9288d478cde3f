"""The first rows of CSV and JSON files: enough to see the columns."""

from __future__ import annotations

import os

import pyarrow as pa

from daedalus.init.values import Sample, plain

_BYTES = 1 << 20


def text_sample(file: str, format: str) -> Sample:
    """The first rows of a file; none if Arrow cannot read it as what its name says."""
    try:
        table = plain(_csv(file) if format == "csv" else _json(file))
    except (pa.ArrowException, OSError, StopIteration, UnicodeDecodeError):
        table = pa.table({})
    return Sample(table, [0] * table.num_rows)


def _csv(file: str) -> pa.Table:
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter="\t" if ".tsv" in os.path.basename(file).lower() else ",")
    with csv.open_csv(file, csv.ReadOptions(block_size=_BYTES), parse) as reader:
        return pa.Table.from_batches([reader.read_next_batch()])


def _json(file: str) -> pa.Table:
    from io import BytesIO

    from pyarrow import json

    with pa.input_stream(file) as stream:
        head = stream.read(_BYTES)
    whole = head[: head.rfind(b"\n") + 1] or head  # lines; an array of objects is not read
    return json.read_json(BytesIO(whole))
