"""What is read of Lance without its library is what its library says."""

from __future__ import annotations

import lance
import pyarrow as pa
import pytest
from small import edit

from daedalus.base.errors import DaedalusError
from daedalus.inputs.lance.layout import layout_by_pylance
from daedalus.inputs.lance.manifest import column_types, table_layout

SCHEMA = pa.schema(
    [
        *((str(kind), kind) for kind in (pa.int8(), pa.int16(), pa.uint32(), pa.uint64(), pa.bool_(), pa.string())),
        ("a struct", pa.struct([("int64", pa.int64())])),
        ("a list", pa.list_(pa.int64())),
        ("a vector", pa.list_(pa.float32(), 4)),
        ("a name", pa.dictionary(pa.int32(), pa.string())),
        ("a time", pa.timestamp("us")),
    ]
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A Lance table with several versions: rows came and went, and columns were renamed and dropped."""
    import lancedb

    folder = tmp_path_factory.mktemp("lance")
    table = lancedb.connect(folder).create_table("t", schema=SCHEMA)
    table.add([{"int8": 1, "uint64": 3}, {"int8": 2}])
    table.delete("int8 = 1")
    table.optimize()
    table.drop_columns(["string"])
    table.alter_columns({"path": "int16", "rename": "renamed", "data_type": pa.int32()})
    return table, folder / "t.lance"


def test_the_manifest_of_each_version_names_its_integer_columns(table):
    opened, folder = table
    for version in range(1, opened.version + 1):
        opened.checkout(version)
        names = {f"{version}.manifest", f"{2**64 - 1 - version}.manifest"}
        (path,) = [path for path in (folder / "_versions").iterdir() if path.name in names]
        found = column_types(path.read_bytes())
        assert list(found) == opened.schema.names
        for field in opened.schema:
            assert (found[field.name] == str(field.type)) == (
                pa.types.is_integer(field.type) or pa.types.is_boolean(field.type) or field.type == pa.string()
            ), field


def test_the_layout_of_each_version_is_what_lance_says(table):
    opened, folder = table
    rows = pa.table({"n": range(40_000), "v": pa.array([[i, None] for i in range(40_000)], pa.list_(pa.float16()))})
    other = folder.parent / "other.lance"
    lance.write_dataset(rows, other, max_rows_per_file=25_000, enable_stable_row_ids=True).delete("n % 2 = 0")
    lance.dataset(other).add_columns({"m": "n * 2"})
    for table_folder, versions in ((folder, opened.version), (other, 3)):
        for version in range(1, versions + 1):
            names = {f"{version}.manifest", f"{2**64 - 1 - version}.manifest"}
            (path,) = [path for path in (table_folder / "_versions").iterdir() if path.name in names]
            found = table_layout(path.read_bytes())
            by_lance = layout_by_pylance(str(table_folder), version, {})
            assert by_lance.fragments == found.fragments
            for name, column in by_lance.columns.items():  # whose types have other names if they are no numbers
                assert (column.fields, column.items) == (found.columns[name].fields, found.columns[name].items)
    assert [len(fragment.files) for fragment in found.fragments] == [2, 2]
    assert found.columns["v"].items == "halffloat" and found.fragments[0].deletions.endswith(".bin")
    assert all((other / fragment.deletions).exists() for fragment in found.fragments)


def test_what_is_no_manifest_is_not_understood(table):
    whole = next((table[1] / "_versions").glob("*.manifest")).read_bytes()
    for at in range(len(whole)):
        assert column_types(whole[:at]) is None and table_layout(whole[:at]) is None
    for data in (b"", b"LANC", whole[:-4] + b"LANS", b"\xff" * 16 + whole[-16:], bytes(len(whole))):
        assert column_types(data) is None and table_layout(data) is None


def test_a_run_is_refused_without_its_id_column_and_lance_says_what_there_is(cold):
    edit(cold.runtime, embedding_coverage_filter__id_column="vector")
    with pytest.raises(DaedalusError, match="no such id column") as refused:
        cold.run()
    assert refused.value.exit_code == 2 and "fixed_size_list" in str(refused.value.found)
    assert not cold.output.exists()
