-- select
SELECT "artwork_id", "tack_ids"
  FROM read_parquet(getvariable('view'), hive_partitioning = false)
  WHERE "artwork_id" IN (SELECT DISTINCT s."artwork_id"
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN read_parquet(getvariable('coverage'), hive_partitioning = false, file_row_number = true) c ON c."file_row_number" = s."file_row_number" AND c.covered)
  ORDER BY "artwork_id";
