"""What the demo shows of a recovery, for better or worse."""

import dataclasses
import io
import sys

import pytest

from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.summaries import AttemptSummary, DecisionSummary, PredictionSummary, Times
from mendbus.demo.faults import FAULTS
from mendbus.demo.report import as_document, table, waterfall
from mendbus.demo.story import Proof, Recovery
from mendbus.demo.telling import Screen

SECOND = 1_000_000_000
PROOF = Proof({"total_text": "1.00"}, {"total_text": "1.00"}, "b1", "b1", ["shop.money"], 7, 7)


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def made(*verified: bool, proof: Proof | None = PROOF) -> Recovery:
    """A recovery with such attempts."""
    attempts = [
        AttemptSummary(
            attempt=number,
            command_id=f"c{number}",
            strategy="retry" if number == 1 else "rollback",
            status="done",
            verified=good,
            undone=not good,
            started_unix_nano=(3 + number) * SECOND,
            ended_unix_nano=(4 + number) * SECOND,
        )
        for number, good in enumerate(verified, start=1)
    ]
    recovered = bool(verified) and verified[-1]
    outcome = RecoveryOutcome(
        incident_id="i1",
        sequence=0,
        agent=AgentRef(kind="runtime", id="demo"),
        fingerprint="v1:0",
        outcome="recovered" if recovered else "escalated",
        reason="\033[31mnothing helped",
        strategy="rollback" if recovered else None,
        attempts=attempts,
        error_count=1,
        event_count=1,
        prediction=PredictionSummary(valid=True, probability=0.9, strategy="rollback", confidence=0.95),
        decision=DecisionSummary(policy="p", rule="ladder", reason="the next rung"),
        times=Times(
            reported=SECOND,
            classified=2 * SECOND,
            assessed=3 * SECOND,
            selected=8 * SECOND,
            commanded=9 * SECOND,
            acted=10 * SECOND,
            verified=11 * SECOND,
        )
        if recovered
        else Times(reported=SECOND, selected=8 * SECOND),
        trace_id="t1",
        settled=recovered or None,
    )
    return Recovery(1, FAULTS[0], SECOND // 2, outcome, proof if recovered else None)


def stages(lines: list[str]) -> list[str]:
    """The first word of each line below the heading."""
    return [line.split()[0] for line in lines[1:]]


def test_a_waterfall_has_a_line_for_every_stage_of_every_attempt() -> None:
    """Attempts that did not help are shown as well as the one that did."""
    lines = waterfall(made(False, True), 160)
    assert stages(lines) == [
        *("reported", "classified", "assessed", "selected", "acted"),
        *("selected", "commanded", "acted", "verified", "proved"),
    ]
    assert "done, not verified, undone" in lines[5]
    assert "rollback (the next rung)" in lines[6]
    assert "fails with 90%, rollback (95% sure)" in lines[3]
    assert "10500.0 ms" in lines[9]


def test_a_recovery_that_failed_is_shown_as_far_as_it_came() -> None:
    """The last line says how it ended, and nothing from the wire reaches the terminal as a command."""
    recovery = made(False)
    lines = waterfall(recovery, 160)
    assert stages(lines) == ["reported", "selected", "acted", "selected", "escalated"]
    assert not any("\033" in line for line in lines)
    assert not as_document([recovery], 1.0)["ok"]
    assert "none" in table([recovery])[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"got": {"total_text": "2.00"}}, "where the last good code gives"),
        ({"build": "b2"}, "build b2 is loaded, and not the last good one, b1"),
    ],
)
def test_another_answer_is_no_proof(changes: dict[str, object], words: str) -> None:
    """A call that gives something else, or code that is not the last good one, leaves a recovery unproved."""
    recovery = made(True, proof=dataclasses.replace(PROOF, **changes))  # pyright: ignore[reportArgumentType]
    assert not recovery.complete
    last = waterfall(recovery, 200)[-1]
    assert last.strip().startswith("not")
    assert words in last
    assert "another answer" in table([recovery])[-1]


def test_lines_are_cut_to_the_width_of_the_terminal() -> None:
    """Long messages do not break the picture."""
    assert max(map(len, waterfall(made(True), 100))) <= 100


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_alone(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, no_color: str, coloured: bool
) -> None:
    """No control sequence goes to a pipe, nor to a terminal of somebody who wants none."""
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("NO_COLOR", no_color)
    screen = Screen()
    screen.recovered(made(True))
    screen.end([made(True)], 1.0)
    assert ("\033" in out.getvalue()) is coloured
    assert "1 of 4 faults recovered" in out.getvalue()
