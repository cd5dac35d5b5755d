"""Recovery of workloads against an API server that allows what the Role allows, and no more."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import ask, memory_runtime
from tests.unit.executor.fake_kubernetes import TOKEN, Cluster, serving

import mendbus_executor
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.settings import Settings
from mendbus.telemetry import Span, open_tracer
from mendbus.testing import eventually
from mendbus_executor.agent_actuator import Probed
from mendbus_executor.kubernetes_actuator import KubernetesActuator
from mendbus_executor.kubernetes_api import RULES, Api
from mendbus_executor.table import KubernetesKind

SPAN: Span = open_tracer("test", Settings(trace=False)).start("test")


class Agent:
    """An agent that answers probes; commands never get to it."""

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """Not used."""
        raise AssertionError

    async def probe(self, *_: Any) -> Probed:
        """Sick, so that it can be told from a rollout that is through."""
        return Probed("unhealthy", "the agent says so")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Deployment `web` with four replicas, and its pod `web`."""
    cluster = Cluster()
    cluster.add("deployments", "web", replicas=4, template={})
    cluster.add("pods", "web")
    with serving(cluster):
        yield cluster


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """The file with the token."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


class Bench:
    """An actuator on that cluster."""

    def __init__(self, cluster: Cluster, token: Path, **changes: Any) -> None:
        values = {"actuator": "kubernetes", "namespace": "shop", "workload": "deployment/{id}", "pod": "{id}"}
        self.kind = KubernetesKind.model_validate(values | changes)
        self.actuator = KubernetesActuator({"runtime": self.kind}, Api(cluster.address, token, None), Agent())

    async def do(self, strategy: str, action: str = "apply", seconds: float = 2.0, **changes: Any) -> CommandResult:
        """Has a command carried out."""
        values: dict[str, Any] = {
            "command_id": "c1",
            "incident_id": "i1",
            "attempt": 1,
            "agent": {"kind": "runtime", "id": "web"},
            "action": action,
            "strategy": strategy,
            "parameters": {},
            "timeout_ms": 2000,
            "deadline_unix_nano": 2**62,
            "fence": 1,
        }
        return await self.actuator.command(RecoveryCommand.model_validate(values | changes), seconds, SPAN)

    async def probe(self) -> Probed:
        """Probes."""
        return await self.actuator.probe("runtime", "web", "i1", None, 2.0, SPAN)


@pytest.fixture
def bench(cluster: Cluster, token: Path) -> Bench:
    """That acts."""
    return Bench(cluster, token)


async def test_a_restart_is_one_rollout_however_often_it_is_asked_for(bench: Bench, cluster: Cluster) -> None:
    """The command id is the annotation, so that a repeat changes nothing; a next command is a next rollout."""
    assert [(await bench.do("restart")).status for _ in range(3)] == ["accepted"] * 3
    assert cluster.rollouts == 1
    assert (await bench.do("restart", command_id="c2", fence=2)).status == "accepted"
    assert (await bench.do("restart")).status == "stale"
    assert cluster.rollouts == 2


async def test_replicas_go_down_and_back(bench: Bench, cluster: Cluster) -> None:
    """The former number stands in an annotation until it is restored; a repeat does not halve again."""
    spec = cluster.objects["deployments", "web"]["spec"]
    for _ in range(2):
        assert (await bench.do("scale_down", parameters={"factor": 0.5})).status == "accepted"
        assert spec["replicas"] == 2
    await bench.do("scale_down", command_id="c2", fence=2, parameters={"to": 1})
    assert spec["replicas"] == 1
    await bench.do("scale_down", "restore", command_id="c3", fence=3)
    assert spec["replicas"] == 4
    assert (await bench.do("scale_down", "undo", command_id="c4", fence=4)).detail == "nothing was scaled down"


async def test_an_isolated_pod_loses_its_traffic_label(bench: Bench, cluster: Cluster) -> None:
    """`off`, and `on` again."""
    labels = cluster.objects["pods", "web"]["metadata"]["labels"]
    for _ in range(2):
        assert (await bench.do("isolate")).status == "accepted"
        assert labels["mendbus.dev/traffic"] == "off"
    assert (await bench.do("isolate", "restore", command_id="c2", fence=2)).status == "accepted"
    assert labels["mendbus.dev/traffic"] == "on"


async def test_a_pod_knows_the_last_command_too(bench: Bench, cluster: Cluster) -> None:
    """Whatever is done to the workload, an older command finds its agent's pod changed; who has none goes without."""
    metadata = cluster.objects["pods", "web"]["metadata"]
    await bench.do("restart", fence=2)
    assert metadata["annotations"]["mendbus.dev/fence"] == "2"
    metadata["annotations"]["mendbus.dev/fence"] = "9"
    assert (await bench.do("isolate", command_id="c2", fence=3)).status == "stale"
    assert (await bench.do("restart", command_id="c3", fence=4)).status == "stale"
    metadata["labels"].clear()
    assert (await bench.do("restart", command_id="c4", fence=5)).status == "accepted"
    assert metadata["annotations"]["mendbus.dev/fence"] == "9"
    del cluster.objects["pods", "web"]
    assert (await bench.do("restart", command_id="c5", fence=6)).status == "accepted"
    assert (await bench.do("failover", command_id="c6", fence=7)).code == "not_found"


