"""The object store as the rest of the code sees it: files by key, errors as those of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from obstore.exceptions import BaseError

from daedalus.base.errors import DaedalusError, bare
from daedalus.cli.output import refuse
from daedalus.objectstore.object_store import Conflict, ObjectStore, is_uri, known_keys


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


@pytest.mark.parametrize("store", ["s3://", "gs://", "az://"])
def test_the_options_that_are_known_are_those_of_obstore(store):
    from obstore.exceptions import UnknownConfigurationKeyError
    from obstore.store import from_url

    for key in sorted(known_keys(store)):
        try:
            from_url(f"{store}bucket", config={key: "x"})
        except UnknownConfigurationKeyError:
            pytest.fail(key)
        except (BaseError, ValueError):  # it knows the option, and not the value
            continue


def test_no_error_tells_what_the_options_keep_secret():
    options = {"endpoint": "http://someone:hush1@127.0.0.1:9", "region": "us-east-1", "access_key_id": "hush2-key",
               "secret_access_key": "hush3-key", "skip_signature": False}  # fmt: skip
    store = ObjectStore("s3://bucket", options, patience=1, tries=0)
    with pytest.raises(OSError, match="127") as refused:
        store.list()
    assert "hush" not in str(refused.value)
    with pytest.raises(OSError, match="Account must be specified"):
        ObjectStore("az://bucket", {**options, "account_key": "hush4"}).list()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cannot reach http://u:p@host:9/a?sig=x&se=y now", "cannot reach http://host:9/a now"),
        ("url (https://a:b@c@host/?token=1)", "url (https://host/)"),
        ("http://u:p,q@h/ and http://u:p'q@h/", "http://h/ and http://h/"),
        ("s3://bucket/views/part-?.parquet", "s3://bucket/views/part-?.parquet"),
        ("s3://bucket/a@b.parquet, me@here.org", "s3://bucket/a@b.parquet, me@here.org"),
        ("/local/what?a=b", "/local/what?a=b"),
    ],
)
def test_addresses_are_told_without_user_and_query(text, told, capsys):
    assert bare(text) == told
    refuse(DaedalusError("what", where=text), ["--json"])
    out, err = capsys.readouterr()
    assert f"where:    {told}" in err and json.loads(out)["error"]["where"] == told
