"""Which configuration a command means, and its options as the Python API takes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from daedalus.cli.output import to_stderr

if TYPE_CHECKING:
    from daedalus.workspace.settings import Settings

CONFIG = "config"  # the folder that is used when none is named
VARIABLE = "DAEDA_CONFIG"
_OTHERS_MAY_WRITE = 0o002
_MAKES_A_CONFIG = "init"


def settings_of(
    config: str, cache_root: str | None, output_root: str | None, day_workers: int | None = None,
    entity_spine_chunk_rows: int | None = None, enriched_root: str | None = None,
) -> Settings:  # fmt: skip
    """The settings of a command; what makes them is imported when it runs."""
    from daedalus.workspace.settings import Settings

    return Settings(config, cache_root, output_root, day_workers, entity_spine_chunk_rows, enriched_root)


def placed(call: partial[int | None]) -> partial[int | None]:
    """The call with the config folder that is meant where none was typed; goes to the project's folder for it.

    That is DAEDA_CONFIG; `config` here; or that of the project which the working directory lies in: then the command is
    as if started there, since a config's paths are relative to where one starts.
    """
    if not _takes_config(call.func) or CONFIG in call.keywords:
        return call
    if named := os.environ.get(VARIABLE):
        return partial(call, config=named)
    if call.func.__name__ != _MAKES_A_CONFIG and (above := project_above()):
        to_stderr(f"note: working in {above}, the project that this folder is in")
        os.chdir(above)
    return call


def _takes_config(command: Callable) -> bool:
    return CONFIG in (getattr(command, "__kwdefaults__", None) or ())


def project_above() -> str | None:
    """The nearest folder above this one with a config, where there is none here.

    A folder that everybody may write in, such as /tmp, is none: what a config says is done.
    """
    if os.path.lexists(CONFIG):
        return None
    folder = os.getcwd()
    while (above := os.path.dirname(folder)) != folder:
        folder = above
        if os.path.isfile(os.path.join(folder, CONFIG, "catalog.yaml")):
            return None if os.stat(folder).st_mode & _OTHERS_MAY_WRITE else folder
    return None
