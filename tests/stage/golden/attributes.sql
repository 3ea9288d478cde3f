-- select
SELECT "aes_score", "artwork_age", "artwork_type", "author_id", "blur_nsfw", "followed_user_ids", "height", "hide_prompts", (CAST(NULL AS FLOAT[]) ) AS "image_embedding", "is_sensitive", "lightning", (CAST(NULL AS FLOAT[]) ) AS "like_artwork_avg_embeds", "media_safety_score", "model_id", "model_type", "safe_search", "sampling_steps", "show_nsfw", "tack_ids", "text_safety_score", "user_age", "width"
  FROM (SELECT * REPLACE (CASE WHEN artwork_type = 'ANIMATED_ARTWORK' AND model_type = 'SD_V1_MODEL' THEN 'DEFAULT_I2V_MODEL' ELSE model_type END AS model_type)
  FROM (SELECT *, CASE WHEN "daeda:age artwork_age" IS NOT NULL THEN CAST(greatest(0, (epoch_us(event_timestamp) - epoch_us(CAST("daeda:age artwork_age" AS TIMESTAMP))) // 86400000000) AS INTEGER) END AS "artwork_age", CASE WHEN "daeda:age user_age" IS NOT NULL THEN CAST(greatest(0, (epoch_us(event_timestamp) - epoch_us(CAST("daeda:age user_age" AS TIMESTAMP))) // 86400000000) AS INTEGER) END AS "user_age"
  FROM (SELECT r.*, v0."aes_score" AS "aes_score", v1."height" AS "height", v1."lightning" AS "lightning", v1."model_id" AS "model_id", v1."model_type" AS "model_type", v1."sampling_steps" AS "sampling_steps", v1."width" AS "width", v2."artwork_type" AS "artwork_type", v2."author_id" AS "author_id", v2."hide_prompts" AS "hide_prompts", v2."is_sensitive" AS "is_sensitive", v3."tack_ids" AS "tack_ids", v4."media_safety_score" AS "media_safety_score", v4."text_safety_score" AS "text_safety_score", v5."blur_nsfw" AS "blur_nsfw", v5."followed_user_ids" AS "followed_user_ids", v5."safe_search" AS "safe_search", v5."show_nsfw" AS "show_nsfw", v2."created_at" AS "daeda:age artwork_age", v5."created_at" AS "daeda:age user_age"
  FROM (SELECT "file_row_number", "artwork_id", "event_timestamp", "user_id"
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true)) r
  LEFT JOIN (SELECT "artwork_id", "aes_score"
  FROM read_parquet(getvariable('view artwork_aesthetic'), hive_partitioning = false)) v0 ON v0."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "height", "lightning", "model_id", "model_type", "sampling_steps", "width"
  FROM read_parquet(getvariable('view artwork_generation'), hive_partitioning = false)) v1 ON v1."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "artwork_type", "author_id", "created_at", "hide_prompts", "is_sensitive"
  FROM read_parquet(getvariable('view artwork_properties'), hive_partitioning = false)) v2 ON v2."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "tack_ids"
  FROM read_parquet(getvariable('view artwork_tack'), hive_partitioning = false)) v3 ON v3."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "artwork_id", "media_safety_score", "text_safety_score"
  FROM read_parquet(getvariable('view artwork_vector'), hive_partitioning = false)) v4 ON v4."artwork_id" = r."artwork_id"
  LEFT JOIN (SELECT "user_id", "blur_nsfw", "created_at", "followed_user_ids", "safe_search", "show_nsfw"
  FROM read_parquet(getvariable('view user_profile'), hive_partitioning = false)) v5 ON v5."user_id" = r."user_id")))
  ORDER BY "file_row_number";
