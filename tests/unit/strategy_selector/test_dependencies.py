"""Which open incident another one is a symptom of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.strategy_selector.test_snapshot import error

from mendbus.contracts.asks import AttemptResult
from mendbus.contracts.messages import AgentHello, AgentRef, RecoveryCommand
from mendbus.contracts.vocabulary import Action, CommandStatus, Severity, Strategy
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.dependencies import graver_of, notice_of, upstream_of
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


def incident(name: str, at: float, severity: Severity | None = None) -> Incident:
    """An incident of `app/<name>`."""
    return Incident(
        id=f"i-{name}",
        agent=AgentRef(kind="app", id=name),
        fingerprint="f",
        stored=Details(error=error("Down").model_copy(update={"severity": severity})),
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


def test_a_lesser_incident_waits_for_a_grave_one_of_the_same_agent() -> None:
    """Whichever was first; a grave one waits for none of its own agent, and nothing waits when all are alike."""
    incidents = OpenIncidents()
    incidents.know("i-slow", "app/a", 0)
    assert graver_of(incident("a", 1), incidents.of) is None
    incidents.know("i-died", "app/a", 9 * SECOND, grave=True)
    graver = graver_of(incident("a", 1, "error"), incidents.of)
    assert graver is not None
    assert graver.id == "i-died"
    assert graver_of(incident("a", 1, "fatal"), incidents.of) is None
    assert graver_of(incident("b", 1), incidents.of) is None


def test_how_grave_it_is_survives_an_end_that_did_not_hold() -> None:
    """An incident that is decided on again ranks as it did, or two could come to wait for each other."""
    incidents = OpenIncidents()
    opened = {"incident_id": "i", "agent": {"kind": "app", "id": "a"}, "error": {"severity": "fatal"}}
    incidents.apply({"type": "opened", **opened}, 1)
    incidents.apply({"type": "concluded", "outcome": {"incident_id": "i", "outcome": "recovered"}}, 2)
    assert incidents.of("app/a") == []
    command = {"agent": {"kind": "app", "id": "a"}, "command_id": "c"}
    incidents.apply({"type": "decided", "incident_id": "i", "command": command, "decision": {"rule": "ladder"}}, 3)
    assert [found.grave for found in incidents.of("app/a")] == [True]
    assert incidents.outcome("i") is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), min_size=2, max_size=8),
    st.lists(st.sets(st.sampled_from("abc"), max_size=2), min_size=3, max_size=3),
)
def test_no_circle_of_incidents_waits_for_itself(opened: list[tuple[str, int, bool]], needs: list[set[str]]) -> None:
    """Whatever needs what, and whatever is grave: from each incident the way of what it waits for comes to an end."""
    agents = directory(**{name: sorted(f"app/{need}" for need in of) for name, of in zip("abc", needs, strict=True)})
    incidents, every = OpenIncidents(), dict[str, Incident]()
    for number, (name, at, grave) in enumerate(opened):
        every[f"i-{number}"] = incident(name, at / 10, "fatal" if grave else None)
        every[f"i-{number}"].id = f"i-{number}"
        incidents.know(f"i-{number}", f"app/{name}", at * SECOND // 10, grave=grave)
    for start in every:
        passed, now = set[str](), start
        while now not in passed:
            passed.add(now)
            found = graver_of(every[now], incidents.of) or upstream_of(every[now], agents, incidents.of, 2.0)
            if found is None:
                break
            now = found.id
        else:
            pytest.fail(f"{start} waits for ever, by way of {sorted(passed)}")


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
