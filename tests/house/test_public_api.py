"""The public API is typed: mypy --strict takes a file that uses all of it, and no signature says Any."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pyarrow as pa
import pytest
from small import PROJECT

import daedalus
from daedalus.base import installed


def test_mypy_takes_a_file_that_uses_the_api():
    """As strictly as it can, with `assert_type`, which fails where a type is Any."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "tests/support/public_api.py"], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (PROJECT / "daedalus/py.typed").exists()


def test_every_public_name_is_there_and_no_signature_says_any():
    for name in daedalus.__all__:
        public = getattr(daedalus, name)
        methods = [method for key, method in vars(public).items() if key[0] != "_"] if inspect.isclass(public) else []
        for one in (public, *methods):
            if inspect.isfunction(one):
                said = [str(parameter.annotation) for parameter in inspect.signature(one).parameters.values()]
                assert not any("Any" in text for text in [*said, str(inspect.signature(one).return_annotation)]), (
                    name,
                    one,
                )
    assert dir(daedalus) == sorted(daedalus.__all__) and set(daedalus.__all__) == {*daedalus._HOMES, "__version__"}


def test_a_missing_extra_is_said_as_such(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    install = "pip install 'daedalus-skeleton\\[polars\\]'"
    with pytest.raises(daedalus.DaedalusError, match=install):
        daedalus.load(to="polars")
    stamps = pa.array([], pa.timestamp("us"))
    rows = pa.table(
        {"user_id": pa.array([], pa.int64()), "artwork_id": pa.array([], pa.int64()), "event_timestamp": stamps}
    )
    spec = {"name": "x", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    with pytest.raises(daedalus.DaedalusError, match=install):
        events = rows.append_column("event", pa.array([], pa.string()))
        daedalus.aggregate_pit_table(rows, events, [spec], engine="polars")
    monkeypatch.undo()
    installed.check_extra("nothing", "pyarrow", where="here", what="it")
