"""The executor's ClusterRole: as the code needs it, and nothing beside."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s.reference import ROLE, files
from tests.unit.executor.fake_kubernetes import TOKEN, VERBS, Cluster, serving
from tests.unit.executor.test_kubernetes_actuator import Bench

from mendbus_executor.kubernetes_api import RULES

COMPONENT = ROLE.parent
RESOURCES = (
    *("apps/deployments", "apps/statefulsets", "apps/daemonsets", "apps/replicasets", "apps/pods", "/deployments"),
    *("/pods", "/pods/eviction", "/pods/exec", "/secrets", "/configmaps", "/serviceaccounts"),
)


def written() -> dict[str, Any]:
    """The role as it stands in the file."""
    found: dict[str, Any] = yaml.safe_load(ROLE.read_text(encoding="utf-8"))
    return found


def test_what_is_written_is_current() -> None:
    """Role, policies, scaling and rules are what `k8s/reference.py` writes; the role's rules are the code's."""
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, path
    assert written()["kind"] == "ClusterRole"
    assert tuple(written()["rules"]) == RULES


@pytest.mark.parametrize(("method", "resource"), list(itertools.product(VERBS, RESOURCES)))
def test_what_it_does_not_allow_is_refused(method: str, resource: str) -> None:
    """An API server under this role forbids each request that no rule names, and forbids no other."""
    group, _, what = resource.partition("/")
    kind, _, below = what.partition("/")
    rules = written()["rules"]
    allowed = any(
        group in rule["apiGroups"] and what in rule["resources"] and VERBS[method] in rule["verbs"] for rule in rules
    )
    path = f"/api{'s/apps' if group else ''}/v1/namespaces/shop/{kind}/web{'/' + below if below else ''}"
    status, _ = Cluster(rules=tuple(rules)).answer(method, path, f"Bearer {TOKEN}", {})
    assert (status != 403) == allowed


async def test_it_allows_all_that_recovery_does(tmp_path: Path) -> None:
    """Every strategy and its way back are carried out under the written role."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    cluster = Cluster(rules=tuple(written()["rules"]))
    for resource in ("deployments", "statefulsets", "daemonsets"):
        cluster.add(resource, "web", replicas=4, template={})
    cluster.add("pods", "web")
    with serving(cluster):
        for number, kind in enumerate(("deployment", "statefulset", "daemonset")):
            bench = Bench(cluster, token, workload=f"{kind}/{{id}}")
            for step, strategy in enumerate(("restart", "scale_down", "isolate", "failover")):
                fence = 10 * number + step + 1
                done = await bench.do(strategy, command_id=f"c{fence}", fence=fence)
                assert done.status == "accepted", done


def test_only_the_executor_gets_the_account() -> None:
    """The component gives account and token to the executor's pods, and opens the way to the API server to them."""
    component = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text(encoding="utf-8"))
    assert {*component["resources"]} == {path.name for path in COMPONENT.glob("*.yaml")} - {"kustomization.yaml"}
    assert [patch["target"] for patch in component["patches"]] == [{"kind": "Deployment", "name": "executor"}]
    policy = yaml.safe_load((COMPONENT / "network-policy.yaml").read_text(encoding="utf-8"))
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "executor"}
