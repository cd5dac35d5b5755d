"""What `explain` and `watch` say about an incident."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.samples import AGENT, INCIDENT, REPORTED, classification, opened, outcome

from mendbus.asking.incidents import Noted
from mendbus.cli.explaining import lines_of, waterfall
from mendbus.cli.listing import standing
from mendbus.cli.watching import sentence
from mendbus.contracts.journal import Decided
from mendbus.contracts.messages import Alert, HealthStatus
from mendbus.contracts.summaries import PredictionSummary, Times


def test_everything_about_an_incident_is_told() -> None:
    """What failed, what was found, decided, rejected, tried and reached stands in the text, in this order."""
    first = outcome(sequence=0, settled=None)
    text = "\n".join(lines_of([first, outcome()], []))
    expected = [
        f"incident {INCIDENT}: recovered by retry",
        "because         the probe is healthy",
        "agent           runtime/r1",
        "error           ValueError: boom [red]?[31m",
        "caused by     KeyError: 'k'",
        "operation       reload",
        "at            app.py:7 serve",
        "reported        2023-11-14 22:13:20.000Z",
        "errors          3 in 2 events, fingerprint v1:abc",
        "classification  build, error (confidence 0.80, by rules-v1)",
        "prediction      fails with probability 0.90, recommends retry (confidence 0.70), by base",
        "decision        retry: the next rung (rule ladder, policy d1gest)",
        "not           restart               not supported by the agent",
        "attempt 1       rollback              done, not verified, undone, 5.0 ms",
        "attempt 2       retry                 done, verified, 5.0 ms",
        "verified        25.0 ms |",
        "0  recovered (settling), 3 errors",
        "1  recovered, 3 errors",
        "trace           0af7651916cd43dd8448eb211c80319c",
    ]
    place = 0
    for words in expected:
        found = text.find(words, place)
        assert found >= 0, f"{words!r} is not in what follows:\n{text[place:]}"
        place = found
    assert all(line.isprintable() for line in text.splitlines())


def test_what_is_not_known_is_not_told() -> None:
    """An outcome with the required fields alone is explained without a guess."""
    bare = outcome(
        reason=None,
        strategy=None,
        attempts=[],
        error=None,
        classification=None,
        prediction=None,
        decision=None,
        times=Times(),
        trace_id="",
        outcome="escalated",
        settled=None,
        fingerprint="",
        event_count=1,
    )
    assert list(lines_of([bare], [])) == [
        f"incident {INCIDENT}: escalated",
        "  agent           runtime/r1",
        "  errors          3, fingerprint -",
    ]


def test_a_prediction_that_is_not_valid_says_so() -> None:
    """What was not used is told as not used."""
    invalid = PredictionSummary(valid=False, probability=0.0)
    assert "  prediction      not valid, not used" in lines_of([outcome(prediction=invalid)], [])


def test_an_incident_without_an_outcome_is_told_from_the_journal() -> None:
    """What is under way has its error, its trace and its entries."""
    decided = Decided(
        incident_id=INCIDENT,
        attempt=1,
        strategy="retry",
        decision=outcome().decision,  # pyright: ignore[reportArgumentType]
        classification=classification(),
    )
    journal = [Noted(3, 7, REPORTED, "selector/x", opened()), Noted(3, 8, REPORTED, "selector/x", decided)]
    lines = list(lines_of([], journal))
    assert lines[0] == f"incident {INCIDENT}: under way, there is no outcome yet"
    assert "  agent           runtime/r1" in lines
    assert any(line.startswith("    3/7      2023-11-14 22:13:20.000Z  opened ") for line in lines)
    assert any(line.startswith("    3/8 ") and '"rule": "ladder"' in line for line in lines)


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**15)), min_size=7, max_size=7))
def test_stages_are_told_in_the_order_they_happened(at: list[int | None]) -> None:
    """Whatever times an outcome holds, each stage that was reached has one line, bars of one width, in order."""
    times = Times(**dict(zip(Times.model_fields, at, strict=True)))
    lines = list(waterfall(times))
    assert len(lines) == sum(one is not None for one in at)
    assert len({len(line.split("|")[1]) for line in lines}) <= 1
    offsets = [float(line.split()[1]) for line in lines]
    assert offsets == sorted(offsets)


def test_the_standing_of_an_incident_says_what_is_to_come() -> None:
    """Recovered and settling differs from recovered; what was undone says so."""
    assert standing(outcome(settled=None)) == "recovered (settling)"
    assert standing(outcome()) == "recovered"
    assert standing(outcome(outcome="escalated", undone=True)) == "escalated (undone)"


def test_messages_are_told_in_one_line() -> None:
    """An outcome, an alert and a status each say who, what and why."""
    assert sentence(outcome()) == f"runtime/r1 recovered by retry 25.0 ms x3 {INCIDENT} - the probe is healthy"
    alert = Alert(
        id="a1",
        key="k",
        time_unix_nano=REPORTED,
        severity="major",
        state="raised",
        agent=AGENT,
        summary="it is silent",
        hint="look there",
    )
    assert sentence(alert) == "major raised runtime/r1 it is silent - look there"
    status = HealthStatus(
        id="s1", time_unix_nano=REPORTED, agent=AGENT, status="poor", previous="good", score=61.4, reason="slow"
    )
    assert sentence(status) == "runtime/r1 poor 61 % (was good) - slow"
