"""What the demo shows of its recoveries: stages with their times, as lines for people and as values for programs."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.summaries import AttemptSummary
from mendbus.demo.story import Proof, Recovery

_BAR: Final = 36
_BESIDE_NOTE: Final = 30 + _BAR


class Step(NamedTuple):
    """A stage of a recovery: from when to when it lasted, in nanoseconds since 1970, and what came of it."""

    stage: str
    begun: int
    reached: int
    note: str


def steps(recovery: Recovery) -> list[Step]:
    """The stages that were reached, in order; each begins where the one before ended."""
    outcome = recovery.outcome
    times, attempts = outcome.times, outcome.attempts
    reached: list[tuple[str, int | None, str]] = [
        ("reported", times.reported, _error(outcome)),
        ("classified", times.classified, _classification(outcome)),
        ("assessed", times.assessed, _prediction(outcome)),
    ]
    last = attempts[-1] if attempts and attempts[-1].verified else None
    for attempt in attempts if last is None else attempts[:-1]:
        reached.append(("selected", attempt.started_unix_nano, attempt.strategy))
        reached.append(("acted", attempt.ended_unix_nano, _attempt(attempt)))
    reached.append(("selected", times.selected, _decision(outcome)))
    if last is not None:
        reached.append(("commanded", times.commanded, ""))
        reached.append(("acted", times.acted, last.status))
        reached.append(("verified", times.verified, "the probe is healthy"))
    found: list[Step] = []
    before = recovery.broken_unix_nano
    for stage, when, note in reached:
        if when is not None:
            found.append(Step(stage, before, when, note))
            before = when
    return found


def _error(outcome: RecoveryOutcome) -> str:
    error = outcome.error
    if error is None:
        return ""
    kind = error.exception.type.rpartition(".")[2]
    return f"{kind}: {error.exception.message}"


def _classification(outcome: RecoveryOutcome) -> str:
    found = outcome.classification
    return f"{found.category}, {found.severity} ({found.confidence:.0%} sure, {found.model})" if found else ""


def _prediction(outcome: RecoveryOutcome) -> str:
    found = outcome.prediction
    if found is None or not found.valid:
        return "no valid prediction"
    return f"fails with {found.probability:.0%}, {found.strategy} ({found.confidence:.0%} sure)"


def _attempt(attempt: AttemptSummary) -> str:
    undone = ", undone" if attempt.undone else ""
    return f"{attempt.status}, {'verified' if attempt.verified else 'not verified'}{undone}"


def _decision(outcome: RecoveryOutcome) -> str:
    why = f" ({outcome.decision.reason})" if outcome.decision else ""
    return f"{outcome.strategy or outcome.outcome}{why}"


def verified_ms(recovery: Recovery) -> float | None:
    """Milliseconds from the report to the healthy probe."""
    times = recovery.outcome.times
    if times.reported is None or times.verified is None:
        return None
    return (times.verified - times.reported) / 1e6


def waterfall(recovery: Recovery, width: int) -> list[str]:
    """A recovery as lines: one for what was broken, one for each stage, one for what it led to."""
    found = steps(recovery)
    begin, end = recovery.broken_unix_nano, max(step.reached for step in found)
    scale = _BAR / max(1, end - begin)
    room = max(24, width - _BESIDE_NOTE)
    lines = [f"{recovery.number}  {recovery.fault.title}  ({recovery.fault.agent})"]
    for step in found:
        start = min(_BAR - 1, max(0, int((step.begun - begin) * scale)))
        length = max(1, round((step.reached - step.begun) * scale))
        bar = (" " * start + "█" * length)[:_BAR]
        lines.append(
            f"   {step.stage:<10} {(step.reached - begin) / 1e6:9.1f} ms  {bar:<{_BAR}}  {_line(step.note, room)}"
        )
    if recovery.proof is not None:
        end_of_it, words = "proved" if recovery.proved else "not proved", _proof(recovery.proof)
    else:
        end_of_it, words = recovery.outcome.outcome, recovery.outcome.reason or ""
    lines.append(f"   {end_of_it:<10} {'':12}  {'':<{_BAR}}  {_line(words, room)}")
    return [line.rstrip() for line in lines]


def _proof(proof: Proof) -> str:
    if proof.got != proof.expected:
        return f"{proof.got}, where the last good code gives {proof.expected}"
    if proof.build != proof.expected_build:
        return f"build {proof.build} is loaded, and not the last good one, {proof.expected_build}"
    worker = f"worker {proof.worker}"
    if proof.worker != proof.worker_before:
        worker += f" in place of {proof.worker_before}"
    elif proof.reloaded:
        worker += f" with {len(proof.reloaded)} modules reloaded"
    return f"{proof.got['total_text']}, as the last good code gives, by {worker}"


def _line(text: str, room: int) -> str:
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return clean if len(clean) <= room else f"{clean[: room - 1]}…"


_COLUMNS: Final = (
    "#",
    "fault",
    "agent",
    "category",
    "strategy",
    "attempts",
    "outcome",
    "verified",
    "settled",
    "spans",
    "proof",
)


def table(recoveries: Sequence[Recovery]) -> list[str]:
    """All recoveries as a table."""
    rows = [_COLUMNS, *(_row(recovery) for recovery in recoveries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _row(recovery: Recovery) -> tuple[str, ...]:
    outcome, took, trace = recovery.outcome, verified_ms(recovery), recovery.trace
    return (
        str(recovery.number),
        recovery.fault.name,
        recovery.fault.agent,
        outcome.classification.category if outcome.classification else "-",
        outcome.strategy or "-",
        str(len(outcome.attempts)),
        outcome.outcome,
        "-" if took is None else f"{took:.1f} ms",
        "yes" if outcome.settled else "no",
        str(trace.spans) if trace else "-",
        "same answer" if recovery.proved else "none" if recovery.proof is None else "another answer",
    )


def as_document(recoveries: Sequence[Recovery], seconds: float) -> dict[str, Any]:
    """Everything the tables and waterfalls show, for programs; times in milliseconds since the fault."""
    return {
        "ok": all(recovery.complete for recovery in recoveries),
        "seconds": round(seconds, 3),
        "recoveries": [_document(recovery) for recovery in recoveries],
    }


def _document(recovery: Recovery) -> dict[str, Any]:
    outcome, proof, trace = recovery.outcome, recovery.proof, recovery.trace
    took = verified_ms(recovery)
    return {
        "fault": recovery.fault.name,
        "agent": recovery.fault.agent,
        "error": _error(outcome),
        "incident_id": outcome.incident_id,
        "category": outcome.classification.category if outcome.classification else None,
        "severity": outcome.classification.severity if outcome.classification else None,
        "strategy": outcome.strategy,
        "attempts": [attempt.model_dump(exclude_none=True) for attempt in outcome.attempts],
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "settled": bool(outcome.settled),
        "verified_ms": None if took is None else round(took, 3),
        "stages": [
            {"stage": step.stage, "ms": round((step.reached - recovery.broken_unix_nano) / 1e6, 3), "note": step.note}
            for step in steps(recovery)
        ],
        "proof": None
        if proof is None
        else {
            "holds": proof.holds,
            "got": proof.got,
            "expected": proof.expected,
            "build": proof.build,
            "expected_build": proof.expected_build,
            "reloaded": list(proof.reloaded),
            "worker": proof.worker,
            "worker_before": proof.worker_before,
        },
        "trace": {
            "trace_id": outcome.trace_id,
            "spans": trace.spans if trace else None,
            "services": list(trace.services) if trace else None,
        },
        "complete": recovery.complete,
    }
