"""What outcomes come to: each incident once, as it stands, in bounded memory, the canary nowhere."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cli.samples import MS, error, outcome

from mendbus import analytics
from mendbus.analytics import Analysis
from mendbus.analytics_report import Report, facts
from mendbus.annotations import Relabel
from mendbus.contracts import foreseen
from mendbus.contracts.canary import KEY
from mendbus.contracts.ids import made_at, new_id
from mendbus.contracts.messages import AgentRef, Alert, ExceptionInfo, RecoveryOutcome
from mendbus.contracts.summaries import AttemptSummary, ClassificationSummary, Times
from mendbus.contracts.vocabulary import CATEGORIES, STRATEGIES, AlertChange, AlertState, Category, Outcome, Strategy
from mendbus.prevention import hint

START = 1_700_000_000_000 * MS
END = START + 3_600_000 * MS


def alert(change: AlertChange, agent: AgentRef | None = None, at: int = START, key: str = "k") -> Alert:
    states: dict[AlertChange, AlertState] = {"acknowledged": "acknowledged", "resolved": "resolved"}
    state = states.get(change, "raised")
    return Alert(
        id="a", key=key, time_unix_nano=at, severity="major", state=state, change=change, agent=agent, summary="s"
    )


def incident(number: int, at: int | None = None) -> str:
    return new_id(START + number * 1000 * MS if at is None else at, number.to_bytes(10, "big"))


def attempt(strategy: Strategy, *, verified: bool = True, undone: bool = False, took: int = 10) -> AttemptSummary:
    return AttemptSummary(
        attempt=1,
        command_id="c",
        strategy=strategy,
        status="done",
        verified=verified,
        undone=undone,
        started_unix_nano=START,
        ended_unix_nano=START + took * MS,
    )


def told(
    number: int,
    result: Outcome = "recovered",
    *attempts: AttemptSummary,
    category: Category = "memory",
    took: int = 20,
    agent: str = "r1",
    **changes: Any,
) -> RecoveryOutcome:
    """An outcome of a numbered incident."""
    recovered = result == "recovered"
    return outcome(
        **{
            "incident_id": incident(number),
            "sequence": 0,
            "agent": AgentRef(kind="runtime", id=agent),
            "outcome": result,
            "attempts": list(attempts),
            "error_count": 2,
            "classification": ClassificationSummary(category=category, severity="error", confidence=0.9, model="m"),
            "times": Times(reported=START, verified=START + took * MS if recovered else None),
            "settled": None,
        }
        | changes
    )


def analysed(*outcomes: RecoveryOutcome, relabels: dict[str, Relabel] | None = None, held: int = 100) -> Report:
    analysis = Analysis(START, END, relabels, held=held)
    for one in outcomes:
        analysis.take(one, START)
    return analysis.report()


def test_what_was_predicted_is_no_error() -> None:
    """However its incident ended, it is in no share and no count, and a sentence says how many there were."""
    said = error(
        severity=foreseen.SEVERITY,
        exception=ExceptionInfo(type=foreseen.EXCEPTION, message="soon"),
        attributes={foreseen.PREDICTED: True},
    )
    one = told(1, "recovered", attempt("restart"), error=said)
    report = analysed(one, one.model_copy(update={"sequence": 1, "settled": True}), told(2, "no_action", error=said))
    assert (report.incidents, report.errors, report.success.of, report.strategies) == (0, 0, 0, [])
    assert report.notes == ["2 failures that were predicted are left out: they are no errors"]


def test_the_definitions() -> None:
    """Success is of what was acted upon, a person counts once asked, a strategy helps as the last of a recovery."""
    report = analysed(
        told(1, "recovered", attempt("retry", verified=False), attempt("restart", took=40), took=100),
        told(2, "recovered", attempt("restart", took=20), took=50),
        told(3, "escalated", attempt("retry"), attempt("restart", undone=True), category="network", agent="r2"),
        told(4, "no_action"),
        told(5, "suppressed"),
        told(6, "awaiting_approval"),
        told(7, "recovered", attempt("rollback"), undone=True),
        told(8, "rejected"),
    )
    assert (report.incidents, report.errors, report.rejected) == (7, 14, 1)
    assert (report.success.hits, report.success.of) == (2, 4)
    assert (report.needed_person.hits, report.needed_person.of) == (2, 5)
    assert (report.mttr.n, report.mttr.mean_ms) == (2, 75.0)
    assert (report.most_common_category, report.most_failing_agent) == ("memory", "runtime/r1")
    rows = {row.strategy: row for row in report.strategies}
    assert (rows["restart"].attempts, rows["restart"].success.hits, rows["restart"].time.n) == (3, 2, 2)
    assert rows["restart"].time.mean_ms == 30.0
    assert (rows["retry"].attempts, rows["retry"].success.hits) == (2, 0)
    assert rows["rollback"].success.hits == 0
    pairs = {(row.category, row.strategy): row.attempts for row in report.by_category}
    assert pairs == {("memory", "restart"): 2, ("memory", "retry"): 1, ("memory", "rollback"): 1} | {
        ("network", "restart"): 1,
        ("network", "retry"): 1,
    }


def test_an_incident_counts_once_as_it_stands() -> None:
    """A later outcome replaces what was counted; an older one that comes later changes nothing; a person stays."""
    waiting = told(1, "awaiting_approval")
    later = told(1, "recovered", attempt("retry"), sequence=1)
    settled = told(1, "recovered", attempt("retry"), sequence=2, settled=True, error_count=7)
    report = analysed(waiting, later, settled, later)
    assert report == analysed(waiting, settled)
    assert (report.incidents, report.errors, report.success.hits) == (1, 7, 1)
    assert (report.needed_person.hits, report.needed_person.of) == (1, 1)


STANDINGS = st.tuples(
    st.integers(0, 7),
    st.integers(0, 3),
    st.sampled_from(("recovered", "escalated", "no_action", "suppressed", "failed", "awaiting_approval")),
    st.lists(st.sampled_from(STRATEGIES), max_size=2),
    st.sampled_from(CATEGORIES),
)


@settings(deadline=None)
@given(st.lists(STANDINGS, max_size=40))
def test_what_was_replaced_leaves_no_trace(said: list[Any]) -> None:
    """All outcomes of all incidents come to the same as the last ones alone, but for whom a person was asked."""
    outcomes = [
        told(number, result, *map(attempt, strategies), category=category, sequence=sequence)
        for number, sequence, result, strategies, category in said
    ]
    last: dict[str, RecoveryOutcome] = {}
    for one in outcomes:
        known = last.get(one.incident_id)
        if known is None or one.sequence > known.sequence:
            last[one.incident_id] = one
    every, ends = analysed(*outcomes), analysed(*last.values())
    apart = ("needed_person", "agents", "recurring")
    assert {k: v for k, v in every._asdict().items() if k not in apart} == {
        k: v for k, v in ends._asdict().items() if k not in apart
    }
    assert every.needed_person.hits >= ends.needed_person.hits
    assert [row[:4] for row in every.agents] == [row[:4] for row in ends.agents]
    assert sum(every.outcomes.values()) == every.incidents == len(last)


def test_memory_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An incident that was let go counts as it stood, a late outcome of it is named; rare fingerprints give way."""
    first = told(1)
    report = analysed(first, told(2), told(3), told(1, "escalated", sequence=1), told(4, sequence=3), held=2)
    assert (report.incidents, report.success.hits) == (4, 4)
    assert "1 late outcomes" in report.notes[0]
    monkeypatch.setattr(analytics, "MAX_KEYS", 4)
    many = [told(n, agent=f"a{n}", fingerprint=f"f{n}") for n in range(20)]
    report = analysed(told(90, fingerprint="often"), told(91, fingerprint="often"), *many)
    assert report.incidents == 22
    assert [row.fingerprint for row in report.recurring] == ["often"]
    assert "may be missing" in report.notes[0]


