"""Columns of vectors as people write them by hand: programs to measure beside `daeda enrich`.

  by_hand.py duckdb|numpy|columns ROOT OUT --days N

`duckdb` and `numpy` read the skeleton's partitions of a world and its pool, and write partitions with the columns
image_embedding and like_artwork_avg_embeds of the default config. `columns` writes these two columns alone, as
`daeda enrich` made them, by pyarrow with the same codecs and row groups; what that takes, without reading, it prints as
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LIST, MOST = "like_artwork_ids_7d", 50
IMAGE, MEAN = "image_embedding", "like_artwork_avg_embeds"

_SQL = f"""
COPY (
    WITH part AS (SELECT * FROM read_parquet($part, file_row_number = true, hive_partitioning = false)),
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


def duckdb(root: Path, days: list[Path], out: Path) -> None:
    """The list unnested, joined with the pool, unnested once more, and averaged by row and component."""
    import duckdb

    config = {"threads": os.cpu_count(), "memory_limit": "4GB", "temp_directory": str(out / "tmp")}
    with duckdb.connect(config=config) as db:
        db.register("table", _pool(root))
        db.execute("CREATE TABLE pool AS SELECT artwork_id, vector::FLOAT[] AS vector FROM 'table'")
        for day in days:
            for part in _parts(day, out):
                db.execute(_SQL.format(out=out / day.name / part.name), {"part": str(part)})


def numpy(root: Path, days: list[Path], out: Path) -> None:
    """A loop over days and rows, with a dict of the vectors."""
    pool = _pool(root)
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


def columns(root: Path, days: list[Path], out: Path) -> None:
    """The finished columns alone, by pyarrow; only the writing counts."""
    seconds = cpu = 0.0
    for day in days:
        for part in _parts(root / "data/training_enriched" / day.name, out):
            codecs = codecs_of(part)
            table = pq.read_table(part, columns=[IMAGE, MEAN], partitioning=None)
            rows = pq.read_metadata(part).row_group(0).num_rows
            began, spent = time.perf_counter(), time.process_time()
            pq.write_table(table, out / day.name / part.name, rows, compression=codecs, use_dictionary=False)
            seconds, cpu = seconds + time.perf_counter() - began, cpu + time.process_time() - spent
    print(json.dumps({"seconds": seconds, "cpu": cpu}))


def codecs_of(part: Path) -> dict[str, str]:
    """The codec of both columns in a part's first row group, by path."""
    group = pq.read_metadata(part).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    found = {chunk.path_in_schema: chunk.compression for chunk in chunks}
    return {path: "none" if codec == "UNCOMPRESSED" else codec.lower()
            for path, codec in found.items() if path.startswith((f"{IMAGE}.", f"{MEAN}."))}  # fmt: skip


def _pool(root: Path) -> pa.Table:
    return lance.dataset(str(root / "data/embeddings/artwork_embedding.lance")).to_table(["artwork_id", "vector"])


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
    globals()[a.kind](a.root, days, a.out)


if __name__ == "__main__":
    main()
