# daeda, and a Dask scheduler and workers of the very same code. Build at the root of a clone:
#   docker build -t daeda .
# SECURITY.md says how to hold the base image to its digest too.
# Run what docs/cluster.md shows: daeda …, dask scheduler …, dask worker …
ARG PYTHON=python:3.11.14-slim-bookworm
FROM ${PYTHON}

COPY requirements-image.lock pyproject.toml README.md LICENSE /src/
COPY config /src/config
COPY daedalus /src/daedalus
# All is pinned, so that all hosts make the same keys, and held to its hash (scripts/lock).
RUN pip install --no-cache-dir --no-deps --require-hashes -r /src/requirements-image.lock \
 && pip install --no-cache-dir --no-deps --no-build-isolation /src \
 && rm -r /src

# The compiled kernel is kept here from one container to the next, if the folder is a volume.
ENV NUMBA_CACHE_DIR=/var/cache/numba
RUN useradd --create-home daeda && mkdir -p /work /var/cache/numba && chown daeda /work /var/cache/numba
USER daeda
WORKDIR /work
CMD ["daeda", "--help"]
