"""k8s/: the manifests say of every service what the code says, and keep its pods restricted."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s.check import problems, unknown_to_the_server, unrestricted, workloads

from mendbus import settings
from mendbus.alert_policy import AlertPolicy, load_alert_policy, split
from mendbus.contracts.vocabulary import SERVICES
from mendbus.security import exporting
from mendbus.security.installation import Installation
from mendbus_health_monitor.dashboard.guard import is_loopback
from mendbus_strategy_selector.policy import load_policy

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


@pytest.mark.parametrize("service", ["strategy-selector", "health-monitor"])
def test_who_reads_the_policy_gets_it(service: str) -> None:
    """The generated ConfigMap is mounted where MENDBUS_POLICY_FILE points, and both halves of it are read."""
    (generated,) = (g for g in KUSTOMIZATION["configMapGenerator"] if g["name"] == "mendbus-policy")
    pod = workloads(BASE)[service]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "policy")
    (volume,) = (v for v in pod["volumes"] if v["name"] == "policy")
    assert volume["configMap"] == {"name": "mendbus-policy"}
    (file,) = generated["files"]
    assert container["env"] == [{"name": "MENDBUS_POLICY_FILE", "value": f"{mount['mountPath']}/{file}"}]
    assert load_alert_policy(K8S / "base" / file) == AlertPolicy()
    assert load_policy(K8S / "base" / file) == load_policy(None)


def test_the_webhooks_of_the_example_are_what_the_secret_gives() -> None:
    """Without its comment signs the example is a policy, and the health-monitor alone gets the Secret that it names."""
    text = (K8S / "base/policy.toml").read_text(encoding="utf-8")
    example = text[text.index("# [[webhook]]") :].replace("# ", "", 1).replace("\n# ", "\n")
    (webhook,) = split(tomllib.loads(example), "policy.toml")[0].webhooks
    assert (webhook.url_env, webhook.secret_env) == ("ONCALL_URL", "ONCALL_SECRET")
    secret = {"secretRef": {"name": "mendbus-webhooks", "optional": True}}
    pods = {name: workload["spec"]["template"]["spec"] for name, workload in workloads(BASE).items()}
    assert [name for name, pod in pods.items() if secret in pod["containers"][0]["envFrom"]] == ["health-monitor"]


@pytest.mark.parametrize("where", ["base", "overlays/dev", "overlays/prod"])
def test_settings_are_known(where: str) -> None:
    """Every variable of the generated ConfigMap is a setting."""
    kustomization = yaml.safe_load((K8S / where / "kustomization.yaml").read_text(encoding="utf-8"))
    (generated,) = (g for g in kustomization["configMapGenerator"] if g["name"] == "mendbus")
    settings.from_environment(dict(literal.split("=", 1) for literal in generated["literals"]))


def test_network_is_closed() -> None:
    """All traffic is denied but DNS, NATS and its monitoring, OTLP, and webhooks of the health-monitor over HTTPS."""
    policies = {m["metadata"]["name"]: m["spec"] for m in BASE if m["kind"] == "NetworkPolicy"}
    deny = policies.pop("mendbus-default-deny")
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in deny
    assert "egress" not in deny
    assert not any("ingress" in policy for policy in policies.values())
    webhooks = policies.pop("mendbus-to-webhooks")
    assert webhooks["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "health-monitor"}}
    (way,) = webhooks["egress"]
    assert way["ports"] == [{"protocol": "TCP", "port": 443}]
    assert "169.254.0.0/16" in way["to"][0]["ipBlock"]["except"]
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


def test_the_component_tls_gives_each_what_the_export_writes(tmp_path: Path) -> None:
    """Every service mounts its own credentials alone, where the settings look for them, and no Secret is a variable."""
    made = Installation.create(tmp_path, settings.Settings().subjects)
    written = {one["metadata"]["name"]: one["data"] for one in exporting.kubernetes(made)["items"]}
    component = yaml.safe_load((K8S / "components/tls/kustomization.yaml").read_text(encoding="utf-8"))
    read = settings.from_environment(dict(one.split("=", 1) for one in component["configMapGenerator"][0]["literals"]))
    patches = {
        one["target"].get("name", one["target"].get("labelSelector")): yaml.safe_load(one["patch"])
        for one in component["patches"]
        if "patch" in one
    }
    _ = patches.pop("mendbus.dev/dashboard=served")
    assert set(patches) == {*SERVICES, "nats"}
    for service in SERVICES:
        mount, volume = (change["value"] for change in patches[service])
        secret, trust = volume["projected"]["sources"]
        assert mount == {"name": volume["name"], "mountPath": "/etc/mendbus-access", "readOnly": True}
        assert secret["secret"]["name"] == f"mendbus-service.{service}"
        files = {
            f"/etc/mendbus-access/{name}"
            for name in (*written[f"mendbus-service.{service}"], *written["mendbus-trust"])
        }
        assert trust["configMap"]["name"] == "mendbus-trust"
        assert files == {str(read.nats_credentials), str(read.nats_ca), str(read.trusted_keys)}
    argument, mount, volume = (change["value"] for change in patches["nats"])
    assert argument.removeprefix(f"{mount['mountPath']}/") in written[volume["secret"]["secretName"]]
    variables = {
        source["secretRef"]["name"]
        for workload in workloads(BASE).values()
        for source in workload["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        if "secretRef" in source
    }
    assert not variables & set(written)


def test_the_dashboard_is_for_who_may_forward_ports(tmp_path: Path) -> None:
    """It is on the pod's loopback, with a token that may be missing, and where there are users as one of its own."""
    component = yaml.safe_load((K8S / "components/dashboard/kustomization.yaml").read_text(encoding="utf-8"))
    (patch,) = component["patches"]
    label, port, token = yaml.safe_load(patch["patch"])
    tls = yaml.safe_load((K8S / "components/tls/kustomization.yaml").read_text(encoding="utf-8"))
    (secured,) = (one for one in tls["patches"] if "labelSelector" in one["target"])
    assert (
        f"{label['path'].rsplit('/', 1)[1].replace('~1', '/')}={label['value']}" == secured["target"]["labelSelector"]
    )
    credentials, mount, volume = (change["value"] for change in yaml.safe_load(secured["patch"]))
    given = {one["name"]: one["value"] for one in (port["value"], credentials)}
    read = settings.from_environment(given | {token["value"]["name"]: "sixteen-characters-long"})
    assert is_loopback(read.dashboard_host)
    assert read.dashboard_port > 0
    assert token["value"]["valueFrom"]["secretKeyRef"]["optional"] is True
    made = Installation.create(tmp_path, settings.Settings().subjects)
    written = {one["metadata"]["name"]: one["data"] for one in exporting.kubernetes(made)["items"]}
    assert mount["name"] == volume["name"]
    files = [f"{mount['mountPath']}/{name}" for name in written[volume["secret"]["secretName"]]]
    assert files == [str(read.dashboard_credentials)]


