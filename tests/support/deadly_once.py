"""A worker that dies of an action, the first time that it comes to some worker."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from clusters import Deadly


class DeadlyOnce(Deadly):
    """See `Deadly`; for several actions, of which each kills once. `died` says of which, by what is in that folder.

    A part of an action counts as the action.
    """

    name = "deadly once"

    def __init__(self, actions: Set[str], folder: Path, died: Path) -> None:
        super().__init__("", folder)
        self._actions, self._died = actions, died

    def transition(self, key, start, finish, **more) -> None:
        name = f"{key[0]}@{key[1].partition(' part ')[0]}"
        if finish == "executing" and name in self._actions:
            try:
                os.close(os.open(self._died / name, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            self._action = f"{key[0]}@{key[1]}"
            super().transition(key, start, finish, **more)
