"""What the tests share: pools, the real input, and running the stage in this process."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path

import pytest

_CACHE_OF_USER = tempfile.TemporaryDirectory(prefix="daeda-tests-")  # before anything of the project is imported
os.environ["XDG_CACHE_HOME"] = _CACHE_OF_USER.name
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; tests send it to processes
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["buckets"]
PROJECT = Path(__file__).parent.parent
COFACTS = PROJECT.parent / "shared/realdata/cofacts"


@pytest.fixture(scope="session")
def pools(tmp_path_factory) -> Path:
    """A Lance database with one small table for each pool that worlds draw from."""
    import lancedb
    from worlds import POOLS

    folder = tmp_path_factory.mktemp("pools")
    database = lancedb.connect(str(folder))
    for pool in POOLS:
        rows = [{"artwork_id": artwork, "vector": [0.0, 1.0]} for artwork in pool]
        database.create_table("pool_" + "_".join(map(str, pool)), rows)
    return folder


@pytest.fixture
def cofacts(monkeypatch) -> Path:
    """The real input's config folder, with the working directory that its paths are relative to."""
    if not COFACTS.is_dir():
        pytest.skip("the real input is not beside this checkout (../shared/realdata/cofacts)")
    monkeypatch.chdir(PROJECT)
    return COFACTS / "config"


@pytest.fixture(scope="session")
def warm_template(tmp_path_factory) -> Path:
    """The small world after one run, never edited."""
    import small

    root = tmp_path_factory.mktemp("small")
    small.make(root)
    with contextlib.chdir(root):
        small.Small(root).run()
    return root


@pytest.fixture
def warm(warm_template, tmp_path, monkeypatch):
    """A copy of the small world with its cache and output, as the working directory."""
    from small import Small, copied

    return Small(copied(warm_template, tmp_path, monkeypatch))


@pytest.fixture
def cold(warm_template, tmp_path, monkeypatch):
    """A copy of the small world without cache and output, as the working directory."""
    from small import Small, copied

    return Small(copied(warm_template, tmp_path, monkeypatch, without=("cache", "training_output")))


@pytest.fixture(scope="session")
def package_copy(tmp_path_factory):
    from edited import Edited

    return Edited(tmp_path_factory.mktemp("edited"))


@pytest.fixture
def edited(package_copy):
    """A copy of the package to edit; it is as it was after the test."""
    yield package_copy
    package_copy.restore()


@pytest.fixture(scope="session")
def tiny_enriched_template(tmp_path_factory) -> Path:
    """The tiny world with vectors after one run of both stages, never edited."""
    from enrich_tiny import tiny_world

    root = tmp_path_factory.mktemp("tiny-enriched")
    with contextlib.chdir(root):
        tiny_world(root).ran()
    return root


@pytest.fixture
def tiny_enriched(tiny_enriched_template, tmp_path, monkeypatch):
    """A copy of the tiny world with its cache and both outputs, as the working directory."""
    from enrich_tiny import TinyWorld
    from small import copied

    return TinyWorld(copied(tiny_enriched_template, tmp_path, monkeypatch))


@pytest.fixture(scope="session")
def enriched_template(warm_template, tmp_path_factory) -> Path:
    """The small world with columns of vectors, after a run of both stages over its first days, never edited."""
    import shutil

    import small

    root = tmp_path_factory.mktemp("enriched") / "world"
    shutil.copytree(warm_template, root)
    with contextlib.chdir(root):
        small.with_embeddings(small.Small(root))
    return root


@pytest.fixture
def enriched(enriched_template, tmp_path, monkeypatch):
    """A copy of the small world with its enriched partitions, as the working directory."""
    from small import Small, copied

    return Small(copied(enriched_template, tmp_path, monkeypatch))
