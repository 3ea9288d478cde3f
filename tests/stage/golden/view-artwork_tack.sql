-- select
SELECT "artwork_id", "daeda:time", "tack_ids"
  FROM (SELECT "artwork_id" AS "artwork_id", "updated_at" AS "daeda:time", list_position(getvariable('view_files'), "daeda:file") AS "daeda:place", "file_row_number" AS "daeda:line", "tack_ids" AS "tack_ids"
  FROM read_parquet(getvariable('view_0'), hive_partitioning = false, file_row_number = true, filename = 'daeda:file'))
  WHERE "artwork_id" IS NOT NULL
  QUALIFY row_number() OVER ( PARTITION BY "artwork_id"
  ORDER BY "daeda:time" DESC NULLS LAST, "daeda:place" DESC, "daeda:line" DESC) = 1
  ORDER BY "artwork_id", "daeda:time" NULLS FIRST;
