"""DuckDB: statements as values, types, and the one connection."""
