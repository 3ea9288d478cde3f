-- table target
SELECT s."file_row_number" AS "daeda:row", s."event", s."feed_session"
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s JOIN read_parquet(getvariable('coverage'), hive_partitioning = false, file_row_number = true) c ON c."file_row_number" = s."file_row_number" AND c.covered;
-- counts
SELECT count(*) AS target
  FROM target;
-- select
SELECT "daeda:row"
  FROM target
  WHERE feed_session IS NULL OR feed_session NOT IN (SELECT feed_session
  FROM target
  WHERE feed_session IS NOT NULL
  GROUP BY feed_session HAVING count(*) FILTER (NOT (event IN ('reco_artwork_view', 'reco_artwork_view2'))) = 0)
  ORDER BY "daeda:row";
