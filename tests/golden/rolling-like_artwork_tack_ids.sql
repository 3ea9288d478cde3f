-- select
SELECT coalesce(g.items[1:least(g.n0, 200)], []) AS "like_artwork_tack_ids_1d", coalesce(g.items[1:least(g.n1, 200)], []) AS "like_artwork_tack_ids_3d", coalesce(g.items[1:least(g.n2, 200)], []) AS "like_artwork_tack_ids_7d"
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r
  LEFT JOIN (SELECT target, list(value
  ORDER BY ts DESC, value) AS items, count(*) FILTER (ts >= t - INTERVAL 86400 SECOND) AS n0, count(*) FILTER (ts >= t - INTERVAL 259200 SECOND) AS n1, count(*) FILTER (ts >= t - INTERVAL 604800 SECOND) AS n2
  FROM (SELECT r."file_row_number" AS target, r.event_timestamp AS t, e.ts AS ts, e.value AS value
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r JOIN (SELECT *, lead(ts) OVER (PARTITION BY user_id, value
  ORDER BY ts) AS next
  FROM (SELECT DISTINCT user_id, ts, value
  FROM read_parquet(getvariable('events'), hive_partitioning = false))) e ON e.user_id = r.user_id AND e.ts < r.event_timestamp AND (e.next IS NULL OR e.next >= r.event_timestamp) AND e.ts >= r.event_timestamp - INTERVAL 604800 SECOND)
  GROUP BY target) g ON g.target = r."file_row_number"
  ORDER BY r."file_row_number";
