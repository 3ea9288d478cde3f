"""The closing summary says where rows went and why steps ran, in numbers that agree with the partitions."""

from __future__ import annotations

import pyarrow.parquet as pq
from small import edit


def test_a_run_says_why_it_ran_and_where_rows_went(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    report = warm.run()
    lines = "\n".join(report.lines())
    rows = sum(pq.ParquetFile(part).metadata.num_rows for part in warm.output.glob("dt=*/*.parquet"))
    assert f"content {rows:,}" in lines
    assert "x config session_filter.drop_single_like" in lines and " downstream" in lines and "saved " in lines
    assert max(map(len, report.lines())) <= 80
    again = warm.run()
    assert [line.partition(" ")[0] for line in again.notes] == ["saved"]
    assert f"{again.steps['hit']:,} steps" in again.notes[0] and " 0.0 s" not in again.notes[0]
