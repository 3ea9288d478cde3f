"""A copy of the package of which a test edits a file, to be run as another version of the code."""

from __future__ import annotations

import shutil
from pathlib import Path

from small import PROJECT


class Edited:
    """A copy that many tests edit in turn: what none of them touches is compiled once, the kernels above all."""

    def __init__(self, root: Path) -> None:
        self.root, self._edited = root, set()
        shutil.copytree(PROJECT / "daedalus", root / "daedalus")

    def edit(self, file: str, old: str, new: str) -> Path:
        """Replaces text of a file of the package; returns the folder to import it from."""
        path = self.root / "daedalus" / file
        text = path.read_text()
        assert old in text, f"{old!r} is no longer in {file}"
        self._edited.add(file)
        path.write_text(text.replace(old, new))
        return self.root

    def restore(self) -> None:
        """Takes the edits back, and what Python compiled of them."""
        for file in self._edited:
            path = self.root / "daedalus" / file
            shutil.copy2(PROJECT / "daedalus" / file, path)
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                compiled.unlink()
        self._edited.clear()
