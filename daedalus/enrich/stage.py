"""The enrich stage: each step of config/steps.py is a file in steps/, and asks for what it reads by name.

no day         fragment (one per fragment of the pool), pool_vectors, pool_places
target day     vectors (one per embedding column), means (one per column of means), enriched
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from daedalus.base.days import Day
from daedalus.config import Config
from daedalus.config.steps import ENRICH
from daedalus.skeleton.context import Make
from daedalus.skeleton.stage import build_stage
from daedalus.skeleton.stage import steps as skeleton_steps
from daedalus.stagecache.action import Action


def steps(config: Config) -> dict[str, Callable[..., Any]]:
    """What builds the actions of each step of the configuration's stages, by name: `build` of its file."""
    found = skeleton_steps()
    if ENRICH in config.stages:
        found |= {name: import_module(f"daedalus.enrich.steps.{name}").build for name in ENRICH.steps}
    return found


def build_stages(make: Make, days: Iterable[Day]) -> list[Action]:
    """The actions of target days in all stages of the configuration, upstream first; `make` has `steps()`."""
    return build_stage(make, days, [stage.partition for stage in make.context.config.stages])