async def test_a_pod_is_evicted_once(bench: Bench, cluster: Cluster) -> None:
    """Its successor of the same name is left alone by a repeat; a disruption budget is obeyed."""
    assert (await bench.do("failover")).detail == "pod web is evicted"
    assert (await bench.do("failover")).detail == "pod web was gone before"
    assert cluster.evictions == 1
    successor = cluster.objects.pop(("pods", "web"))
    assert (await bench.do("failover")).detail == "pod web was gone before"
    cluster.objects["pods", "web"] = successor
    cluster.budget = False
    assert (await bench.do("failover", command_id="c2", fence=2)).code == "disruption_budget"


async def test_a_dry_run_changes_nothing(cluster: Cluster, token: Path) -> None:
    """Every change is checked by the server, none is made, and nothing counts as recovered."""
    bench = Bench(cluster, token, mode="dry_run")
    before = str(cluster.objects)
    for strategy in ("restart", "scale_down", "isolate", "failover"):
        result = await bench.do(strategy)
        assert (result.status, result.code) == ("failed", "dry_run")
    assert str(cluster.objects) == before
    assert all(request.endswith("dry") for request in cluster.requests if not request.startswith("get"))


@pytest.mark.parametrize("resource", ["deployments", "pods"])
async def test_who_has_not_opted_in_is_left_alone(bench: Bench, cluster: Cluster, resource: str) -> None:
    """Without the label nothing is changed."""
    cluster.objects[resource, "web"]["metadata"]["labels"].clear()
    result = await bench.do("isolate")
    assert (result.status, result.code) == ("unauthorized", "not_opted_in")
    assert all(request.startswith("get") for request in cluster.requests)


@pytest.mark.parametrize("number", range(len(RULES)))
async def test_each_rule_of_the_role_is_needed(bench: Bench, cluster: Cluster, number: int) -> None:
    """Without any one of them something is forbidden; with all of them nothing is."""
    cluster.rules = RULES[:number] + RULES[number + 1 :]
    results = [await bench.do(strategy) for strategy in ("restart", "isolate", "failover")]
    assert ("unauthorized", "forbidden") in [(result.status, result.code) for result in results]


async def test_other_namespaces_and_tokens_are_refused(cluster: Cluster, token: Path) -> None:
    """What the server forbids is `unauthorized`."""
    assert (await Bench(cluster, token, namespace="bank").do("restart")).status == "unauthorized"
    token.write_text("wrong")
    assert (await Bench(cluster, token).do("restart")).status == "unauthorized"


