"""Lists of numbers from parquet's pages, without building them."""
