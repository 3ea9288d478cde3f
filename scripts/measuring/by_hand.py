"""Columns of vectors as people write them by hand: programs to measure beside `daeda enrich`.

  by_hand.py duckdb|numpy|columns ROOT OUT --days N

`duckdb` and `numpy` read the skeleton's partitions of a world and its pool, and write partitions with the columns
image_embedding and like_artwork_avg_embeds of the default config. `columns` writes these two columns alone, as
`daeda enrich` made them, by pyarrow with the same codecs and row groups.

Each prints, as JSON, how many rows it wrote, and the seconds that it took on the clock and the processors, without
imports: for `numpy` all others; for `columns` without reading; for `duckdb` those of the queries alone, over the first
rows of each part, since a whole day of 256 floats takes 12 GB on disk and minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LIST, MOST = "like_artwork_ids_7d", 50
IMAGE, MEAN = "image_embedding", "like_artwork_avg_embeds"
ROWS = 8192  # of a part, for DuckDB

_SQL = f"""
COPY (
    WITH part AS (SELECT * FROM read_parquet($part, file_row_number = true, hive_partitioning = false)
        WHERE file_row_number < {ROWS}),
    items AS (SELECT file_row_number, unnest({LIST}[1:{MOST}]) AS artwork_id FROM part),
    numbers AS (
        SELECT file_row_number, unnest(vector) AS number, generate_subscripts(vector, 1) AS place
        FROM items JOIN pool USING (artwork_id)
    ),
    means AS (
        SELECT file_row_number, list(mean ORDER BY place) AS mean
        FROM (SELECT file_row_number, place, avg(number)::FLOAT AS mean FROM numbers GROUP BY ALL)
        GROUP BY file_row_number
    )
    SELECT part.* EXCLUDE (file_row_number) REPLACE (vector AS {IMAGE}, mean AS {MEAN})
    FROM part LEFT JOIN pool USING (artwork_id) LEFT JOIN means USING (file_row_number) ORDER BY part.file_row_number
) TO '{{out}}' (FORMAT parquet, COMPRESSION zstd)
"""


class Clocks:
    """What has been spent since it was made, but for what is left out; and rows written."""

    def __init__(self) -> None:
        self.rows, self._began = 0, self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    @contextmanager
    def left_out(self) -> Iterator[None]:
        before = self._now()
        yield
        self._began = tuple(one + now - then for one, now, then in zip(self._began, self._now(), before, strict=True))

    def said(self) -> str:
        seconds, cpu = (now - began for now, began in zip(self._now(), self._began, strict=True))
        return json.dumps({"rows": self.rows, "seconds": seconds, "cpu": cpu})


def duckdb(root: Path, days: list[Path], out: Path, clocks: Clocks) -> None:
    """The list unnested, joined with the pool, unnested once more, and averaged by row and component."""
    with clocks.left_out():
        import duckdb

        config = {"threads": os.cpu_count(), "memory_limit": "4GB", "temp_directory": str(out / "tmp")}
        db = duckdb.connect(config=config)
        db.register("table", pool_of(root))
        db.execute("CREATE TABLE pool AS SELECT artwork_id, vector::FLOAT[] AS vector FROM 'table'")
    for day in days:
        for part in _parts(day, out):
            made = db.execute(_SQL.format(out=out / day.name / part.name), {"part": str(part)}).fetchall()
            clocks.rows += made[0][0]


def numpy(root: Path, days: list[Path], out: Path, clocks: Clocks) -> None:
    """A loop over days and rows, with a dict of the vectors."""
    pool = pool_of(root)
    matrix = pool["vector"].combine_chunks().flatten().to_numpy().reshape(pool.num_rows, -1)
    vectors = dict(zip(pool["artwork_id"].to_pylist(), matrix, strict=True))
    for day in days:
        for part in _parts(day, out):
            table = pq.read_table(part, partitioning=None)
            images = [vectors.get(artwork) for artwork in table["artwork_id"].to_pylist()]
            means = []
            for ids in table[LIST].to_pylist():
                found = [vectors[one] for one in ids[:MOST] if one in vectors]
                means.append(np.mean(found, axis=0) if found else None)
            for name, values in ((IMAGE, images), (MEAN, means)):
                column = pa.array(values, pa.list_(pa.float32()))
                table = table.set_column(table.schema.get_field_index(name), name, column)
            pq.write_table(table, out / day.name / part.name, compression="zstd")
            clocks.rows += len(table)


def columns(root: Path, days: list[Path], out: Path, clocks: Clocks) -> None:
    """The finished columns alone, by pyarrow."""
    for day in days:
        for part in _parts(root / "data/training_enriched" / day.name, out):
            with clocks.left_out():
                table = pq.read_table(part, columns=[IMAGE, MEAN], partitioning=None)
                codecs, group = codecs_of(part), pq.read_metadata(part).row_group(0).num_rows
            pq.write_table(table, out / day.name / part.name, group, compression=codecs, use_dictionary=False)
            clocks.rows += len(table)


def codecs_of(part: Path) -> dict[str, str]:
    """The codec of both columns in a part's first row group, by path."""
    group = pq.read_metadata(part).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    found = {chunk.path_in_schema: chunk.compression for chunk in chunks}
    return {path: "none" if codec == "UNCOMPRESSED" else codec.lower()
            for path, codec in found.items() if path.startswith((f"{IMAGE}.", f"{MEAN}."))}  # fmt: skip


def pool_of(root: Path, columns: Sequence[str] = ("artwork_id", "vector")) -> pa.Table:
    return lance.dataset(str(root / "data/embeddings/artwork_embedding.lance")).to_table(list(columns))


def _parts(day: Path, out: Path) -> list[Path]:
    """The part files of a day, for which there is a folder in `out` then."""
    (out / day.name).mkdir(parents=True, exist_ok=True)
    return sorted(day.glob("*.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("duckdb", "numpy", "columns"))
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", type=int, required=True)
    a = parser.parse_args()
    days = sorted((a.root / "data/training_output").glob("dt=*"))[: a.days]
    clocks = Clocks()
    {"duckdb": duckdb, "numpy": numpy, "columns": columns}[a.kind](a.root, days, a.out, clocks)
    print(clocks.said())


if __name__ == "__main__":
    main()
