"""DuckDB: statements as values, types, and the only place that connects."""
