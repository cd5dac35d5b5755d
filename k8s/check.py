"""Renders both overlays and checks them: against the published schemas, and against what this project promises.

`pip install --require-hashes -r requirements/k8s.txt` brings what it needs; then `python k8s/check.py`.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
OVERLAYS: Final = ("dev", "prod")
ACTING: Final = "mendbus-executor"

Manifest = Mapping[str, Any]


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


def problems(manifests: Sequence[Manifest]) -> list[str]:
    """All that is wrong with the manifests of one overlay."""
    found = [problem for workload in workloads(manifests).values() for problem in unrestricted(workload)]
    return found + list(unselected(manifests))


def main() -> int:
    """Checks both overlays, says what is wrong, and returns the exit status."""
    tools = Path(sys.executable).parent
    wrong = 0
    for overlay in OVERLAYS:
        rendered = subprocess.run(
            [tools / "kubectl", "kustomize", HERE / "overlays" / overlay], check=True, capture_output=True, text=True
        ).stdout
        schema = subprocess.run(
            [tools / "kubernetes-validate", "--strict", "--quiet", "-"],
            input=rendered,
            capture_output=True,
            text=True,
            check=False,
        )
        found = problems(documents(rendered))
        if schema.returncode:
            found += (schema.stdout + schema.stderr).splitlines()
        for problem in found:
            sys.stderr.write(f"{overlay}: {problem}\n")
        sys.stdout.write(f"{overlay}: {len(documents(rendered))} manifests, {len(found)} problems\n")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
