-- select
SELECT NOT (s.event IN ('reco_artwork_view', 'reco_artwork_view2') AND NOT EXISTS (SELECT 1
  FROM read_parquet(getvariable('pool'), hive_partitioning = false) p
  WHERE p.id = s.artwork_id)) AS covered
  FROM read_parquet(getvariable('spine'), hive_partitioning = false, file_row_number = true) s
  ORDER BY s."file_row_number";
