"""Actions, keys, artifacts, traces and the walk. It knows nothing of DuckDB, parquet or feeds."""
