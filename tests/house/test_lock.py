"""What scripts/setup and the image install is pinned and held to hashes, all of it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution

import pytest
from conftest import PROJECT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ["requirements.lock", "requirements-image.lock"]
_ENTRY = re.compile(r"([A-Za-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def pinned() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def locked(name: str) -> dict[str, str]:
    """The versions of a lock, in which there is nothing else than names, versions and hashes."""
    text = (PROJECT / name).read_text()
    entries = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert _ENTRY.sub("", entries) == "", "only pins with hashes: no hosts, no paths, no options"
    return {canonicalize_name(found[1]): found[2] for found in _ENTRY.finditer(entries)}


def needed(name: str, extras: frozenset[str]) -> set[str]:
    """All that a package which is installed here needs, itself left out."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen = set(waiting)
    while waiting:
        package, wanted = waiting.pop()
        for text in distribution(package).requires or []:
            one = Requirement(text)
            if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in wanted | {""}):
                continue
            if (below := (canonicalize_name(one.name), frozenset(one.extras))) not in seen:
                seen.add(below)
                waiting.append(below)
                found.add(below[0])
    return found - {canonicalize_name(name)}


def test_the_lock_is_that_of_the_constraints():
    assert locked("requirements.lock") == pinned(), "run scripts/lock"


def test_the_image_has_the_versions_of_the_constraints():
    image, all_pinned = locked("requirements-image.lock"), pinned()
    more = image.keys() - all_pinned.keys()
    assert "bokeh" in more and {name: image[name] for name in image.keys() - more}.items() <= all_pinned.items()


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], {"dev"}), (LOCKS[1], {"dask"})])
def test_a_lock_has_all_that_is_needed(lock, extras):
    """So that pip, which is told to look for nothing else, leaves nothing out."""
    builds = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = needed("daedalus-skeleton", frozenset(extras)) | {
        canonicalize_name(Requirement(one).name) for one in builds
    }
    assert wanted <= locked(lock).keys()
    for one in map(Requirement, builds):
        assert one.specifier.contains(locked(lock)[one.name])


def test_every_install_is_held_to_its_lock():
    for path, lock in (("scripts/setup", LOCKS[0]), ("Dockerfile", LOCKS[1])):
        text = (PROJECT / path).read_text()
        assert re.search(rf"--require-hashes -r \S*{re.escape(lock)}", text) and "--no-build-isolation" in text
    shown = re.findall(r"bokeh==(\S+?)[`)\s]", (PROJECT / "docs/cluster.md").read_text())
    assert shown and set(shown) == {locked(LOCKS[1])["bokeh"]}
