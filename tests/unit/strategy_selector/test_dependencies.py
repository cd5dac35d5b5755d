"""Which open incident another one is a symptom of."""

import pytest
from tests.unit.strategy_selector.test_snapshot import error

from mendbus.contracts.asks import AttemptResult
from mendbus.contracts.messages import AgentHello, AgentRef, RecoveryCommand
from mendbus.contracts.vocabulary import Action, CommandStatus, Strategy
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.dependencies import notice_of, upstream_of
from mendbus_strategy_selector.incident import Details, Incident
from mendbus_strategy_selector.incidents import OpenIncidents

SECOND = 1_000_000_000


def directory(**needs: list[str]) -> Agents:
    """Agents of kind `app` that need others."""
    agents = Agents()
    for name, needed in needs.items():
        ref = AgentRef(kind="app", id=name)
        agents.introduce(AgentHello(agent=ref, strategies=[], depends_on=needed, interval_ms=500))
    return agents


def incident(name: str, at: float) -> Incident:
    """An incident of `app/<name>`."""
    return Incident(
        id=f"i-{name}",
        agent=AgentRef(kind="app", id=name),
        fingerprint="f",
        stored=Details(error=error("Down")),
        opened_unix_nano=int(at * SECOND),
    )


@pytest.mark.parametrize(("at", "found"), [(10.0, True), (12.0, True), (8.0, True), (12.1, False), (7.9, False)])
def test_it_is_a_symptom_within_the_window(at: float, found: bool) -> None:
    """Two seconds before or after the incident of what it needs, not more."""
    agents, incidents = directory(db=[], api=["app/db"]), OpenIncidents()
    incidents.know("i-db", "app/db", 10 * SECOND)
    upstream = upstream_of(incident("api", at), agents, incidents.of, 2.0)
    assert (upstream is not None) == found


def test_of_two_that_need_each_other_only_the_later_waits() -> None:
    """A circle of needs cannot wait for itself."""
    agents, incidents = directory(a=["app/b"], b=["app/c"], c=["app/a"]), OpenIncidents()
    for number, name in enumerate("abc"):
        incidents.know(f"i-{name}", f"app/{name}", number * SECOND // 10)
    waits = {
        name: upstream_of(incident(name, number / 10), agents, incidents.of, 2.0) for number, name in enumerate("abc")
    }
    assert {name for name, upstream in waits.items() if upstream is None} == {"a"}


def test_the_cause_may_lie_behind_what_it_needs() -> None:
    """Of what it needs the nearest with an incident is to blame, else what that one needs, and so on."""
    agents, incidents = directory(db=[], api=["app/db"], web=["app/api"]), OpenIncidents()
    incidents.know("i-db", "app/db", 0)
    behind = upstream_of(incident("web", 1), agents, incidents.of, 2.0)
    incidents.know("i-api", "app/api", SECOND)
    near = upstream_of(incident("web", 1), agents, incidents.of, 2.0)
    assert behind is not None
    assert near is not None
    assert (behind.id, near.id) == ("i-db", "i-api")
    assert upstream_of(incident("db", 1), agents, incidents.of, 2.0) is None


def test_what_has_recovered_is_remembered_until_it_is_open_again() -> None:
    """A cause that is over can still be told; one that was escalated, or goes on, cannot."""
    incidents = OpenIncidents()
    for name, outcome in (("a", "recovered"), ("b", "escalated")):
        incidents.know(f"i-{name}", f"app/{name}", 0)
        incidents.apply({"type": "concluded", "outcome": {"incident_id": f"i-{name}", "outcome": outcome}}, 1)
    assert [found.id for found in incidents.recovered_of("app/a")] == ["i-a"]
    assert incidents.recovered_of("app/b") == []
    command = {"agent": {"kind": "app", "id": "a"}, "command_id": "c"}
    incidents.apply({"type": "decided", "incident_id": "i-a", "command": command, "decision": {"rule": "ladder"}}, 2)
    assert incidents.recovered_of("app/a") == []


def test_a_kind_means_all_its_agents_but_oneself() -> None:
    """An agent that needs its own kind is no symptom of itself."""
    agents, incidents = directory(a=["app"], b=[]), OpenIncidents()
    incidents.know("i-a", "app/a", 0)
    assert upstream_of(incident("a", 0), agents, incidents.of, 2.0) is None
    incidents.know("i-b", "app/b", 0)
    upstream = upstream_of(incident("a", 0), agents, incidents.of, 2.0)
    assert upstream is not None
    assert upstream.id == "i-b"


@pytest.mark.parametrize(
    ("strategy", "action", "status", "code", "event"),
    [
        ("isolate", "apply", "done", None, "isolated"),
        ("isolate", "restore", "done", None, "restored"),
        ("isolate", "apply", "failed", None, None),
        ("failover", "apply", "accepted", None, "failed_over"),
        ("failover", "apply", "done", "in_place", None),
        ("restart", "apply", "done", None, None),
    ],
)
def test_what_peers_hear_of_a_command(
    strategy: Strategy, action: Action, status: CommandStatus, code: str | None, event: str | None
) -> None:
    """A successor that serves under the same name must not be cut off."""
    command = RecoveryCommand(
        command_id="c",
        incident_id="i",
        attempt=1,
        agent=AgentRef(kind="app", id="a"),
        action=action,
        strategy=strategy,
        parameters={},
        timeout_ms=100,
        deadline_unix_nano=1,
        fence=1,
    )
    result = AttemptResult(incident_id="i", command_id="c", status=status, code=code, verified=True)
    assert notice_of(command, result) == event
