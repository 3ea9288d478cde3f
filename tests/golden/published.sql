-- select
SELECT CAST("author_id" AS BIGINT) AS user_id, "created_at" AS ts, artwork_id AS value
  FROM read_parquet(getvariable('view'), filename = true, file_row_number = true, hive_partitioning = false)
  WHERE "author_id" IS NOT NULL AND "created_at" IS NOT NULL
  ORDER BY user_id, ts, value;
