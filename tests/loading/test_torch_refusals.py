"""`daedalus.torch`: what cannot be had is refused at once, by one message that says where; as is a torn epoch."""

from __future__ import annotations

import errno
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parts import FIRST, dirty_days, write_days

from daedalus.base.installed import MissingExtra


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("daedalus.torch")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match=r"PyTorch is not installed.*pip install 'daedalus-skeleton\[torch\]'"):
        import daedalus.torch  # noqa: F401


def test_nothing_else_imports_pytorch():
    script = "import sys, daedalus.cli.main, daedalus.loading.load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch._utils import ExceptionWrapper  # noqa: E402

from daedalus.base.errors import DaedalusError  # noqa: E402
from daedalus.torch import TrainingDataset  # noqa: E402
from daedalus.torch import parts as torch_parts  # noqa: E402

REFUSED = [
    ({"range": "2027-01"}, "no partition in the range"),
    ({"range": "x"}, "TrainingDataset(range)"),
    ({"stage": "enriched"}, "did you mean 'enrich'"),
    ({"columns": ["idz"]}, "TrainingDataset(columns); found: idz"),
    ({"columns": "ids"}, "no list of columns"),
    ({"columns": []}, "no list of columns"),
    ({"columns": ["row", "event"]}, "found: event, of type string"),
    ({"pad": {"idz": 3}}, "TrainingDataset(pad); found: idz"),
    ({"pad": {"score": 3}}, "a column to pad that is no list; where: TrainingDataset(pad), score; found: double"),
    ({"pad": {"ids": 0}}, "TrainingDataset(pad), ids; found: 0"),
    ({"pad": {"ids": "3"}}, "found: '3'"),
    ({"pad": {"ids": True}}, "found: True"),
    ({"pad": {"ids": 3}, "columns": ["row"]}, "a column to pad that is not read"),
    ({"labels": {}}, "no labels; where: TrainingDataset(labels)"),
    ({"labels": {"like": None}}, "a label that is not a number; where: TrainingDataset(labels)['like']"),
    ({"labels": {"lik": 1.0}}, "no row is left; where: TrainingDataset; found: none with labels"),
    ({"labels": {"like": 1}, "event": "action"}, "found: action"),
    ({"labels": {"like": 1}, "event": "user_id"}, "labels of a column that is not text"),
    ({"group_by": "query"}, "TrainingDataset(group_by); found: query"),
    ({"group_by": "event"}, "found: event, of type string; expected: a column of whole numbers"),
    ({"group_by": "qid", "drop_last": True}, "drop_last with groups"),
    ({"batch_size": 0}, "TrainingDataset(batch_size); found: 0"),
    ({"batch_size": 1.5}, "found: 1.5"),
    ({"buffer": -1}, "TrainingDataset(buffer)"),
    ({"streams": 0}, "TrainingDataset(streams)"),
    ({"rank": 0}, "rank and world_size go together"),
    ({"rank": 2, "world_size": 2}, "found: 2; expected: 0 to 1"),
    ({"even": "cut"}, "TrainingDataset(even)"),
    ({"object_store": {"regoin": "x"}}, "TrainingDataset(object_store)"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_wrong_arguments_are_refused_when_it_is_made(tmp_path, arguments, message):
    dirty_days(tmp_path)
    with pytest.raises(DaedalusError) as refused:
        TrainingDataset(**{"output_root": tmp_path, **arguments})
    assert message in str(refused.value) and refused.value.exit_code == 2


def test_wrong_places_to_go_on_from_are_refused(tmp_path):
    dirty_days(tmp_path)
    data = TrainingDataset(output_root=tmp_path)
    for wrong in (lambda: data.set_epoch(-1), lambda: data.resume(epoch=0, batches=-1), lambda: data.set_epoch(0.5)):
        with pytest.raises(DaedalusError, match="expected: a whole number from 0 on"):
            wrong()


def test_two_tensors_never_share_a_name(tmp_path):
    (tmp_path / f"dt={FIRST}").mkdir()
    table = pa.table({"ids": [[1]], "ids__offsets": [1], "label": [1], "event": ["like"]})
    pq.write_table(table, tmp_path / f"dt={FIRST}/part-0-0.parquet")
    with pytest.raises(DaedalusError, match=r"two tensors of one name.*found: ids__offsets"):
        TrainingDataset(output_root=tmp_path, columns=["ids", "ids__offsets"])
    with pytest.raises(DaedalusError, match=r"two tensors of one name.*found: label"):
        TrainingDataset(output_root=tmp_path, columns=["label"])
    assert TrainingDataset(output_root=tmp_path, columns=["ids__offsets"], batch_size=1).rows == 1


def test_lists_that_are_no_vectors_are_named(tmp_path):
    write_days(tmp_path, [[{"row": 0, "vector": None}, {"row": 1, "vector": [1.0]}, {"row": 2, "vector": [1.0, 2.0]}]])
    with pytest.raises(
        DaedalusError, match=r"unequal length.*vector; found: 2 numbers; expected: 1.*pad=\{'vector': n\}"
    ):
        list(TrainingDataset(output_root=tmp_path))
    batch = next(iter(TrainingDataset(output_root=tmp_path, pad={"vector": None})))
    assert batch["vector"].tolist() == [1.0, 1.0, 2.0] and batch["vector__offsets"].tolist() == [0, 0, 1, 3]


def test_a_column_of_vectors_may_have_none(tmp_path):
    write_days(tmp_path, [[{"row": 0}, {"row": 1}]])
    batch = next(iter(TrainingDataset(output_root=tmp_path, columns=["vector"])))
    assert batch["vector"].shape == (2, 0) and batch["vector__valid"].tolist() == [False, False]


def test_another_epoch_reads_what_lies_there_though_parts_are_kept_open(tmp_path):
    write_days(tmp_path, [[{"row": 0}, {"row": 1}], [{"row": 2}]])
    data = TrainingDataset(output_root=tmp_path, columns=["row"])
    assert [batch["row"].tolist() for batch in data] == [[0, 1, 2]]
    changed = tmp_path / "new.parquet"
    part = tmp_path / "dt=2026-02-01/part-0-0.parquet"
    pq.write_table(pq.read_table(part).slice(0, 1).take([0, 0]), changed)
    changed.replace(part)
    assert [batch["row"].tolist() for batch in data] == [[0, 0, 2]]
    with_worker = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    assert [batch["row"].tolist() for _ in range(2) for batch in with_worker] == [[0, 0, 2]] * 2


def test_a_partition_that_was_replaced_ends_the_epoch(tmp_path):
    dirty_days(tmp_path)
    data = TrainingDataset(output_root=tmp_path, columns=["row"], batch_size=8, buffer=8)
    file = tmp_path / "dt=2026-02-02/part-0-0.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(DaedalusError, match=r"a partition has been replaced.*found: 59 rows") as raised:
        list(data)
    with pytest.raises(DaedalusError, match="found: 59 rows"):  # as a DataLoader raises what its worker raised
        ExceptionWrapper(raised._excinfo, where="in a worker").reraise()
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(DaedalusError, match=r"a part file cannot be read.*dt=2026-02-02/part-0-0.parquet"):
        list(data)
    ends = (whole[:-1], whole[:-8] + b"\xff\xff\xff\xffPAR1", whole[:-8] + b"\x04\0\0\0PAR1", whole[:-4] + b"PAR2")
    for damaged in (b"PAR1 damaged", b"PAR1", b"", *ends):
        file.write_bytes(damaged)
        with pytest.raises(DaedalusError, match=r"a part file cannot be read.*dt=2026-02-02/part-0-0.parquet"):
            list(data)


def test_a_part_file_that_the_system_cannot_read_is_named(tmp_path, monkeypatch):
    def read(source, chunks):
        raise OSError(errno.EIO, "Input/output error")

    dirty_days(tmp_path)
    data = TrainingDataset(output_root=tmp_path, columns=["ids"])
    monkeypatch.setattr(torch_parts, "_stored", read)
    with pytest.raises(DaedalusError, match=r"a part file cannot be read.*part-0-0.parquet.*Input/output error"):
        list(data)
