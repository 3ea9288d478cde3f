-- select
SELECT "artwork_id", "tack_ids"
  FROM read_parquet(getvariable('view'), filename = true, file_row_number = true, hive_partitioning = false)
  WHERE "artwork_id" IN (SELECT DISTINCT s."artwork_id"
  FROM read_parquet(getvariable('spine'), filename = true, file_row_number = true, hive_partitioning = false) s JOIN read_parquet(getvariable('coverage'), filename = true, file_row_number = true, hive_partitioning = false) c ON c."file_row_number" = s."file_row_number" AND c.covered)
  ORDER BY "artwork_id";
