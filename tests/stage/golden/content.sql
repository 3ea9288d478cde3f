-- select
SELECT "daeda:row"
  FROM (SELECT *
  FROM (SELECT * REPLACE (CASE WHEN artwork_type = 'ANIMATED_ARTWORK' AND model_type = 'SD_V1_MODEL' THEN 'DEFAULT_I2V_MODEL' ELSE model_type END AS model_type)
  FROM (SELECT r.*, v0."model_type" AS "model_type", v1."artwork_type" AS "artwork_type"
  FROM (SELECT "file_row_number" AS "daeda:row", "artwork_id", "event_timestamp"
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true)) r
  LEFT JOIN (SELECT "artwork_id", "model_type"
  FROM read_parquet(getvariable('view artwork_generation'), hive_partitioning = false)) v0 ON v0."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "artwork_type"
  FROM read_parquet(getvariable('view artwork_properties'), hive_partitioning = false)) v1 ON v1."artwork_id" = r."artwork_id"))
  WHERE NOT (coalesce("model_type" IN ('SD_V1_MODEL'), FALSE)))
  ORDER BY "daeda:row";
