"""Small answers that take longer to find than to read, kept for this user from one process to the next.

A file an answer, `~/.cache/daeda/KIND/KEY.json`. A key names all that its answer follows from. What is lost, or cannot
be kept, is found anew.
"""

from __future__ import annotations

import json
import os
from typing import Any

from daedalus.base.user_cache import private_folder

_MOST = 100  # answers of a kind; the oldest go


def recall(kind: str, key: str) -> Any:
    """The answer, or None."""
    folder = private_folder(kind)
    try:
        with open(f"{folder}/{key}.json", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def remember(kind: str, key: str, answer: Any, *, public: bool = False) -> None:
    """Keeps an answer, if JSON gives it back as it is, and no address in it may hold a secret; one that is `public` has
    nothing of the user's in it."""
    folder = private_folder(kind)
    try:
        text = json.dumps(answer)
        if folder is None or ("://" in text and not public) or json.loads(text) != answer:
            return
        unfinished = f"{folder}/{key}.{os.getpid()}"
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(unfinished, f"{folder}/{key}.json")
        for old in sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime_ns)[:-_MOST]:
            os.unlink(old.path)
    except (OSError, TypeError, ValueError):
        return
