-- select
SELECT "daeda:row", "user_id", "artwork_id", "event_timestamp", "event", "current_like_count", "country_code", "platform_code", "retriever_id", "member_source"
  FROM (SELECT *
  FROM (SELECT * REPLACE (CASE WHEN artwork_type = 'ANIMATED_ARTWORK' AND model_type = 'SD_V1_MODEL' THEN 'DEFAULT_I2V_MODEL' ELSE model_type END AS model_type)
  FROM (SELECT r.*, v0."model_type" AS "model_type", v1."artwork_type" AS "artwork_type"
  FROM (SELECT t."daeda:row" AS "daeda:row", s."user_id", s."artwork_id", s."event_timestamp", s."event", s."current_like_count", s."country_code", s."platform_code", s."retriever_id", s."member_source"
  FROM read_parquet(getvariable('target'), hive_partitioning = false) t JOIN read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s ON s."file_row_number" = t."daeda:row") r
  LEFT JOIN (SELECT "artwork_id", "model_type"
  FROM read_parquet(getvariable('view artwork_generation'), hive_partitioning = false)) v0 ON v0."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "artwork_type"
  FROM read_parquet(getvariable('view artwork_properties'), hive_partitioning = false)) v1 ON v1."artwork_id" = r."artwork_id"))
  WHERE NOT (coalesce("model_type" IN ('SD_V1_MODEL'), FALSE)))
  ORDER BY "daeda:row";