@pytest.mark.parametrize("users", [True, False])
def test_what_does_not_know_of_users_is_found(users: bool) -> None:
    """Scaling in the account of the others, and a dashboard that is nobody of its own, are noticed."""
    settled = {"MENDBUS_NATS_CREDENTIALS": "/etc/mendbus-access/credentials.nk"} if users else {}
    manifests = [*read("base"), {"kind": "ConfigMap", "metadata": {"name": "mendbus"}, "data": settled}]
    (scaled, *_) = (one for one in read("components/keda") if one["kind"] == "ScaledObject")
    monitor = workloads(manifests)["health-monitor"]["spec"]["template"]["spec"]["containers"][0]
    monitor["env"].append({"name": "MENDBUS_DASHBOARD_PORT", "value": "7701"})
    found = list(unknown_to_the_server([*manifests, scaled]))
    assert found == (
        [
            "ScaledObject strategy-selector looks into the accounts ['$G']",
            "health-monitor: its dashboard is no user of its own",
        ]
        if users
        else []
    )


def test_the_cluster_is_of_three_that_know_one_another() -> None:
    """Three servers, each under its own name, sync every write, are spread, and are disrupted one at a time."""
    text = (K8S / "components/nats-cluster/nats-server.conf").read_text(encoding="utf-8")
    component = yaml.safe_load((K8S / "components/nats-cluster/kustomization.yaml").read_text(encoding="utf-8"))
    changes = {one["path"]: one["value"] for one in yaml.safe_load(component["patches"][0]["patch"])}
    (service,) = (m for m in read("components/nats") if m["kind"] == "Service")
    budget, ports = read("components/nats-cluster")
    named = [f"nats://nats-{number}.{service['metadata']['name']}:6222" for number in range(changes["/spec/replicas"])]
    assert len(named) == 3
    assert all(f'"{address}"' in text for address in named)
    assert "server_name: $SERVER_NAME" in text
    assert changes["/spec/template/spec/containers/0/env/-"]["name"] == "SERVER_NAME"
    assert "sync_interval: always" in text
    assert changes["/spec/template/spec/topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert budget["spec"]["maxUnavailable"] == 1
    assert {port["port"] for rule in ports["spec"]["ingress"] for port in rule["ports"]} == {6222}
