"""The object store as the rest of the code sees it: files by key, errors as those of files."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buckets import Cloud
from obstore.exceptions import BaseError

from daedalus.base.errors import DaedalusError, bare
from daedalus.cli.output import refuse
from daedalus.objectstore.address import as_uri, check_address
from daedalus.objectstore.object_store import Conflict, ObjectStore, is_known, is_uri, known_keys, library_options


@pytest.mark.every_cloud
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


@pytest.mark.every_cloud
def test_writes_with_a_condition(objects: ObjectStore):
    first = objects.put("k", b"1", create=True)
    with pytest.raises(FileExistsError):
        objects.put("k", b"2", create=True)
    second = objects.put("k", b"2", replaces=first)
    with pytest.raises(Conflict):
        objects.put("k", b"3", replaces=first)
    assert objects.get("k")[0] == b"2" and second != first
    for found in (objects.list()[0], objects.head("k"), objects.get("k")[1]):
        assert found.etag == second
    third = objects.put("k", b"3", replaces=objects.list()[0].etag)
    objects.delete(["k"])
    with pytest.raises(Conflict):
        objects.put("k", b"4", replaces=third)


@pytest.mark.every_cloud
def test_of_writers_at_once_one_wins(objects: ObjectStore):
    def wins(data: bytes, **condition: Any) -> bool:
        try:
            objects.put("k", data, **condition)
        except (Conflict, FileExistsError):
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda i: wins(b"%d" % i, create=True), range(8))) == 1
        before = objects.head("k").etag
        assert sum(pool.map(lambda i: wins(b"new %d" % i, replaces=before), range(8))) == 1


@pytest.mark.every_cloud
def test_missing_ones_keep_no_others_from_being_deleted(objects: ObjectStore):
    keys = [f"{i:03}" for i in range(300)]  # Azure takes 256 at once
    there = keys[::25]
    for key in there:
        objects.put(key, b"")
    objects.delete(keys)
    assert objects.list() == []


@pytest.mark.every_cloud
def test_keys_of_any_letters(objects: ObjectStore):
    keys = sorted(["a b/c+d=e&f", "ü/日本/x%20y", "50%/#1?.json", "'q'/(1),2;3!"])
    for key in keys:
        objects.put(key, key.encode())
    assert [objects.key(one.uri) for one in objects.list()] == keys
    assert [objects.get(key)[0].decode() for key in keys] == keys
    objects.delete(keys)
    assert objects.list() == []


def test_versions_of_a_bucket_are_in_no_stamp(bucket: str, cloud: Cloud):
    """Answers name them, and listings do not: an object would never look unchanged."""
    order = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    address = f"{cloud.endpoint}/{bucket.partition('://')[2]}?versioning"
    if cloud.scheme != "s3":
        pytest.skip("how versions are turned on is S3's own")
    asked = urllib.request.Request(address, order, {"content-type": "application/xml"}, method="PUT")
    urllib.request.urlopen(asked).close()
    store = ObjectStore(bucket, cloud.options())
    store.put("k", b"1")
    stamp = store.head("k").stamp
    assert stamp == store.list()[0].stamp == store.get("k")[1].stamp
    store.put("k", b"2")
    assert store.head("k").stamp != stamp


@pytest.mark.every_cloud
def test_errors_say_where(objects: ObjectStore, cloud: Cloud, tmp_path: Path):
    with pytest.raises(FileNotFoundError) as gone:
        objects.get("nothing")
    assert gone.value.filename == objects.of("nothing")
    with pytest.raises(FileNotFoundError):
        objects.fetch("nothing", tmp_path / "x")
    nobody = ObjectStore(f"{cloud.scheme}://some", cloud.options("http://127.0.0.1:9"), patience=0.3, tries=1)
    with pytest.raises(OSError, match="sending request"):
        nobody.get("k")


def test_uris():
    assert is_uri("s3://b/x") and is_uri("gs://b") and is_uri("az://c/x")
    assert not is_uri("data/feed") and not is_uri("/s3://x") and not is_uri(Path("s3:/b"))


@pytest.mark.parametrize(("given", "meant", "account"), [
    ("s3a://b/x", "s3://b/x", ""),
    ("S3://b/x", "s3://b/x", ""),
    ("gcs://b/x", "gs://b/x", ""),
    ("abfss://c@acc.dfs.core.windows.net/x/y", "az://c/x/y", "acc"),
    ("wasbs://c@acc.blob.core.windows.net/x", "az://c/x", "acc"),
    ("file:///x", "file:///x", ""),
    ("hdfs://host/x", "hdfs://host/x", ""),
    ("data/x", "data/x", ""),
])  # fmt: skip
def test_addresses_as_others_write_them(given, meant, account):
    assert as_uri(given) == (meant, account)
    if "://" not in given:
        check_address(given, "here")
        return
    with pytest.raises(DaedalusError, match="an address that is not understood") as refused:
        check_address(given, "here")
    assert (f"did you mean {meant}?" in refused.value.hint) == is_uri(meant) and account in refused.value.hint


@pytest.mark.parametrize(("uri", "options", "environment", "plain"), [
    ("s3://b", {"endpoint": "http://here"}, {}, True),
    ("s3://b", {}, {"AWS_ENDPOINT_URL": "http://here"}, True),
    ("gs://b", {"base_url": "http://here"}, {}, True),
    ("gs://b", {"google_base_url": "https://here"}, {"GOOGLE_BASE_URL": "http://here"}, False),
    ("az://b", {"azure_endpoint": "http://here"}, {}, True),
    ("az://b", {"azure_storage_endpoint": "http://here"}, {}, True),
    ("az://b", {}, {"AZURE_STORAGE_ENDPOINT": "http://here"}, True),
    ("az://b", {"aws_endpoint": "http://here"}, {"AWS_ENDPOINT_URL": "http://here"}, False),
    ("gs://b", {"endpoint": "http://here"}, {"AWS_ENDPOINT_URL": "http://here"}, False),
])  # fmt: skip
def test_each_store_has_its_own_endpoint(uri, options, environment, plain, monkeypatch):
    for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given = library_options(options, uri)
    assert (given.get("allow_http") == "true") == plain
    assert all(is_known(key, uri) for key in given.keys() - {"allow_http"})


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
