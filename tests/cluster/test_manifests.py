"""The manifests of docs/cluster.md: what Dask's operator takes, and workers that a run can use."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from small import PROJECT

jsonschema = pytest.importorskip("jsonschema")
RESOURCES = "operator/deployment/helm/dask-kubernetes-operator/crds"  # of dask-kubernetes, which is not imported
TEXT = (PROJECT / "docs/cluster.md").read_text()
MANIFESTS = {
    manifest["kind"]: manifest
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    for manifest in yaml.safe_load_all(block)
}


def strict(schema):
    """The schema with unknown fields as errors; a server of Kubernetes drops them without a word."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    closed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) and not is_open else {}
    return {name: strict(value) for name, value in schema.items()} | closed


@cache
def schema_of(kind: str):
    """What the operator's definition of a kind says of it."""
    operator = find_spec("dask_kubernetes")
    if operator is None or not operator.submodule_search_locations:
        pytest.skip("dask-kubernetes is not installed")
    path = Path(operator.submodule_search_locations[0]) / RESOURCES / f"{kind.lower()}.yaml"
    [definition] = yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    [version] = definition["spec"]["versions"]
    return strict(version["schema"]["openAPIV3Schema"])


def problems(manifest) -> list[str]:
    head = {"apiVersion", "kind", "metadata"}
    body = {name: value for name, value in manifest.items() if name not in head}
    return [error.message for error in jsonschema.Draft202012Validator(schema_of(manifest["kind"])).iter_errors(body)]


@pytest.mark.parametrize("kind", ["DaskCluster", "DaskAutoscaler"])
def test_the_operator_takes_the_manifests(kind):
    assert MANIFESTS[kind]["apiVersion"] == "kubernetes.dask.org/v1" and problems(MANIFESTS[kind]) == []


def test_what_the_operator_does_not_take_is_found():
    cluster = json.loads(json.dumps(MANIFESTS["DaskCluster"]))
    cluster["spec"]["worker"]["replicas"] = "none"
    cluster["spec"]["worker"]["spec"]["containers"][0]["argz"] = []
    del cluster["spec"]["scheduler"]["service"]
    assert len(problems(cluster)) == 3


def test_the_parts_name_each_other():
    cluster, autoscaler, job = (MANIFESTS[kind] for kind in ("DaskCluster", "DaskAutoscaler", "CronJob"))
    name = cluster["metadata"]["name"]
    assert autoscaler["spec"]["cluster"] == name
    [coordinator] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert coordinator["args"][-1] == f"tcp://{name}-scheduler:8786"  # as the operator names the service
    scheduler, worker = (cluster["spec"][part]["spec"]["containers"][0] for part in ("scheduler", "worker"))
    assert scheduler["image"] == worker["image"] == coordinator["image"]
    routes = json.loads(scheduler["env"][0]["value"])
    assert "distributed.http.scheduler.api" in routes


def test_workers_have_the_memory_that_they_declare():
    worker = MANIFESTS["DaskCluster"]["spec"]["worker"]["spec"]["containers"][0]
    [declared] = re.findall(r"MEMORY=(\d+)", " ".join(worker["args"]))
    assert set(re.findall(r"MEMORY=(\d+)", TEXT)) == {declared}
    assert int(worker["resources"]["limits"]["memory"].removesuffix("Mi")) << 20 > int(declared)
