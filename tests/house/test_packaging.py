"""The package is whole: what the wheel holds, the same bytes each time, and extras that hints and docs name rightly."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from small import DAYS, PROJECT, edit

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
CODE = sorted((PROJECT / "daedalus").rglob("*.py"))
TEXTS = [*CODE, *PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "Dockerfile", PROJECT / "pyproject.toml"]
CHECKED = re.findall(r'check_extra\("([\w-]+)", "([\w.]+)"', "\n".join(path.read_text() for path in CODE))
OF_EXTRAS = ("distributed", "fsspec", "obstore", "openlineage", "polars", "datasets", "lightgbm", "pandas", "ray",
             "torch", "xgboost")  # fmt: skip
SAME_MODULE = {"xgboost-cpu": "xgboost"}  # what the development environment has instead


def test_every_extra_that_is_named_is_there():
    named = set()
    for path in TEXTS:
        text = path.read_text()
        named |= {name for found in re.findall(r"daedalus-skeleton\[([\w,-]+)\]", text) for name in found.split(",")}
        named |= set(re.findall(r"\bthe\s+extra\s+`([\w-]+)`", text))
    assert named == EXTRAS.keys() - {"dev"}


def test_an_extra_has_what_its_check_asks_for():
    """Of one that is not installed here, the module has the name of its package."""
    homes = packages_distributions()
    assert {extra for extra, _ in CHECKED} == EXTRAS.keys() - {"dev"}
    for extra, module in CHECKED:
        name = module.split(".")[0]
        needed = {canonicalize_name(Requirement(one).name) for one in EXTRAS[extra]}
        found = {canonicalize_name(of) for of in homes.get(name, [name])}
        assert needed & {SAME_MODULE.get(of, of) for of in found}, module


def without_extras(*arguments: str) -> subprocess.CompletedProcess:
    script = f"""import sys
class Missing:
    def find_spec(name, *_):
        if name.split(".")[0] in {OF_EXTRAS}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing)
from daedalus.cli.main import main
main()"""
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)


def test_local_files_need_no_extra(warm):
    done = without_extras("skeleton", "--force", "--range", str(DAYS[3]))
    assert done.returncode == 0, done.stderr
    report = without_extras("report", "--range", str(DAYS[3]))
    assert report.returncode == 0, report.stderr


@pytest.mark.parametrize(
    ("extra", "values", "options"),
    [
        ("object-store", {"cache_remote": "s3://bucket/cache"}, ()),
        ("object-store", {"output_root": "s3://bucket/output"}, ()),
        ("dask", {}, ("--executor", "dask")),
        ("lineage", {}, ("--openlineage", "events.json")),
    ],
)
def test_a_missing_extra_is_named_before_any_work(warm, extra, values, options):
    edit(warm.runtime, **values)
    done = without_extras("skeleton", "--range", str(DAYS[3]), *options)
    assert done.returncode == 2 and done.stderr.count("error:") == 1, done.stderr
    assert f"pip install 'daedalus-skeleton[{extra}]'" in done.stderr


def test_a_missing_extra_is_an_import_error_of_python_too(warm, monkeypatch):
    import daedalus

    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"daedalus-skeleton\[polars\]"):
        daedalus.load(to="polars")


def build(folder: Path) -> Path:
    """The wheel of a copy of what it is made of."""
    source = folder / "source"
    for name in ("daedalus", "config"):
        shutil.copytree(PROJECT / name, source / name, symlinks=True, copy_function=shutil.copyfile,
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, source / name)
    script = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1780000000"}
    subprocess.run([sys.executable, "-c", script], cwd=source, env=environment, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_is_whole_and_has_the_same_bytes_each_time(tmp_path):
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()
    with ZipFile(one) as wheel:
        there = {name: wheel.read(name) for name in wheel.namelist()}
    package = {
        path for path in (PROJECT / "daedalus").rglob("*") if path.suffix in (".py", ".j2", ".css", ".js", ".typed")
    }
    needed = {str(path.relative_to(PROJECT)): path for path in package if path.is_file()}
    for file in (PROJECT / "config").rglob("*.*"):
        if file.is_file():
            needed[f"daedalus/demo/config/{file.relative_to(PROJECT / 'config')}"] = file
    assert len(needed) > 150 and {"daedalus/py.typed", "daedalus/demo/config/catalog.yaml"} <= needed.keys()
    for name, file in needed.items():
        assert there[name] == file.read_bytes(), name
    metadata = next(text for name, text in there.items() if name.endswith("/METADATA"))
    found = Metadata.from_email(metadata, validate=True)
    assert found.author == "Daedalus contributors" and found.license_expression == "Apache-2.0"
    assert found.keywords and found.classifiers and found.license_files == ["LICENSE"]


def test_the_default_configuration_is_there_once():
    link = PROJECT / "daedalus/demo/config"
    assert link.is_symlink() and link.resolve() == PROJECT / "config"
    assert "COPY config /src/config" in (PROJECT / "Dockerfile").read_text()
