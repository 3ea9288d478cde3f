-- select
SELECT CAST("author_id" AS BIGINT) AS user_id, "created_at" AS ts, CAST(artwork_id AS BIGINT) AS value
  FROM read_parquet(getvariable('view'), hive_partitioning = false)
  WHERE "author_id" IS NOT NULL AND "created_at" IS NOT NULL
  ORDER BY user_id, ts, value;
