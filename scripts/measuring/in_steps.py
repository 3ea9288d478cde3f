"""`daeda`, with a last line on stderr: the processor seconds of the steps that ran in threads of this process.

The sessions of all days are numbered in three tasks, as those of large days are.
"""

from __future__ import annotations

import sys
import threading
import time

from daedalus.cli.main import main
from daedalus.stagecache.walk import executor, in_turn

_perform, _adding = executor.perform, threading.Lock()
_spent = 0.0


def _timed(task: executor.Task) -> executor.Made:
    global _spent
    began = time.thread_time()
    try:
        return _perform(task)
    finally:
        with _adding:
            _spent += time.thread_time() - began


executor.perform = _timed
in_turn.LEAST = 0
try:
    main()
finally:
    print(f"{_spent:.4f}", file=sys.stderr)
