"""A pool in a bucket: its fragments are fetched like other inputs, and only what is new."""

from __future__ import annotations

import lance
import pytest
from pool_bench import DAY, MEAN, NEXT, OF, Bench, Use, vectors_of

from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import library_options


@pytest.fixture
def bench(tmp_path, bucket, store_options):
    made = Bench(tmp_path, uri=f"{bucket}/db", options=store_options)
    made.uses = {DAY: Use([1, 2, 3], [[1]]), NEXT: Use([9], [[9]])}
    yield made
    made.close()


@pytest.mark.every_cloud
def test_each_fragment_is_fetched_once(bench, store_options):
    def write(rows, **options):
        return bench.write(rows, storage_options=library_options(store_options, bench.table), **options)

    write([(1, [1, 1]), (2, None), (9, [9, 9])])
    write([(2, [2, 2]), (3, [3, 3])], mode="append").delete("id = 3")
    bench.walk()
    assert bench.vectors(OF) == {1: [1, 1], 2: [2, 2], 3: None} and bench.vectors(MEAN, NEXT) == {9: [9, 9]}
    received = bench.files.traffic.received
    assert bench.ran() == {} and bench.files.traffic.received == received
    write([(1, [4, 4])], mode="append")
    bench.look_anew()
    assert bench.ran() == {"fragment": 1, "pool_vectors": 1, "pool_places": 1, "vectors": 2}
    assert bench.vectors(OF)[1] == [4, 4]


@pytest.mark.every_cloud
def test_files_outside_of_the_bucket_are_refused(bench, store_options):
    options = library_options(store_options, bench.table)
    other = bench.table.replace("t.lance", "other.lance")
    source = lance.write_dataset(vectors_of([(1, [1, 1])], bench.kind), other, storage_options=options)
    source.shallow_clone(bench.table, source.version, storage_options=options)
    with pytest.raises(DaedalusError, match="in other folders") as refused:
        bench.fragments()
    assert refused.value.exit_code == 2 and "/other.lance/data/" in str(refused.value.found)
