"""docker-compose.yml: every service, hardened, started when what it needs is there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mendbus import settings
from mendbus.contracts.vocabulary import SERVICES
from mendbus.http import Unfit
from mendbus.security import exporting
from mendbus.security.installation import Installation
from mendbus.server import MAX_PAYLOAD
from mendbus.streams import streams
from mendbus_health_monitor.dashboard.guard import Guard

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, Any] = COMPOSE["services"]
DEFAULT = re.compile(r"\$\{\w+:-(.*?)\}")
NATS_CONF = (ROOT / "k8s/components/nats/nats-server.conf").read_text(encoding="utf-8")


def test_every_service_is_there() -> None:
    """The five services are built from the one Dockerfile and need no profile to be started."""
    for service in SERVICES:
        assert CONTAINERS[service]["build"]["args"] == {"SERVICE": service}
        assert "profiles" not in CONTAINERS[service]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_hardened(name: str) -> None:
    """No container writes to its image, holds a capability or may gain one, or is reached from another machine."""
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["tmpfs"]
    assert not container.get("privileged")
    assert all(port.startswith("127.0.0.1:") for port in container.get("ports", ()))
    assert "build" in container or re.search(r":v?\d+\.\d+\.\d+", container["image"])


@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_known(service: str) -> None:
    """A service accepts the environment it is given, waits for NATS, and has longer to stop than it needs."""
    given = {name: DEFAULT.sub(r"\1", value) for name, value in CONTAINERS[service]["environment"].items()}
    read = settings.from_environment(given)
    assert read.nats_url == "nats://nats:4222"
    assert read.monitor_url == "http://nats:8222"
    assert read.otlp_endpoint
    assert CONTAINERS[service]["depends_on"]["nats"] == {"condition": "service_healthy"}
    assert "jaeger" not in CONTAINERS[service]["depends_on"]
    assert int(CONTAINERS[service]["stop_grace_period"].removesuffix("s")) >= read.drain_seconds + 10


def test_nobody_waits_for_who_waits_for_him() -> None:
    """Where users have rights only the strategy-selector creates streams, and the others are ready when they are there.

    So it may wait until they have been started, not until they are ready; agents wait for everybody.
    """
    for service in SERVICES:
        waits = {
            name: found["condition"] for name, found in CONTAINERS[service]["depends_on"].items() if name != "nats"
        }
        others = [name for name in SERVICES if name != service] if service == "strategy-selector" else []
        assert waits == dict.fromkeys(others, "service_started")
    for agent in ("agent-build", "agent-runtime"):
        assert CONTAINERS[agent]["depends_on"] == {name: {"condition": "service_healthy"} for name in SERVICES}


def test_who_reads_the_policy_gets_it() -> None:
    """One file for those who decide and those who alert is where their setting points; the latter have webhooks."""
    readers = {name for name in SERVICES if "MENDBUS_POLICY_FILE" in CONTAINERS[name]["environment"]}
    assert readers == {"strategy-selector", "health-monitor"}
    for name in readers:
        (volume,) = CONTAINERS[name]["volumes"]
        assert volume["read_only"] is True
        assert volume["target"] == CONTAINERS[name]["environment"]["MENDBUS_POLICY_FILE"]
        (default,) = re.findall(r"^\$\{POLICY_FILE:-(.+)\}$", volume["source"])
        assert (ROOT / default).is_file()
    assert {"ONCALL_URL", "ONCALL_SECRET"} <= CONTAINERS["health-monitor"]["environment"].keys()


def test_the_server_syncs_and_has_room() -> None:
    """NATS syncs every write, takes messages as large as the wire contract, and has room for every stream."""
    assert "sync_interval: always" in NATS_CONF
    assert "max_payload: 1MB" in NATS_CONF
    assert MAX_PAYLOAD == 1 << 20
    read = settings.Settings()
    specs = streams(read.subjects, read.stream_max_bytes)
    on_disk = sum(spec.max_bytes for spec in specs if spec.storage == "file")
    assert on_disk <= 8 << 30
    assert "max_file_store: 8GB" in NATS_CONF


def test_what_is_mounted_is_there() -> None:
    """Every file that a container is given exists, is given to read only, and every volume is declared."""
    for container in CONTAINERS.values():
        for mount in container.get("volumes", ()):
            if isinstance(mount, dict):
                source, mode = DEFAULT.sub(r"\1", mount["source"]), ["ro"] if mount["read_only"] else []
            else:
                source, _, *mode = mount.split(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"], mount
            else:
                assert source in COMPOSE["volumes"], mount


def test_nothing_more_starts_unless_asked_for() -> None:
    """Without a profile it is NATS, Jaeger and the services; each profile adds what it says."""
    profiles: dict[str, set[str]] = {}
    for name, container in CONTAINERS.items():
        for profile in container.get("profiles", [""]):
            profiles.setdefault(profile, set()).add(name)
    assert profiles == {
        "": {"nats", "jaeger", *SERVICES},
        "cli": {"cli"},
        "agents": {"agent-build", "agent-runtime"},
        "monitoring": {"prometheus", "grafana"},
        "cluster": {"nats-1", "nats-2", "nats-3"},
    }


def test_the_cluster_is_of_these_servers() -> None:
    """Three servers of the cluster know one another by name, and sync every write."""
    text = (ROOT / "k8s/compose/nats-cluster.conf").read_text(encoding="utf-8")
    nodes = {name for name, container in CONTAINERS.items() if container.get("profiles") == ["cluster"]}
    assert set(re.findall(r"nats://([\w-]+):6222", text)) == nodes
    assert all(CONTAINERS[name]["environment"]["SERVER_NAME"] == name for name in nodes)
    assert "sync_interval: always" in text
    ports = {port for name in nodes | {"nats"} for port in CONTAINERS[name]["ports"] if port.endswith(":4222")}
    assert ports == {f"127.0.0.1:{port}:4222" for port in (4222, 4223, 4224, 4225)}


def test_the_dashboard_is_published_for_who_has_the_token() -> None:
    """It is served beyond the container's loopback, hence to nobody without a token, and published on the host's."""
    container = CONTAINERS["health-monitor"]
    given = {name: DEFAULT.sub(r"\1", value) for name, value in container["environment"].items()}
    read = settings.from_environment(given)
    guard = Guard(read.dashboard_host, read.dashboard_names, read.dashboard_token)
    assert container["ports"] == [f"127.0.0.1:{read.dashboard_port}:{read.dashboard_port}"]
    with pytest.raises(Unfit, match="without a token"):
        guard.may_read({})
    guard.admit({"host": f"127.0.0.1:{read.dashboard_port}"})
    assert f"127.0.0.1:{read.jaeger_url.rpartition(':')[2]}:16686" in CONTAINERS["jaeger"]["ports"]


def test_compose_takes_the_override_with_generated_users(tmp_path: Path) -> None:
    """Both files together: each service has its own key alone beside what it had, and the server asks who comes."""
    program = shutil.which("docker-compose")
    command = [program] if program else ["docker", "compose"]
    if (
        not shutil.which(command[0])
        or subprocess.run([*command, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("merging the two files needs docker compose: install it")
    made = Installation.create(tmp_path / "keys", settings.Settings().subjects)
    demo = {"agent-build": "agent/build_pipeline/build-1", "agent-runtime": "agent/runtime/web-1"}
    for agent in demo.values():
        _ = made.add(agent)
    made.render()
    _ = exporting.write(made, tmp_path / "out")
    files = ["-f", str(ROOT / "docker-compose.yml"), "-f", str(tmp_path / "out/docker-compose.secure.yml")]
    merged = subprocess.run(
        [*command, *files, "--profile", "agents", "config"], capture_output=True, check=False, text=True
    )
    assert merged.returncode == 0, merged.stderr
    found = yaml.safe_load(merged.stdout)["services"]
    for service in SERVICES:
        environment = found[service]["environment"]
        assert settings.from_environment({k: str(v or "") for k, v in environment.items()}).nats_ca
        keys = [str(volume) for volume in found[service]["volumes"] if str(exporting.ACCESS) in str(volume)]
        assert len(keys) == 1
        assert f"access/service/{service}" in keys[0]
        assert ("policy.toml" in str(found[service]["volumes"])) == ("MENDBUS_POLICY_FILE" in environment)
    assert found["nats"]["command"] == ["--config", "/etc/mendbus/nats-server.conf"]
    shown = settings.from_environment({k: str(v or "") for k, v in found["health-monitor"]["environment"].items()})
    assert str(exporting.DASHBOARD_ACCESS) in str(shown.dashboard_credentials)
    assert "access/operator/dashboard" in str(found["health-monitor"]["volumes"])
    for container, agent in demo.items():
        assert found[container]["command"] == agent.split("/")[1:]
        assert f"access/{agent}" in str(found[container]["volumes"])
        assert found[container]["environment"]["MENDBUS_NATS_CREDENTIALS"]
