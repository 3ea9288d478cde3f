"""Daedalus builds a ranking model's training data, incrementally, from content-hashed artifacts."""

import os
from typing import TYPE_CHECKING

from daedalus.base.bytecode import keep_bytecode

__version__ = "0.2.0"
__all__ = [
    "DaedalusError",
    "DayRange",
    "DayResult",
    "Failure",
    "Interrupted",
    "Progress",
    "RunReport",
    "Settings",
    "__version__",
    "aggregate_pit_table",
    "lightgbm_dataset",
    "load",
    "run_skeleton_stage",
    "run_training_pipeline",
    "xgboost_dmatrix",
]

if TYPE_CHECKING:
    from daedalus.base.days import DayRange
    from daedalus.base.errors import DaedalusError, Interrupted
    from daedalus.loading.load import load
    from daedalus.loading.rankers import lightgbm_dataset, xgboost_dmatrix
    from daedalus.pipelines.run_report import RunReport
    from daedalus.pipelines.training import run_skeleton_stage, run_training_pipeline
    from daedalus.stagecache.walk.progress import Progress
    from daedalus.windows.pit_table import aggregate_pit_table
    from daedalus.workspace.day_results import DayResult, Failure
    from daedalus.workspace.settings import Settings

_HOMES = {
    "DaedalusError": "daedalus.base.errors",
    "DayRange": "daedalus.base.days",
    "DayResult": "daedalus.workspace.day_results",
    "Failure": "daedalus.workspace.day_results",
    "Interrupted": "daedalus.base.errors",
    "Progress": "daedalus.stagecache.walk.progress",
    "lightgbm_dataset": "daedalus.loading.rankers",
    "load": "daedalus.loading.load",
    "xgboost_dmatrix": "daedalus.loading.rankers",
    "aggregate_pit_table": "daedalus.windows.pit_table",
    "run_skeleton_stage": "daedalus.pipelines.training",
    "run_training_pipeline": "daedalus.pipelines.training",
    "RunReport": "daedalus.pipelines.run_report",
    "Settings": "daedalus.workspace.settings",
}

keep_bytecode(__name__, os.path.dirname(__file__))  # before any other module is imported


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    """Public names are imported when first used: the command line must start fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
