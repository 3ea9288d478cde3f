-- table raw
SELECT CAST("user_id" AS BIGINT) AS "user_id", CAST("artwork_id" AS BIGINT) AS "artwork_id", "event_timestamp" AS "event_timestamp", "event" AS "event", "feed_session" AS "feed_session", CAST("current_like_count" AS BIGINT) AS "current_like_count", CAST(NULL AS VARCHAR) AS "retriever_id", CAST(NULL AS VARCHAR) AS "member_source", coalesce(TRY_CAST(country_code AS INTEGER), 0) AS country_code, coalesce(TRY_CAST(platform_code AS INTEGER), 0) AS platform_code, CAST("country_code" AS VARCHAR) AS country_code_text, CAST("platform_code" AS VARCHAR) AS platform_code_text, TRUE AS own
  FROM read_parquet(getvariable('feed_0'), hive_partitioning = false)
  UNION ALL SELECT "user_id" AS "user_id", "artwork_id" AS "artwork_id", "event_timestamp" AS "event_timestamp", "event" AS "event", "feed_session" AS "feed_session", "current_like_count" AS "current_like_count", "retriever_id" AS "retriever_id", "member_source" AS "member_source", coalesce(TRY_CAST(country_code AS INTEGER), 0) AS country_code, coalesce(TRY_CAST(platform_code AS INTEGER), 0) AS platform_code, CAST("country_code" AS VARCHAR) AS country_code_text, CAST("platform_code" AS VARCHAR) AS platform_code_text, TRUE AS own
  FROM read_parquet(getvariable('feed_1'), hive_partitioning = false);
-- table clean
SELECT DISTINCT "user_id", "artwork_id", "event_timestamp", "event", "feed_session", "current_like_count", "country_code", "platform_code", "retriever_id", "member_source", country_code_text, platform_code_text
  FROM raw
  WHERE user_id IS NOT NULL AND artwork_id IS NOT NULL AND event_timestamp IS NOT NULL AND event IS NOT NULL AND event_timestamp >= getvariable('day_start') AND event_timestamp < getvariable('day_start') + INTERVAL 1 DAY AND TRUE;
-- counts
SELECT count(*) FILTER (own) AS read, count(*) FILTER (own AND NOT (user_id IS NOT NULL AND artwork_id IS NOT NULL AND event_timestamp IS NOT NULL AND event IS NOT NULL)) AS null_keys, count(*) FILTER (own AND user_id IS NOT NULL AND artwork_id IS NOT NULL AND event_timestamp IS NOT NULL AND event IS NOT NULL AND (event_timestamp < getvariable('day_start') - INTERVAL 0 DAY OR event_timestamp >= getvariable('day_start') + INTERVAL 1 DAY)) AS strays, count(*) FILTER (user_id IS NOT NULL AND artwork_id IS NOT NULL AND event_timestamp IS NOT NULL AND event IS NOT NULL AND event_timestamp >= getvariable('day_start') AND event_timestamp < getvariable('day_start') + INTERVAL 1 DAY) - (SELECT count(*)
  FROM clean) AS duplicates, (SELECT count(*)
  FROM clean) AS spine
  FROM raw;
-- select
SELECT "user_id", "artwork_id", "event_timestamp", "event", "feed_session", "current_like_count", "country_code", "platform_code", "retriever_id", "member_source"
  FROM clean
  ORDER BY "user_id" NULLS LAST, "feed_session" NULLS LAST, "event_timestamp" NULLS LAST, "artwork_id" NULLS LAST, "event" NULLS LAST, "current_like_count" NULLS LAST, "country_code" NULLS LAST, "platform_code" NULLS LAST, "retriever_id" NULLS LAST, "member_source" NULLS LAST;
