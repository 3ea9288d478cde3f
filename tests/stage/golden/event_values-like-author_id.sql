-- select
SELECT *
  FROM ( SELECT s.user_id AS user_id, s.event_timestamp AS ts, f."author_id" AS value
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN (SELECT "artwork_id", "author_id"
  FROM read_parquet(getvariable('view'), hive_partitioning = false)) f ON f."artwork_id" = s."artwork_id"
  WHERE s.event IN ('like'))
  WHERE value IS NOT NULL
  ORDER BY user_id, ts, value;
