-- select
SELECT "artwork_id", "daeda:time", "tack_ids"
  FROM (SELECT "artwork_id" AS "artwork_id", "updated_at" AS "daeda:time", list_position(getvariable('view_files'), filename) AS place, file_row_number AS line, "tack_ids" AS "tack_ids"
  FROM read_parquet(getvariable('view_0'), filename = true, file_row_number = true, hive_partitioning = false))
  WHERE "artwork_id" IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY "artwork_id"
  ORDER BY "daeda:time" DESC NULLS LAST, place DESC, line DESC) = 1
  ORDER BY "artwork_id", "daeda:time" NULLS FIRST;
