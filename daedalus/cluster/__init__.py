"""Runs actions on Dask workers (the extra `dask`). Imported only for `--executor dask`."""
