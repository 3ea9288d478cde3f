"""The published rows as what LightGBM and XGBoost train rankers on: features, labels, and rows by query group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daedalus.base.installed import check_extra
from daedalus.loading.published import find_published
from daedalus.loading.query_groups import Wanted, query_groups

if TYPE_CHECKING:
    import lightgbm
    import xgboost


def lightgbm_dataset(
    range: str | None = None,
    *,
    features: Sequence[str],
    labels: Mapping[str, float],
    categorical: Sequence[str] = (),
    split: str | None = None,
    snapshot: str | None = None,
    stage: Literal["skeleton", "enrich"] = "skeleton",
    output_root: str | Path | None = None,
    config: str | Path = "config",
    object_store: Mapping[str, object] | None = None,
    event: str = "event",
) -> lightgbm.Dataset:
    """A `lightgbm.Dataset` with query groups, for `objective: lambdarank` or `rank_xendcg`.

    A query group is a session: the rows with one `qid`, in order of qid and then as they are in the output. Rows
    without a qid, and those whose `event` is not in `labels`, are left out. `labels` maps events to gains, such as
    {"reco_artwork_view": 0, "click": 1, "like": 2}. `features` become FLOAT32, NULL as NaN: numbers, booleans, and
    columns of vectors, which become a feature for each component, `image_embedding_0` and so on. `categorical` are
    those of them whose numbers are codes, 0 and above, and stand for nothing else. `event` is the name of the event's
    column in the output. The other arguments are those of `daedalus.load`. All rows are in memory, as LightGBM needs
    them. Raises DaedalusError for a feature that is text, a time or a list of any length, and if no row is left.
    """
    check_extra("lightgbm", "lightgbm", where="lightgbm_dataset", what="LightGBM")
    import lightgbm

    who = "lightgbm_dataset"
    found = find_published(range, stage=stage, output_root=output_root, config=config, object_store=object_store,
                           split=split, snapshot=snapshot, who=who)  # fmt: skip
    rows = query_groups(found, Wanted(who, features, categorical, labels, event))
    return lightgbm.Dataset(rows.features, rows.labels, group=rows.sizes, feature_name=list(rows.names),
                            categorical_feature=list(categorical))  # fmt: skip


def xgboost_dmatrix(
    range: str | None = None,
    *,
    features: Sequence[str],
    labels: Mapping[str, float],
    categorical: Sequence[str] = (),
    split: str | None = None,
    snapshot: str | None = None,
    stage: Literal["skeleton", "enrich"] = "skeleton",
    output_root: str | Path | None = None,
    config: str | Path = "config",
    object_store: Mapping[str, object] | None = None,
    event: str = "event",
) -> xgboost.DMatrix:
    """An `xgboost.DMatrix` with query groups, for `objective: rank:ndcg` and its like.

    The arguments and the rows are those of `lightgbm_dataset`. A DMatrix, not a QuantileDMatrix: it serves training,
    evaluation and prediction alike, and does not depend on another. Raises DaedalusError as `lightgbm_dataset` does.
    """
    check_extra("xgboost", "xgboost", where="xgboost_dmatrix", what="XGBoost")
    import xgboost

    who = "xgboost_dmatrix"
    found = find_published(range, stage=stage, output_root=output_root, config=config, object_store=object_store,
                           split=split, snapshot=snapshot, who=who)  # fmt: skip
    rows = query_groups(found, Wanted(who, features, categorical, labels, event))
    kinds = ["c" if name in categorical else "q" for name in rows.names]
    return xgboost.DMatrix(rows.features, rows.labels, group=rows.sizes, feature_names=list(rows.names),
                           feature_types=kinds, enable_categorical=bool(categorical))  # fmt: skip
