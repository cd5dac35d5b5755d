"""Two replicas of every service: both work, and what an operator orders is done by whoever owns what it is about."""

import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Installation, ProtocolAgent, assert_exact, installation, settled_ledger
from tests.support import ask

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.messages import AgentRef, Control, ControlResult, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, partition_of
from mendbus.contracts.vocabulary import SERVICES
from mendbus.testing import eventually

pytestmark = pytest.mark.timeout(60)

PARTITIONS = 8
POLICY = 'settle_seconds = 0.3\nrequire_approval = ["rollback"]\nsick_share = 1.0\n'


async def order(bus: Bus, system: Installation, verb: str, agent: ProtocolAgent, **arguments: Any) -> ControlResult:
    """An order about one agent, and the answer of its partition's owner."""
    control = Control(
        id="o1",
        time_unix_nano=time.time_ns(),
        verb=verb,
        by="kim",
        agent=AgentRef(kind=agent.kind, id=agent.id),
        arguments=arguments,
    )
    answer = await ask(bus, system.subjects.control(verb), control, ControlResult)
    assert answer.ok, answer.detail
    return answer


async def requests_of(bus: Bus, system: Installation, service: str) -> list[int]:
    """How many requests each replica has answered, by the services API."""
    counts: list[int] = []
    for replica in system.named(service):
        found = re.search(rf"{service} (\w+) is ready", replica.log.read_text())
        assert found is not None
        answer = await bus.request(f"$SRV.STATS.{service}.{found[1]}", b"", timeout=2.0)
        counts.append(sum(endpoint["num_requests"] for endpoint in json.loads(answer.body)["endpoints"]))
    return counts


async def test_both_replicas_work_and_each_order_reaches_the_owner(tmp_path: Path) -> None:
    """Partitions, questions and attempts are shared; pause, resume, approve and close work with every owner."""
    async with installation(tmp_path, *SERVICES, *SERVICES, policy=POLICY) as system:
        bus = await system.connect()
        told: dict[str, list[RecoveryOutcome]] = defaultdict(list)

        async def hear(message: Message) -> None:
            outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
            told[outcome.agent.id].append(outcome)

        async def all_told(wanted: str) -> None:
            await eventually(lambda: all(any(o.outcome == wanted for o in told[a.id]) for a in agents), 15.0)

        await bus.subscribe(system.subjects.everyone("outcome"), hear)
        names: dict[int, str] = {}
        for number in range(200):
            names.setdefault(partition_of("runtime", f"a{number}"), f"a{number}")
        assert len(names) == PARTITIONS
        agents = [ProtocolAgent(bus, system.subjects, "runtime", name) for name in names.values()]
        for agent in agents:
            await agent.start()
            await agent.say_hello()

        async def shared() -> dict[str, str]:
            until = time.time_ns() + 60 * 10**9
            owners = {a.id: (await order(bus, system, "pause", a, until_unix_nano=until)).instance for a in agents}
            assert len(set(owners.values())) == 2, owners
            return owners

        owners = await eventually(shared, 15.0, every=0.3)

        for agent in agents:
            await agent.report("Held")
        await all_told("suppressed")
        assert not any(agent.effects for agent in agents)
        assert {a.id: (await order(bus, system, "resume", a)).instance for a in agents} == owners
        await all_told("recovered")

        told.clear()
        for agent in agents:
            await agent.report("Grave", severity="critical")
        await all_told("awaiting_approval")
        awaiting = [o for outcomes in told.values() for o in outcomes if o.outcome == "awaiting_approval"]
        waiting = {outcome.agent.id: outcome.incident_id for outcome in awaiting}
        verbs = {agent.id: "approve" if number % 2 else "close" for number, agent in enumerate(agents)}
        for agent in agents:
            answer = await order(bus, system, verbs[agent.id], agent, incident=waiting[agent.id])
            assert answer.instance == owners[agent.id]
        approved = [agent for agent in agents if verbs[agent.id] == "approve"]
        await eventually(lambda: all((waiting[a.id], 1, "apply") in a.effects for a in approved), 10.0)

        ledger = await settled_ledger(bus, system.subjects, agents, 20.0)
        assert_exact(ledger, agents)
        ends = {agent.id: ledger.told[waiting[agent.id]].outcome for agent in agents}
        assert {ends[a.id] for a in approved} == {"recovered"}
        assert sum(sum(agent.effects.values()) for agent in agents) == len(agents) + len(approved)
        for service in ("classifier", "predictor", "executor", "health-monitor"):
            counts = await requests_of(bus, system, service)
            assert len(counts) == 2
            assert all(counts), f"{service}: {counts}"
        await bus.close()