def test_the_range_is_when_an_incident_was_opened() -> None:
    """Its id says when that was; for another id the report does, and then the time at which it was stored."""
    assert made_at(incident(1)) == START + 1000 * MS
    before, after = incident(0, START - MS), incident(0, END)
    report = analysed(told(1), told(2, incident_id=before), told(3, incident_id=after))
    assert report.incidents == 1
    other = told(4, incident_id="mine", times=Times(reported=START - 1))
    unknown = told(5, incident_id="yours", times=Times())
    assert analysed(other, unknown).incidents == 1


def test_the_canary_counts_nowhere() -> None:
    """Neither its incidents nor alerts about it are in any figure."""
    kind, _, name = KEY.partition("/")
    canary = AgentRef(kind=kind, id=name)
    analysis = Analysis(START, END)
    analysis.take(told(1).model_copy(update={"agent": canary}), START)
    analysis.take_alert(alert("raised", canary))
    report = analysis.report()
    assert (report.incidents, report.alerts_raised, report.most_failing_agent) == (0, 0, None)


def test_an_alert_counts_each_time_it_is_raised() -> None:
    """Told again while it is open it is the same alert; raised after it was resolved it is another; others stay out."""
    analysis = Analysis(START, END, held=2)
    changes: tuple[AlertChange, ...] = ("raised", "acknowledged", "worsened", "muted", "unmuted", "resolved", "raised")
    for change in changes:
        analysis.take_alert(alert(change))
    analysis.take_alert(alert("raised", at=END, key="later"))
    analysis.take_alert(alert("acknowledged", key="from before"))
    analysis.take_alert(alert("escalated", key="raised before"))
    report = analysis.report()
    assert (report.alerts_raised, report.alerts) == (2, {"major": 2})


