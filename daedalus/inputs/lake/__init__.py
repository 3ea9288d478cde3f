"""Delta Lake and Iceberg tables as feed and views: the files of a version, by the table's own list of them."""
