"""In a notebook a run draws itself in place; anywhere else it is silent."""

from __future__ import annotations

import sys
import types

from small import RANGE

import daedalus
from daedalus.watch.notebook import notebook_progress


class Handle:
    """What IPython gives for a display that can be updated."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, what) -> None:
        self.shown.append(what._repr_html_())


def a_notebook(monkeypatch, shell: str) -> Handle:
    handle = Handle()
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = type(shell, (), {})

    def show(what, display_id: bool) -> Handle:
        handle.update(what)
        return handle

    display.display = show
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return handle


def test_a_run_in_a_notebook_draws_itself(cold, monkeypatch, capsys):
    handle = a_notebook(monkeypatch, "ZMQInteractiveShell")
    report = daedalus.run_skeleton_stage(daedalus.Settings(), RANGE)
    assert len(handle.shown) >= 2 and "computed" in handle.shown[-1]
    assert "2026-02 ##############" in handle.shown[-1]
    assert capsys.readouterr() == ("", "")
    assert "14 of 14 days done" in report._repr_html_() and "14 done, 0 empty, 0 failed" in repr(report)
    assert str(report).startswith("2026-02-01..2026-02-14: 14 of 14 days done")


def test_elsewhere_it_is_silent(monkeypatch):
    a_notebook(monkeypatch, "TerminalInteractiveShell")
    assert notebook_progress() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert notebook_progress() is None
