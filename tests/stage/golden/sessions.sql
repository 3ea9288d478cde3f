-- counts
SELECT count(*) AS target
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN read_parquet(getvariable('coverage'), hive_partitioning = false, file_row_number = true) c ON c."file_row_number" = s."file_row_number" AND c.covered;
-- select
SELECT s."user_id", s."artwork_id", s."event_timestamp", s."event", s."feed_session", s."current_like_count", s."country_code", s."platform_code", s."retriever_id", s."member_source"
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN read_parquet(getvariable('coverage'), hive_partitioning = false, file_row_number = true) c ON c."file_row_number" = s."file_row_number" AND c.covered
  WHERE s.feed_session IS NULL OR s.feed_session NOT IN (SELECT s.feed_session
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN read_parquet(getvariable('coverage'), hive_partitioning = false, file_row_number = true) c ON c."file_row_number" = s."file_row_number" AND c.covered
  WHERE s.feed_session IS NOT NULL
  GROUP BY s.feed_session HAVING count(*) FILTER (NOT (s.event IN ('reco_artwork_view', 'reco_artwork_view2'))) = 0)
  ORDER BY s."file_row_number";
