"""The live view: what it makes of what comes in, and that it fits every terminal."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.support import Clock
from tests.unit.cli.samples import AGENT, INCIDENT, REPORTED, classification, opened, outcome
from tests.unit.shared.test_export import attempted, command

from mendbus.asking import board as boards
from mendbus.asking.board import Board
from mendbus.cli.drawing import draw
from mendbus.contracts.canary import KEY
from mendbus.contracts.journal import Commanded, Concluded, Counted, Decided, Entry, Operated
from mendbus.contracts.messages import AgentRef, Alert, HealthStatus, RecoveryOutcome
from mendbus.contracts.summaries import DecisionSummary, Times
from mendbus.contracts.vocabulary import AlertState, Health

CANARY = AgentRef(kind=KEY.partition("/")[0], id=KEY.partition("/")[2])


@pytest.fixture
def board() -> Board:
    return Board(Clock(REPORTED))


def take(board: Board, *entries: Entry, at: int = REPORTED) -> None:
    for entry in entries:
        board.take_entry(entry.model_dump(exclude_none=True), at)


def decided() -> Decided:
    decision = DecisionSummary(policy="p", rule="first", reason="r")
    return Decided(
        incident_id=INCIDENT,
        attempt=1,
        strategy="isolate",
        decision=decision,
        classification=classification(),
        command=command("apply"),
    )


def status(word: Health, agent: AgentRef = AGENT, score: float = 50.0) -> HealthStatus:
    return HealthStatus(id="s", time_unix_nano=REPORTED, agent=agent, status=word, score=score, reason="because")


def alert(state: AlertState, agent: AgentRef | None = AGENT, key: str = "k") -> Alert:
    return Alert(
        id="a", key=key, time_unix_nano=REPORTED, severity="major", state=state, agent=agent, summary="it\nis down"
    )


def tell(board: Board, told: RecoveryOutcome) -> None:
    board.take_outcome(told.model_dump(exclude_none=True))


def stage(board: Board) -> tuple[str, str]:
    (one,) = board.live()
    return one.stage, one.told


def test_an_incident_passes_its_stages(board: Board) -> None:
    """From the report to the settle window the journal and the outcomes light one stage after the other."""
    take(board, opened())
    assert stage(board) == ("reported", "classifying")
    take(board, Counted(incident_id=INCIDENT, lane="normal", sequences=[1], event_ids=["e"], error_count=4))
    take(board, decided())
    assert stage(board) == ("commanded", "isolate #1")
    take(board, attempted("apply"))
    assert stage(board) == ("verified", "isolate helped")
    take(board, Commanded(incident_id=INCIDENT, command=command("undo")), attempted("undo"))
    assert stage(board) == ("decided", "undoing isolate")
    tell(board, outcome(sequence=0, settled=None))
    assert stage(board) == ("settling", "settling after retry")
    assert "x3" in "\n".join(line.plain for line in draw(board, "here", 100, 30))
    tell(board, outcome(sequence=1))
    assert board.live() == []
    assert (board.rate("errors"), board.rate("incidents")) == (4, 1)


def test_what_waits_for_a_person_stays(board: Board) -> None:
    """An escalated incident waits, below those under way, until it is closed; an older word changes nothing."""
    tell(board, outcome(outcome="escalated", sequence=2, settled=None))
    tell(board, outcome(sequence=1))
    take(board, opened("other"))
    assert [(one.id, one.stage) for one in board.live()] == [("other", "reported"), (INCIDENT, "waiting")]
    tell(board, outcome(outcome="escalated", sequence=3, settled=True))
    assert [one.id for one in board.live()] == ["other"]


def test_what_is_new_comes_first(board: Board) -> None:
    """Where there is room for a few, the newest of those under way are seen, and below them of those that wait."""
    for number in (1, 3, 2):
        take(board, opened(f"new-{number}"), at=REPORTED + number)
        times = Times(reported=REPORTED + number)
        tell(board, outcome(incident_id=f"waits-{number}", outcome="escalated", settled=None, times=times))
    found = [one.id for one in board.live()]
    assert found == ["new-3", "new-2", "new-1", "waits-3", "waits-2", "waits-1"]


def test_what_is_over_is_gone_whatever_is_read_again(board: Board) -> None:
    """The journal read again from the middle leaves no ghosts, and what waits goes on waiting."""
    waiting = outcome(incident_id="w", outcome="escalated", sequence=3, settled=None)
    tell(board, waiting)
    tell(board, outcome())
    take(board, opened("w"), decided().model_copy(update={"incident_id": "w"}), Concluded(outcome=waiting))
    take(board, opened(), decided(), Concluded(outcome=outcome(sequence=0, settled=None)), Concluded(outcome=outcome()))
    assert stage(board) == ("waiting", "escalated")


def test_rates_are_of_the_last_minute() -> None:
    """What was longer ago than a minute counts no more; an outcome that is told again counts once."""
    clock = Clock(REPORTED)
    board = Board(clock)
    told = [outcome(sequence=number, settled=None) for number in (0, 1)] + [outcome(sequence=2), outcome(sequence=3)]
    take(board, opened(), *(Concluded(outcome=one) for one in told))
    take(board, Concluded(outcome=outcome(incident_id="old", sequence=0)), at=REPORTED - 61 * 10**9)
    assert board.rate("recovered") == 1
    clock.pass_seconds(61)
    assert board.rate("recovered") == 0


def test_the_canary_is_not_shown(board: Board) -> None:
    """Nothing of the canary is on the board, from whichever side it comes."""
    tell(board, outcome(agent=CANARY, settled=None))
    board.take_status(status("failed", CANARY))
    board.take_alert(alert("raised", CANARY))
    listed: dict[str, Any] = {"kind": CANARY.kind, "id": CANARY.id}
    board.take_listing([{"agent": listed, "status": "good", "score": 90, "reason": "", "last_seen_unix_nano": 1}])
    take(board, opened().model_copy(update={"agent": CANARY}))
    take(board, Counted(incident_id=INCIDENT, lane="normal", sequences=[1], event_ids=["e"], error_count=4))
    take(board, Concluded(outcome=outcome(agent=CANARY, sequence=0, settled=None)))
    assert not {**board.agents, **board.alerts, **board.incidents}
    assert (board.rate("recovered"), board.rate("errors"), board.rate("incidents")) == (0, 0, 0)


def test_agents_are_counted_and_the_worst_come_first(board: Board) -> None:
    """A status replaces the one before; who has left is counted, and in no list."""
    board.take_listing(
        [{"agent": {"kind": "a", "id": "1"}, "status": "good", "score": 90, "reason": "", "last_seen_unix_nano": 1}]
    )
    board.take_status(status("failed", score=0.0))
    board.take_status(status("retired", AgentRef(kind="a", id="2")))
    assert board.statuses() == [("failed", 1), ("good", 1), ("retired", 1)]
    assert [agent.key for agent in board.worst()] == ["runtime/r1", "a/1"]


def test_every_change_is_told_with_the_times_of_its_stages() -> None:
    """Who follows hears of each agent, alert, incident and order; the end of an incident is told with its outcome."""
    heard: list[tuple[str, str, Any]] = []
    board = Board(Clock(REPORTED), lambda what, key, value: heard.append((what, key, value)))
    board.take_status(status("good"))
    board.take_alert(alert("raised"))
    take(board, opened(), decided(), at=REPORTED + 5)
    take(board, Concluded(outcome=outcome()), Operated(verb="pause", by="kim", kind="runtime"), at=REPORTED + 9)
    assert [(what, key) for what, key, _ in heard] == [
        ("agent", "runtime/r1"),
        ("alert", "k"),
        *(("incident", INCIDENT),) * 3,
        ("operated", f"{REPORTED + 9}.pause.None"),
    ]
    ended = heard[-2][2]
    assert (ended.stage, ended.outcome, ended.strategy) == ("settled", "recovered", "retry")
    assert ended.times["acting"] > ended.times["received"]
    assert ended.times["settled"] == REPORTED + 9
    assert heard[-1][2]["by"] == "kim"
    assert board.rates() == {"errors": 0, "incidents": 1, "recovered": 1}
    assert not board.incidents


def test_alerts_come_and_go(board: Board) -> None:
    """An acknowledged alert is marked, a resolved one is gone."""
    board.take_alert(alert("raised"))
    board.take_alert(alert("acknowledged"))
    assert "acknowledged it is down" in "\n".join(line.plain for line in draw(board, "here", 100, 30))
    board.take_alert(alert("resolved"))
    assert not board.alerts


def test_memory_is_bounded(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of incidents and alerts the oldest give way, and no further agents are taken in."""
    monkeypatch.setattr(boards, "MAX_LIVE", 2)
    monkeypatch.setattr(boards, "MAX_AGENTS", 2)
    for number in range(4):
        take(board, opened(f"i{number}"))
        board.take_alert(alert("raised", key=f"k{number}"))
        board.take_status(status("good", AgentRef(kind="a", id=str(number))))
    assert list(board.incidents) == ["i2", "i3"]
    assert list(board.alerts) == ["k2", "k3"]
    assert list(board.agents) == ["a/0", "a/1"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 60), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_it_fits_every_terminal(width: int, height: int, incidents: int, alerts: int, agents: int) -> None:
    """Whatever there is to show, there are no more lines than the terminal has, and none is wider."""
    board = Board(Clock(REPORTED))
    for number in range(incidents):
        tell(board, outcome(incident_id=f"i{number}", outcome="escalated", settled=None))
    for number in range(alerts):
        board.take_alert(alert("raised", key=f"k{number}").model_copy(update={"summary": "日本語のとても長い説明" * 9}))
    for number in range(agents):
        board.take_status(status("poor", AgentRef(kind="runtime", id=f"agent-{number}" * 5)))
    lines = draw(board, "mendbus.v1 on nats://127.0.0.1:4222", width, height)
    assert len(lines) == height
    assert all(cell_len(line.plain) <= width for line in lines)
    assert not any(char in line.plain for line in lines for char in "\x1b\n")
