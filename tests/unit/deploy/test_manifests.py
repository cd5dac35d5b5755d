"""k8s/: the manifests say of every service what the code says, and keep its pods restricted."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s.check import problems, unrestricted, workloads

from mendbus import settings
from mendbus.contracts.vocabulary import SERVICES

K8S = Path(__file__).parents[3] / "k8s"


def read(folder: str) -> list[Any]:
    """Every manifest of a folder, as written."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((K8S / folder).glob("*.yaml")))
    found = [document for text in texts for document in yaml.safe_load_all(text)]
    return [document for document in found if document["kind"] not in ("Kustomization", "Component")]


BASE = read("base")
# The label that the base's kustomization adds to every template.
for workload in workloads(BASE).values():
    workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "mendbus"
KUSTOMIZATION = yaml.safe_load((K8S / "base/kustomization.yaml").read_text(encoding="utf-8"))


def test_every_service_is_there() -> None:
    """The base holds one Deployment and one disruption budget for each service, in a file of its name."""
    assert set(workloads(BASE)) == set(SERVICES)
    assert {m["metadata"]["name"] for m in BASE if m["kind"] == "PodDisruptionBudget"} == set(SERVICES)
    assert {f"{service}.yaml" for service in SERVICES} <= set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize("folder", ["base", "components/nats", "components/jaeger"])
def test_pods_are_restricted(folder: str) -> None:
    """Every container is restricted, and every service, budget and network policy selects a pod."""
    assert problems(BASE if folder == "base" else read(folder)) == []


@pytest.mark.parametrize("service", SERVICES)
def test_deployment_fits_its_service(service: str) -> None:
    """Name, argument, port and grace fit the code; only readiness depends on NATS; memory is as measured."""
    deployment = workloads(BASE)[service]
    assert deployment["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": service}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.Settings().drain_seconds + 10
    (container,) = pod["containers"]
    assert container["image"] == f"mendbus-{service}"
    assert container["args"] == [service]
    assert container["ports"] == [{"name": "health", "containerPort": 8080}]
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert container["resources"]["requests"]["memory"] == "64Mi"
    assert container["resources"]["limits"] == {"memory": "128Mi"}


@pytest.mark.parametrize("where", ["base", "overlays/dev", "overlays/prod"])
def test_settings_are_known(where: str) -> None:
    """Every variable of the generated ConfigMap is a setting."""
    kustomization = yaml.safe_load((K8S / where / "kustomization.yaml").read_text(encoding="utf-8"))
    (generated,) = (g for g in kustomization["configMapGenerator"] if g["name"] == "mendbus")
    settings.from_environment(dict(literal.split("=", 1) for literal in generated["literals"]))


def test_network_is_closed() -> None:
    """All traffic is denied but DNS, NATS and its monitoring, and OTLP."""
    policies = {m["metadata"]["name"]: m["spec"] for m in BASE if m["kind"] == "NetworkPolicy"}
    deny = policies.pop("mendbus-default-deny")
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in deny
    assert "egress" not in deny
    assert not any("ingress" in policy for policy in policies.values())
    ports = {port["port"] for policy in policies.values() for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 4222, 8222, 4318}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"), "readOnlyRootFilesystem"),
        (lambda pod: pod["containers"][0].update(resources={}), "no memory limit"),
        (lambda pod: pod["containers"][0].update(image="mendbus-executor:latest"), "not pinned"),
        (lambda pod: pod["securityContext"].update(runAsUser=0), "runAsUser"),
        (lambda pod: pod.pop("enableServiceLinks"), "enableServiceLinks"),
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
    ],
)
def test_a_loosened_pod_is_found(change: Any, problem: str) -> None:
    """The check that all pods are restricted notices each way of loosening one."""
    deployment = workloads(read("base"))["executor"]
    change(deployment["spec"]["template"]["spec"])
    (found,) = unrestricted(deployment)
    assert problem in found


def test_a_selector_without_pods_is_found() -> None:
    """A budget whose selector fits no pod is noticed."""
    manifests = read("base")
    (budget,) = (m for m in manifests if m["kind"] == "PodDisruptionBudget" and m["metadata"]["name"] == "executor")
    budget["spec"]["selector"]["matchLabels"] = {"app.kubernetes.io/name": "nobody"}
    assert "PodDisruptionBudget executor selects no pod" in problems(manifests)
