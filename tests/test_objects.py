"""The object store as the rest of the code sees it: files by key, errors as those of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from daedalus.objects import Conflict, ObjectStore, is_uri


def test_what_is_put_is_got_listed_and_gone(objects: ObjectStore, tmp_path: Path):
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 50_000)
    objects.put("a/one", b"1")
    objects.put("a/two", big)
    objects.put("b", b"")
    assert objects.get("a/one")[0] == b"1"
    fetched = objects.fetch("a/two", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == big.read_bytes() and fetched.size == big.stat().st_size
    assert [(objects.key(o.uri), o.size) for o in objects.list()] == [("a/one", 1), ("a/two", 12_800_000), ("b", 0)]
    assert [objects.key(o.uri) for o in objects.list("a/t")] == ["a/two"]
    assert objects.list("a/one")[0].stamp == objects.head("a/one").stamp == objects.get("a/one")[1].stamp
    objects.delete(["a/one", "a/two", "not there"])
    assert [objects.key(o.uri) for o in objects.list()] == ["b"]


def test_writes_with_a_condition(objects: ObjectStore):
    first = objects.put("k", b"1", create=True)
    with pytest.raises(FileExistsError):
        objects.put("k", b"2", create=True)
    second = objects.put("k", b"2", replaces=first)
    with pytest.raises(Conflict):
        objects.put("k", b"3", replaces=first)
    assert objects.get("k")[0] == b"2" and second != first


def test_errors_say_where(objects: ObjectStore, s3_options: dict[str, str], tmp_path: Path):
    with pytest.raises(FileNotFoundError) as gone:
        objects.get("nothing")
    assert gone.value.filename == objects.of("nothing")
    with pytest.raises(FileNotFoundError):
        objects.fetch("nothing", tmp_path / "x")
    nobody = ObjectStore("s3://some", {**s3_options, "endpoint": "http://127.0.0.1:9"}, patience=0.3, tries=1)
    with pytest.raises(OSError, match="sending request"):
        nobody.get("k")


def test_uris():
    assert is_uri("s3://b/x") and is_uri("gs://b") and is_uri("az://c/x")
    assert not is_uri("data/feed") and not is_uri("/s3://x") and not is_uri(Path("s3:/b"))
