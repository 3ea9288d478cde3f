-- select
SELECT coalesce(g.n0, 0) AS "like_artwork_cnts_1d", coalesce(g.n1, 0) AS "like_artwork_cnts_3d", coalesce(g.n2, 0) AS "like_artwork_cnts_7d"
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r
  LEFT JOIN (SELECT target, count(*) FILTER (ts >= t - INTERVAL 86400 SECOND) AS n0, count(*) FILTER (ts >= t - INTERVAL 259200 SECOND) AS n1, count(*) FILTER (ts >= t - INTERVAL 604800 SECOND) AS n2
  FROM (SELECT r."file_row_number" AS target, r.event_timestamp AS t, e.ts AS ts, e.value AS value
  FROM read_parquet(getvariable('rows'), hive_partitioning = false, file_row_number = true) r JOIN read_parquet(getvariable('events'), hive_partitioning = false) e ON e.user_id = r.user_id AND e.ts < r.event_timestamp AND e.ts >= r.event_timestamp - INTERVAL 604800 SECOND)
  GROUP BY target) g ON g.target = r."file_row_number"
  ORDER BY r."file_row_number";
