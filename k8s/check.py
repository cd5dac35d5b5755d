"""Renders every overlay and checks it: against the published schemas, and against what this project promises.

What the schemas of Kubernetes do not know (KEDA's and the Prometheus operator's kinds) has its fields compared with
those that these document; the admission policies decide their cases.

`pip install --require-hashes -r requirements/k8s.txt` brings what it needs; then `python k8s/check.py`.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))
from k8s import admission

HERE: Final = Path(__file__).parent
OVERLAYS: Final = tuple(sorted(path.name for path in (HERE / "overlays").iterdir()))
ACTING: Final = "mendbus-executor"

# Of kinds that Kubernetes does not bring: the fields of their spec, those without which it is nothing first.
FOREIGN: Final = {
    "ScaledObject": (
        {"scaleTargetRef", "triggers"},
        {"minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"},
    ),
    "PodMonitor": ({"selector", "podMetricsEndpoints"}, set[str]()),
    "PrometheusRule": ({"groups"}, set[str]()),
}

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    """Every manifest in a text."""
    return [document for document in yaml.safe_load_all(text) if document]


def workloads(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Deployments and StatefulSets by name."""
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] in ("Deployment", "StatefulSet")}


def unrestricted(workload: Manifest) -> Iterator[str]:
    """What keeps the pods of a workload from running under the restricted Pod Security Standard, or asks for more."""
    name, pod = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
    security = pod.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    for key, value in wanted.items():
        if security.get(key) != value:
            yield f"{name}: securityContext.{key} is not {value}"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{name}: {key}"
    # Service links become MENDBUS_ variables, and the settings refuse what they do not know.
    for key in ("automountServiceAccountToken", "enableServiceLinks"):
        # The one account that has a role, where the component kubernetes-actuator gives it to the executor.
        acts = (name, key, pod.get("serviceAccountName")) == ("executor", "automountServiceAccountToken", ACTING)
        if pod.get(key) is not False and not acts:
            yield f"{name}: {key} is not false"
    for volume in pod.get("volumes", ()):
        if "hostPath" in volume:
            yield f"{name}: volume {volume['name']} is a path of the node"
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield from _unrestricted_container(f"{name}/{container['name']}", container)


def _unrestricted_container(where: str, container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for key, value in wanted.items():
        if security.get(key) != value:
            yield f"{where}: securityContext.{key} is not {value}"
    resources = container.get("resources", {})
    if not ("memory" in resources.get("limits", {}) and {"cpu", "memory"} <= resources.get("requests", {}).keys()):
        yield f"{where}: no memory limit, or no requests"
    if ":latest" in container["image"]:
        yield f"{where}: image {container['image']} is not pinned"


def unselected(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Selectors that find no pod: of services, budgets and network policies."""
    labels = [w["spec"]["template"]["metadata"]["labels"] for w in workloads(manifests).values()]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        selectors = {
            "Service": lambda spec=spec: spec["selector"],
            "PodDisruptionBudget": lambda spec=spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec=spec: spec["podSelector"]["matchLabels"],
        }
        if manifest["kind"] in selectors:
            wanted = selectors[manifest["kind"]]().items()
            if not any(wanted <= found.items() for found in labels):
                yield f"{manifest['kind']} {manifest['metadata']['name']} selects no pod"


def misshapen(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What is wrong with manifests of kinds that Kubernetes does not bring."""
    for manifest in manifests:
        if manifest["kind"] in FOREIGN:
            needed, known = FOREIGN[manifest["kind"]]
            fields = manifest["spec"].keys()
            if needed - fields or fields - needed - known:
                yield f"{manifest['kind']} {manifest['metadata']['name']} has the fields {sorted(fields)}"


def untargeted(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Scaling of what is not there, or of what has a number of replicas of its own."""
    found = workloads(manifests)
    for manifest in manifests:
        if manifest["kind"] == "ScaledObject":
            target = manifest["spec"]["scaleTargetRef"]["name"]
            if target not in found or "replicas" in found[target]["spec"]:
                yield f"ScaledObject {manifest['metadata']['name']}: {target} is not there, or sets its own replicas"


def unknown_to_the_server(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What looks for streams, or reads and orders, as nobody where the server has users: tls did not come last."""
    users = any("MENDBUS_NATS_CREDENTIALS" in m.get("data", {}) for m in manifests if m["kind"] == "ConfigMap")
    for manifest in manifests:
        if manifest["kind"] == "ScaledObject":
            accounts = {trigger["metadata"]["account"] for trigger in manifest["spec"]["triggers"]}
            if accounts != {"MENDBUS" if users else "$G"}:
                yield f"ScaledObject {manifest['metadata']['name']} looks into the accounts {sorted(accounts)}"
    for name, workload in workloads(manifests).items():
        (container, *_) = workload["spec"]["template"]["spec"]["containers"]
        given = {variable["name"] for variable in container.get("env", ())}
        if users and "MENDBUS_DASHBOARD_PORT" in given and "MENDBUS_DASHBOARD_CREDENTIALS" not in given:
            yield f"{name}: its dashboard is no user of its own"


def problems(manifests: Sequence[Manifest]) -> list[str]:
    """All that is wrong with the manifests of one overlay."""
    found = [problem for workload in workloads(manifests).values() for problem in unrestricted(workload)]
    found += [*unselected(manifests), *misshapen(manifests), *untargeted(manifests)]
    return [*found, *unknown_to_the_server(manifests)]


def main() -> int:
    """Checks every overlay, says what is wrong, and returns the exit status."""
    tools = Path(sys.executable).parent
    wrong = 0
    for overlay in OVERLAYS:
        rendered = subprocess.run(
            [tools / "kubectl", "kustomize", HERE / "overlays" / overlay], check=True, capture_output=True, text=True
        ).stdout
        schema = subprocess.run(
            [tools / "kubernetes-validate", "--strict", "--quiet", "-"],
            input=yaml.safe_dump_all([one for one in documents(rendered) if one["kind"] not in FOREIGN]),
            capture_output=True,
            text=True,
            check=False,
        )
        found = problems(documents(rendered))
        if schema.returncode:
            found += (schema.stdout + schema.stderr).splitlines()
        if any(one["kind"] == "ValidatingAdmissionPolicy" for one in documents(rendered)):
            found += admission.failures(documents(rendered))
        for problem in found:
            sys.stderr.write(f"{overlay}: {problem}\n")
        sys.stdout.write(f"{overlay}: {len(documents(rendered))} manifests, {len(found)} problems\n")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
