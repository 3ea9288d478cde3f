"""Puts the pages of the docs site into a folder: docs/, and those that lie elsewhere, with their links led there.

site.py FOLDER
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from posixpath import normpath

PROJECT = Path(__file__).parent.parent.parent
ELSEWHERE = {
    "README.md": "index.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "trust.md", "cache/README.md": "cache.md",
}  # fmt: skip
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")


def pages() -> dict[str, str]:
    """The text of each page by its name in the site."""
    docs = {f"docs/{path.name}": path.name for path in sorted((PROJECT / "docs").glob("*.md"))}
    return {name: with_links(source, (PROJECT / source).read_text()) for source, name in (ELSEWHERE | docs).items()}


def with_links(source: str, text: str) -> str:
    """The text of a file of the project, its links as those of the site."""

    def led(match: re.Match[str]) -> str:
        path = normpath(f"{source.rpartition('/')[0] or '.'}/{match[1]}")
        return f"]({ELSEWHERE.get(path, path.removeprefix('docs/'))}{match[2] or ''})"

    return LINK.sub(led, text)


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
