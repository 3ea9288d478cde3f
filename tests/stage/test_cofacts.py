"""The real input beside the project: every row and column of 123 days equals the reference."""

from __future__ import annotations

from reference import Reference, differences, read_output
from small import nothing_ran

from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings


def test_real_input_equals_the_reference(cofacts, tmp_path):
    settings = Settings(str(cofacts), str(tmp_path / "cache"), str(tmp_path / "out"))
    report = run_skeleton_stage(settings)
    assert report.days == {"total": 123, "done": 123, "empty": 0, "failed": 0}
    expected = Reference(cofacts).run()
    assert sum(map(len, expected.values())) == report.rows["written"] > 50_000
    assert differences(expected, read_output(tmp_path / "out")) == []
    assert nothing_ran(run_skeleton_stage(settings))
