"""A run's actions on the workers of a Dask cluster."""
