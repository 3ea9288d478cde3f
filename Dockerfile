# daeda, and a Dask scheduler and workers of the very same code. Build at the root of a clone:
#   docker build -t daeda .
# Run what docs/cluster.md shows: daeda …, dask scheduler …, dask worker …
FROM python:3.11-slim

COPY constraints.txt pyproject.toml README.md LICENSE /src/
COPY daedalus /src/daedalus
# bokeh draws the scheduler's own pages; the rest is pinned, so that all hosts make the same keys.
RUN pip install --no-cache-dir -c /src/constraints.txt '/src[dask]' bokeh \
 && rm -r /src

# The compiled kernel is kept here from one container to the next, if the folder is a volume.
ENV NUMBA_CACHE_DIR=/var/cache/numba
RUN useradd --create-home daeda && mkdir -p /work /var/cache/numba && chown daeda /work /var/cache/numba
USER daeda
WORKDIR /work
CMD ["daeda", "--help"]
