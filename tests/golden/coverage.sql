-- select
SELECT NOT (s.event IN ('reco_artwork_view', 'reco_artwork_view2') AND NOT EXISTS (SELECT 1
  FROM read_parquet(getvariable('pool'), filename = true, file_row_number = true, hive_partitioning = false) p
  WHERE p.id = s.artwork_id)) AS covered
  FROM read_parquet(getvariable('spine'), filename = true, file_row_number = true, hive_partitioning = false) s
  ORDER BY s."file_row_number";
