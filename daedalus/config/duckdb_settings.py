"""Every DuckDB setting: those that a config may set, those that we set on every connection, and those left alone.

The output's bytes depend on inputs, config and code, and no DuckDB setting is part of a key. So a config may set only
what cannot change a byte; what can is fixed here; the rest does not affect what we run. A test fails for a setting of
a new DuckDB until it is in one of the three lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from daedalus.base.errors import DaedalusError, did_you_mean

MOST_THREADS = 1024
_LEAST_MB = 64  # of memory_limit: DuckDB starts with a tenth of a MB, but steps work in far more
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:(%)|([KMGT]?)(i?)B?|bytes?)", re.IGNORECASE)
# What a config may set: how much of the machine is used. Every statement has a total order, on one thread.
ALLOWED = (
    "threads", "memory_limit", "temp_directory", "max_temp_directory_size", "preserve_insertion_order",
    "allocator_background_threads", "allocator_flush_threshold", "allocator_bulk_deallocation_flush_threshold",
)  # fmt: skip
ALIASES = {"worker_threads": "threads", "max_memory": "memory_limit"}

# What we set on every connection: it decides what a statement means or may access.
FIXED: Mapping[str, Any] = {
    # Values and their order
    "TimeZone": "UTC", "Calendar": "gregorian", "default_collation": "", "default_order": "ASC",
    "default_null_order": "NULLS LAST", "integer_division": False, "ieee_floating_point_ops": True,
    "error_on_division_by_zero": True, "scalar_subquery_error_on_multiple_rows": True,
    "regex_match_operator_semantics": "partial", "order_by_non_integer_literal": False,
    "dialect_compatibility_mode": "NONE", "preserve_identifier_case": "preserve_case",
    "legacy_disable_null_type": False, "disable_timestamptz_casts": False, "max_expression_depth": 1000,
    "max_execution_time": 0,
    # What comes out of files and into Arrow
    "binary_as_string": False, "enable_geoparquet_conversion": True, "json_geometry_format": "wkt",
    "arrow_large_buffer_size": False, "arrow_lossless_conversion": False, "arrow_output_list_view": False,
    "arrow_output_version": "1.0", "pandas_analyze_sample": 1000,
    # A file may change under its name
    "enable_external_file_cache": False, "cache_local_files": False, "parquet_metadata_cache": False,
    # What a statement may access
    "python_enable_replacements": False, "python_scan_all_frames": False, "file_search_path": "",
    "autoinstall_known_extensions": False, "autoload_known_extensions": False, "allow_community_extensions": False,
    "allow_persistent_secrets": False,
}  # fmt: skip

# What neither changes a value that we write nor gives access to more: query plans, and files, logs, output and servers
# of DuckDB's own, none of which we use.
UNUSED = frozenset((
    "access_mode", "active_grammar_extensions", "allow_extension_repositories", "allow_extensions_metadata_mismatch",
    "allow_parser_override_extension", "allow_unredacted_secrets", "allow_unsigned_extensions", "allowed_configs",
    "allowed_directories", "allowed_paths", "approximate_join_order_threshold", "asof_loop_join_threshold",
    "async_threads", "auto_checkpoint_skip_wal_threshold", "autoinstall_extension_repository",
    "block_allocator_memory", "catalog_error_max_schemas", "checkpoint_on_detach", "checkpoint_threshold",
    "current_dialect", "current_transaction_invalidation_policy", "custom_extension_repository", "custom_user_agent",
    "debug_checkpoint_scan_sleep_ms", "default_block_size", "default_secret_storage",
    "default_transaction_invalidation_policy", "delim_join_as_cte", "disable_database_invalidation",
    "disable_parquet_prefetching", "disabled_compression_methods", "disabled_filesystems", "disabled_log_types",
    "disabled_optimizers", "duckdb_api", "dynamic_or_filter_threshold", "enable_external_access",
    "enable_fsst_vectors", "enable_http_metadata_cache", "enable_logging", "enable_macro_dependencies",
    "enable_optimistic_write", "enable_optimizer", "enable_profiling", "enable_progress_bar",
    "enable_progress_bar_print", "enable_view_dependencies", "enabled_log_types", "errors_as_json",
    "experimental_metadata_reuse", "explain_output", "extension_directories", "extension_directory",
    "extension_repository_directory", "external_file_cache_local_max_block_size",
    "external_file_cache_remote_max_block_size", "external_file_cache_remote_min_block_size",
    "external_file_cache_request_sizing", "external_file_cache_spill", "external_threads",
    "force_column_metadata_reuse", "force_compression", "fsync_mode", "geometry_minimum_shredding_size",
    "home_directory", "http_client_pool_capacity", "http_proxy", "http_proxy_password", "http_proxy_username",
    "ignore_unknown_crs", "immediate_transaction_mode", "index_scan_max_count", "index_scan_percentage",
    "initial_column_segment_size", "late_materialization_max_rows", "lock_configuration", "log_query_path",
    "logging_level", "logging_mode", "logging_storage", "max_streaming_buffer_size", "max_vacuum_tasks",
    "merge_join_threshold", "nested_loop_join_threshold", "null_order", "operator_memory_limit",
    "ordered_aggregate_threshold", "parquet_prefetch_column_gap", "partitioned_write_flush_threshold",
    "partitioned_write_max_open_files", "password", "perfect_ht_threshold", "pin_threads", "pivot_filter_threshold",
    "pivot_limit", "prefer_range_joins", "prefetch_all_parquet_files", "profile_output", "profiling_coverage",
    "profiling_output", "profiling_renderer_settings", "progress_bar_time", "read_ahead_depth", "redact_http_logs",
    "scheduler_process_partial", "schema", "search_path", "secret_directory", "show_behavior", "standard_vector_size",
    "storage_block_prefetch", "storage_compatibility_version", "streaming_buffer_size",
    "table_function_identifier_conversion", "temp_file_encryption", "tracked_metrics", "user", "username",
    "validate_external_file_cache", "variant_minimum_shredding_size", "wal_autocheckpoint",
    "wal_autocheckpoint_entries", "warnings_as_errors", "write_buffer_row_group_count",
    "write_buffer_row_group_memory_limit", "zstd_min_string_length",
))  # fmt: skip


def allowed_settings(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings of a config, by their names in ALLOWED; `where` is their key path. Raises DaedalusError (exit 2)."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        at = f"{where}.{key}"
        name = ALIASES.get(key.lower(), key.lower())
        if name not in ALLOWED:
            raise _refused(key, at)
        if name in found:
            raise DaedalusError("a setting that is given twice", where=at, found=key, expected=f"{name} alone")
        _check(name, value, at)
        found[name] = value
    return found


def _refused(key: str, where: str) -> DaedalusError:
    name, expected = key.lower(), ", ".join(ALLOWED)
    if name in {known.lower() for known in FIXED}:
        what = "a DuckDB setting that decides what is computed or accessed: its value is fixed"
    elif name in UNUSED:
        what = "a DuckDB setting that this stage does not use"
    else:
        what = "an unknown DuckDB setting"
    return DaedalusError(what, where=where, found=key, expected=expected, hint=did_you_mean(name, ALLOWED))


def _check(name: str, value: Any, where: str) -> None:
    if name == "threads":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_THREADS:
            raise DaedalusError("not a number of threads", where=where, found=repr(value),
                                expected=f"a whole number from 1 to {MOST_THREADS}")  # fmt: skip
    elif name in ("preserve_insertion_order", "allocator_background_threads"):
        if not isinstance(value, bool):
            raise DaedalusError("wrong type", where=where, found=repr(value), expected="true or false")
    elif not isinstance(value, str):
        raise DaedalusError("wrong type", where=where, found=repr(value), expected="text, such as 4GB")
    elif name == "memory_limit":
        _check_memory(value, where)


def _check_memory(value: str, where: str) -> None:
    size = _SIZE.fullmatch(value.strip())
    if not (size and float(size[1])):
        raise DaedalusError("a size that cannot be read", where=where, found=repr(value), expected="such as 4GB")
    number, percent, prefix, binary = size.groups()
    scale = (1024 if binary else 1000) ** " KMGT".index((prefix or " ").upper())
    if not percent and float(number) * scale < _LEAST_MB * 1e6:
        raise DaedalusError("a size that is too small", where=where, found=repr(value),
                            expected=f"at least {_LEAST_MB}MB, which the threads share",
                            hint="steps need far more, such as 4GB")  # fmt: skip
