-- select
SELECT coalesce(g.items[1:least(g.n0, 1000)], []) AS "dislike_artwork_ids"
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r
  LEFT JOIN (SELECT target, list(value
  ORDER BY ts DESC, value) AS items, count(*) AS n0
  FROM (SELECT r."file_row_number" AS target, r.event_timestamp AS t, e.ts AS ts, e.value AS value
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r JOIN (SELECT *, lead(ts) OVER (PARTITION BY user_id, value
  ORDER BY ts) AS next
  FROM (SELECT DISTINCT user_id, ts, value
  FROM read_parquet(getvariable('events'), hive_partitioning = false))) e ON e.user_id = r.user_id AND e.ts < r.event_timestamp AND (e.next IS NULL OR e.next >= r.event_timestamp))
  GROUP BY target) g ON g.target = r."file_row_number"
  ORDER BY r."file_row_number";