async def test_a_lost_race_is_run_again(bench: Bench, cluster: Cluster) -> None:
    """A conflict reads the workload anew; one that changes all the time is given up."""
    cluster.conflicts = 2
    assert (await bench.do("restart")).status == "accepted"
    assert cluster.rollouts == 1
    cluster.conflicts = 100
    assert (await bench.do("restart", command_id="c2", fence=2)).code == "conflict"


async def test_what_cannot_be_done_is_told(bench: Bench, cluster: Cluster, token: Path) -> None:
    """A missing workload, a strategy without meaning here, no replicas to scale, no server."""
    assert (await bench.do("rollback")).status == "unsupported"
    assert (await bench.do("restart", "undo")).status == "unsupported"
    assert (await Bench(cluster, token, pod=None).do("isolate")).status == "unsupported"
    assert (await Bench(cluster, token, workload="deployment/lost").do("restart")).code == "not_found"
    cluster.add("daemonsets", "web")["spec"].clear()
    assert (await Bench(cluster, token, workload="daemonset/{id}").do("scale_down")).status == "unsupported"
    cluster.address = "http://127.0.0.1:9"
    assert (await Bench(cluster, token).do("restart")).code == "no_answer"
    assert (await Bench(cluster, token).probe()).state == "unhealthy"
    assert (await Bench(cluster, token.with_name("none")).do("restart")).code == "no_answer"


async def test_healthy_is_a_rollout_that_is_through_and_an_agent_that_works(
    bench: Bench, cluster: Cluster, token: Path
) -> None:
    """Not observed, not updated, not available and surplus replicas are unhealthy, then the agent has the last word."""
    workload = cluster.objects["deployments", "web"]
    assert (await bench.probe()).detail == "the agent says so"
    alone = Bench(cluster, token, ask_agent=False)
    assert (await alone.probe()).state == "healthy"
    await bench.do("restart")
    assert "not observed" in (await alone.probe()).detail
    status: dict[str, Any] = workload["status"]
    status["observedGeneration"] = 2
    for name, value in (("updatedReplicas", 3), ("availableReplicas", 3), ("replicas", 5)):
        former, status[name] = status[name], value
        assert (await alone.probe()).state == "unhealthy"
        status[name] = former
    workload["status"] = {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2}
    assert "0 available" in (await alone.probe()).detail


async def test_a_table_gives_a_kind_to_kubernetes(cluster: Cluster, token: Path, tmp_path: Path) -> None:
    """Chosen by kind: the whole way from the request to the rollout."""
    file = tmp_path / "executor.toml"
    file.write_text(
        f'[kubernetes]\napi = "{cluster.address}"\ntoken_file = "{token}"\n[kinds.runtime]\nactuator = "kubernetes"\n'
        'namespace = "shop"\nworkload = "deployment/{id}"\nask_agent = false\n'
    )
    server = MemoryServer()
    settings = Settings(trace=False, data_dir=tmp_path, executor_file=file)
    command = RecoveryCommand.model_validate(
        {
            "command_id": "c1",
            "incident_id": "i1",
            "attempt": 1,
            "agent": {"kind": "runtime", "id": "web"},
            "action": "apply",
            "strategy": "restart",
            "parameters": {},
            "timeout_ms": 2000,
            "deadline_unix_nano": 2**62,
            "fence": 1,
        }
    )
    request = Execute(incident_id="i1", agent_kind="runtime", agent_id="web", command=command, timeout_ms=2000)
    async with memory_runtime(mendbus_executor.build(), server, settings=settings):
        bus = server.connect("test")
        asked = asyncio.create_task(ask(bus, Subjects().execute, request, AttemptResult))
        await eventually(lambda: cluster.rollouts == 1)
        cluster.objects["deployments", "web"]["status"]["observedGeneration"] = 2
        result = await asked
        await bus.close()
    assert (result.status, result.verified) == ("accepted", True)


def test_it_is_not_imported_where_it_is_not_used() -> None:
    """An executor without a table loads neither this nor the sandbox's actuator."""
    source = (
        "import sys, mendbus_executor.wiring; "
        "print([name for name in sys.modules if 'kubernetes' in name or 'command_a' in name or name == 'http.client'])"
    )
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
