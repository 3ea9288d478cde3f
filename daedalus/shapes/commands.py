"""The object that each command prints with `--json`."""

from daedalus.shapes.common import Refused
from daedalus.shapes.explained import Diff, ExplainedDay, ExplainedRow, ExplainedStep
from daedalus.shapes.report import Report
from daedalus.shapes.run import Plan, Run
from daedalus.shapes.runs import Audit, Compiled, Runs
from daedalus.shapes.snapshots import SnapshotDiff, SnapshotList, SnapshotRemoved, SnapshotShown
from daedalus.shapes.upkeep import Checked, Collected, Proposed, SharedCollected, Status, Verified

_RUNS = ("run", "skeleton", "enrich", "pipeline train")
PRINTED: dict[str, type] = {
    **dict.fromkeys(_RUNS, Run),
    **dict.fromkeys((f"{name} --plan" for name in _RUNS), Plan),
    "plan": Plan,
    "explain day": ExplainedDay,
    "explain step": ExplainedStep,
    "explain row": ExplainedRow,
    "diff": Diff,
    "runs": Runs,
    "compile": Compiled,
    "config check": Checked,
    "cache status": Status,
    "cache verify": Verified,
    "cache gc": Collected,
    "cache gc --remote": SharedCollected,
    "snapshot create": SnapshotShown,
    "snapshot list": SnapshotList,
    "snapshot show": SnapshotShown,
    "snapshot diff": SnapshotDiff,
    "snapshot remove": SnapshotRemoved,
    "audit": Audit,
    "report": Report,
    "init": Proposed,
}
REFUSED = Refused  # what each prints in place of that when it is refused, or interrupted