def test_failures_that_come_back_have_a_hint() -> None:
    """A fingerprint with two incidents is told with what helped most often and where to look; one with one is not."""
    leak = error(exception=ExceptionInfo(type="MemoryError", message="no\nroom"))
    report = analysed(
        told(1, "recovered", attempt("restart"), error=leak, fingerprint="f1"),
        told(2, "recovered", attempt("restart"), error=leak, fingerprint="f1", agent="r2"),
        told(3, "escalated", attempt("retry"), error=leak, fingerprint="f1"),
        told(4, fingerprint="f2"),
    )
    (row,) = report.recurring
    assert (row.incidents, row.agents, row.helped, row.category) == (3, 2, "restart", "memory")
    assert (row.error, row.success.hits, row.success.of) == ("MemoryError: no room", 2, 3)
    assert "heap profile" in row.hint
    assert row.first_unix_nano == START + 1000 * MS


@settings(deadline=None)
@given(st.sampled_from(CATEGORIES), st.none() | st.sampled_from(STRATEGIES))
def test_every_pair_has_a_hint(category: Category, helped: Strategy | None) -> None:
    """Whatever failed and whatever helped, there is one sentence that says where to look."""
    assert 20 < len(hint(category, helped)) < 200


def test_what_people_say_counts() -> None:
    """An incident that a person relabelled counts in that category."""
    report = analysed(told(1), relabels={incident(1): Relabel(1, "kim", "storage", None, "it was the disk")})
    assert ([row.category for row in report.categories], report.relabelled) == (["storage"], 1)


def test_clocks_that_disagree_are_no_time() -> None:
    """A recovery that would have ended before it began has no duration, and counts as recovered all the same."""
    report = analysed(told(1, took=-5))
    assert (report.mttr.n, report.success.hits) == (0, 1)


def test_a_report_is_plain_json() -> None:
    """Rows are maps with names, for programs."""
    value = json.loads(json.dumps(facts(analysed(told(1, "recovered", attempt("retry"))))))
    assert value["success"]["hits"] == 1
    assert value["categories"][0]["time"]["n"] == 1
    assert value["strategies"][0]["category"] is None
