"""What became of one fault: what the pipeline told, and what the users of all agents felt, put together.

Whether a fault is over, and whom it or its recovery hurt, is told by the users alone; what the pipeline says of itself
is set beside that. Everything here is a pure function of what was observed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.lab.judging import Felt, felt, noticed, over
from tests.lab.kinds import KINDS
from tests.lab.users import Use

Verdict = Literal["recovered", "person", "failed", "undisturbed", "harmed"]
"""`recovered`: users are served again and nobody was called; `person`: somebody was; `failed`: neither. Of a control:
`undisturbed` or `harmed`.
"""

NOTHING = "none"
PERSON = "escalate"
"""Doing nothing, and calling a person, as the oracle names them among the strategies."""
STATE = "calm"
"""The oracle's name of the state in which faults are met here: nobody but the usual users."""
LIMITING = frozenset(("isolate", "scale_down", "graceful_degradation", "fallback", "failover"))
"""What an agent does less of, or otherwise, until it is lifted."""
CALLS_A_PERSON = frozenset(("escalated", "awaiting_approval", "suppressed", "failed"))
_NO_ANSWER = re.compile(r"[A-Z]\w*: ")
"""How a user writes down that no answer came: the name of an exception. Answers that are wrong are described."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen from outside. Times `_at` are monotonic seconds.

    `outcomes`: the newest of each incident, as on the wire; `unfinished`: incidents without one; `alerts`: as on the
    wire; `uses`: the requests of all users since the injection, by kind.
    """

    fault: str
    kind: str
    category: str
    success: str
    parameters: Mapping[str, Any]
    feels: tuple[str, ...]
    injected_unix_nano: int
    injected_at: float
    ended_at: float
    outcomes: Sequence[Mapping[str, Any]]
    unfinished: int
    alerts: Sequence[Mapping[str, Any]]
    uses: Mapping[str, Sequence[Use]]

    @property
    def name(self) -> str:
        """The case in a line."""
        given = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.fault} on {self.kind}" + (f" ({given})" if given else "")


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt. `held`: it was verified, not undone, and its incident was still recovered at the end."""

    kind: str
    strategy: str
    status: str
    verified: bool
    undone: bool
    held: bool
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Called:
    """Why a person was called."""

    kind: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """Milliseconds; None for what did not come about, or for a control.

    `detect`: from the injection to the first error reported; `decide`: from there to the decision of the incident that
    counts (of several attempts: to the first one's command); `act`: from there until the last attempt was carried out;
    `verified`: from there to the healthy probe.
    """

    detect: float | None = None
    decide: float | None = None
    act: float | None = None
    verified: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one fault. `optimal`: what is, by the oracle, None where that is not measured."""

    name: str
    fault: str
    kind: str
    category: str
    success: str
    parameters: Mapping[str, Any]
    verdict: Verdict
    recovered: bool
    detected_by: str
    first_error: str
    classified: str
    confidence: float | None
    tried: list[Tried]
    first: str
    helped: str
    optimal: list[str] | None
    first_optimal: bool | None
    helped_optimal: bool | None
    noticed_ms: float | None
    over_ms: float | None
    undone: list[str]
    person: list[Called]
    harmed: list[str]
    unfinished: int
    clocks: Clocks
    felt: dict[str, Felt]
    alerts: list[str]
    incidents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    traces: list[str] = field(default_factory=list[str])
    """That of the incident that counts first."""

    @property
    def control(self) -> bool:
        """Whether there was nothing to recover."""
        return self.success == "undisturbed"


def story(seen: Observed, optimal: Sequence[str] | None = None) -> Story:
    """Puts together what was seen; `optimal`: the strategies that the oracle found best for the case."""
    affairs = sorted((o for o in seen.outcomes if o["outcome"] != "rejected"), key=_reported)
    main = _main(affairs, seen.kind)
    tried = [attempt for affair in affairs for attempt in _attempts(affair)]
    tried = [one for _, one in sorted(tried, key=lambda item: item[0])]
    called = [
        Called(_kind(one), one["outcome"], one.get("reason") or "")
        for one in affairs
        if one["outcome"] in CALLS_A_PERSON
    ]
    control = seen.success == "undisturbed"
    helped = _over(seen)
    recovered = helped is not None
    harmed = _harm_of_control(seen, affairs) if control else _harm(seen, affairs, recovered=recovered)
    noticed_at = [at for kind in _watched(seen) if (at := noticed(seen.uses.get(kind, ()), kind)) is not None]
    own = [one.strategy for one in tried if one.kind == seen.kind] or [one.strategy for one in tried]
    first = own[0] if own else PERSON if called else NOTHING
    held = [one.strategy for one in tried if one.held and one.kind == seen.kind]
    held = held or [one.strategy for one in tried if one.held]
    by = held[-1] if held and recovered else NOTHING if recovered and not called else ""
    classification = (main or {}).get("classification") or {}
    alerts = [one for one in seen.alerts if one.get("change") == "raised"]
    return Story(
        name=seen.name,
        fault=seen.fault,
        kind=seen.kind,
        category=seen.category,
        success=seen.success,
        parameters=dict(seen.parameters),
        verdict=_verdict(control=control, recovered=recovered, called=bool(called), harmed=bool(harmed)),
        recovered=recovered,
        detected_by=_kind(affairs[0]) if affairs else "health-monitor" if alerts else "",
        first_error=_said(affairs[0]) if affairs else "",
        classified=classification.get("category", ""),
        confidence=classification.get("confidence"),
        tried=tried,
        first=first,
        helped=by,
        optimal=None if optimal is None else list(optimal),
        first_optimal=None if optimal is None else first in optimal,
        helped_optimal=None if optimal is None or not by else by in optimal,
        noticed_ms=round((min(noticed_at) - seen.injected_at) * 1000, 1) if noticed_at else None,
        over_ms=round((helped - seen.injected_at) * 1000, 1) if noticed_at and helped is not None else None,
        undone=[one.strategy for one in tried if one.undone],
        person=called,
        harmed=harmed,
        unfinished=seen.unfinished + sum(not _final(one) for one in affairs),
        clocks=Clocks() if control else _clocks(seen, affairs, main),
        felt={kind: felt(uses, kind) for kind, uses in seen.uses.items()},
        alerts=[f"{one.get('severity')}: {one.get('key')}: {one.get('summary')}" for one in alerts],
        incidents=[_brief(one) for one in affairs],
        traces=[one["trace_id"] for one in sorted(affairs, key=lambda one: one is not main) if one.get("trace_id")],
    )


def final(outcomes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing more is to be expected of these incidents."""
    return all(_final(one) for one in outcomes)


def served(seen: Observed) -> bool:
    """Whether it is over for the users that the fault is meant for, and for all others."""
    return _over(seen) is not None and all(
        noticed(uses, kind) is None or over(uses, kind) is not None
        for kind, uses in seen.uses.items()
        if seen.success != "contained"
    )


def _verdict(*, control: bool, recovered: bool, called: bool, harmed: bool) -> Verdict:
    if control:
        return "harmed" if harmed else "undisturbed"
    return "person" if called else "recovered" if recovered else "failed"


def _final(outcome: Mapping[str, Any]) -> bool:
    return outcome["outcome"] != "recovered" or bool(outcome.get("settled"))


def _kind(outcome: Mapping[str, Any]) -> str:
    return str(outcome["agent"]["kind"])


def _reported(outcome: Mapping[str, Any]) -> int:
    return int((outcome.get("times") or {}).get("reported") or 0)


def _said(outcome: Mapping[str, Any]) -> str:
    exception = (outcome.get("error") or {}).get("exception") or {}
    return f"{exception.get('type', '')}: {exception.get('message', '')}"[:200]


def _main(affairs: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The incident that counts: of the agent that was hit, first one that was acted on; else whichever came first."""
    if not affairs:
        return None
    return min(affairs, key=lambda one: (_kind(one) != kind, not one.get("attempts"), _reported(one)))


def _attempts(affair: Mapping[str, Any]) -> list[tuple[int, Tried]]:
    attempts: list[Mapping[str, Any]] = affair.get("attempts") or []
    return [
        (
            one["started_unix_nano"],
            Tried(
                kind=_kind(affair),
                strategy=one["strategy"],
                status=one["status"],
                verified=one["verified"],
                undone=bool(one.get("undone")),
                held=one is attempts[-1]
                and one["verified"]
                and not one.get("undone")
                and affair["outcome"] == "recovered"
                and affair.get("settled") is not False,
                milliseconds=round((one["ended_unix_nano"] - one["started_unix_nano"]) / 1e6, 1),
            ),
        )
        for one in attempts
    ]


def _watched(seen: Observed) -> tuple[str, ...]:
    return seen.feels or (seen.kind,)


def _over(seen: Observed) -> float | None:
    """When it was over for all users who feel the fault (monotonic); None if it is not, or they were not asked."""
    ends: list[float] = []
    for kind in _watched(seen):
        uses = seen.uses.get(kind, ())
        end = over([_contained(use) for use in uses] if seen.success == "contained" else uses, kind)
        if end is None:
            return None
        ends.append(end)
    return max(ends)


def _contained(use: Use) -> Use:
    """A request as it counts where it is enough that no wrong answer gets out."""
    return Use(use.at, 0.0, "" if _NO_ANSWER.match(use.wrong) else use.wrong)


def _first_act(seen: Observed, affairs: Sequence[Mapping[str, Any]]) -> float | None:
    """When something was done for the first time (monotonic)."""
    starts = [one["started_unix_nano"] for affair in affairs for one in affair.get("attempts") or ()]
    return seen.injected_at + (min(starts) - seen.injected_unix_nano) / 1e9 if starts else None


def _harm(seen: Observed, affairs: Sequence[Mapping[str, Any]], *, recovered: bool) -> list[str]:
    """Other users who suffer, after something was done, from what is not the fault itself.

    Those whose agent needs the one that was hit suffer from the fault; harm is only that they are not served when that
    is over.
    """
    begun = _first_act(seen, affairs)
    if begun is None:
        return []
    found: list[str] = []
    for kind, uses in seen.uses.items():
        if kind in (seen.kind, *seen.feels):
            continue
        if recovered and noticed(uses, kind) is not None and over(uses, kind) is None:
            found.append(f"{kind}: left unserved")
        elif seen.kind not in _needs(kind) and noticed([use for use in uses if use.at >= begun], kind) is not None:
            found.append(f"{kind}: noticed something after the first action")
    return found


def _harm_of_control(seen: Observed, affairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Anything at all after something was done where there was nothing to do."""
    begun = _first_act(seen, affairs)
    if begun is None:
        return []
    found: list[str] = []
    for kind, uses in seen.uses.items():
        summary = felt([use for use in uses if use.at + use.seconds >= begun], kind)
        if summary.bad:
            found.append(f"{kind}: {summary.bad} bad requests, first {summary.first}"[:200])
    return found + [
        f"{_kind(affair)}: {one['strategy']} is in force"
        for affair in affairs
        for one in affair.get("attempts") or ()
        if one["strategy"] in LIMITING and one["status"] in ("done", "accepted") and not one.get("undone")
    ]


def _needs(kind: str) -> set[str]:
    """All that an agent of a kind needs, directly or not."""
    found = set(KINDS[kind].needs)
    for needed in KINDS[kind].needs:
        found |= _needs(needed)
    return found


def _clocks(seen: Observed, affairs: Sequence[Mapping[str, Any]], main: Mapping[str, Any] | None) -> Clocks:
    if main is None:
        return Clocks()
    times: Mapping[str, int] = main.get("times") or {}
    attempts: Sequence[Mapping[str, Any]] = main.get("attempts") or ()
    decided = attempts[0]["started_unix_nano"] if len(attempts) > 1 else times.get("selected")
    acted = times.get("acted") if attempts else None
    verified = times.get("verified") if attempts and attempts[-1]["verified"] else None
    return Clocks(
        detect=_between(seen.injected_unix_nano, _reported(affairs[0])),
        decide=_between(_reported(main), decided),
        act=_between(decided, acted),
        verified=_between(acted, verified),
    )


def _between(start: int | None, end: int | None) -> float | None:
    return round((end - start) / 1e6, 1) if start and end else None


def _brief(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """An incident as the file tells it."""
    decision, classification = outcome.get("decision") or {}, outcome.get("classification") or {}
    return {
        "incident": outcome.get("incident_id"),
        "agent": f"{_kind(outcome)}/{outcome['agent']['id']}",
        "error": _said(outcome),
        "operation": (outcome.get("error") or {}).get("operation"),
        "errors": outcome.get("error_count"),
        "category": classification.get("category"),
        "severity": classification.get("severity"),
        "outcome": outcome["outcome"],
        "settled": outcome.get("settled"),
        "reason": outcome.get("reason"),
        "rule": decision.get("rule"),
        "attempts": [
            f"{one['strategy']}: {one['status']}{', verified' if one['verified'] else ''}"
            f"{', undone' if one.get('undone') else ''}"
            for one in outcome.get("attempts") or ()
        ],
        "trace": outcome.get("trace_id"),
    }


def optimal_of(
    oracle: Mapping[str, Any] | None, fault: str, kind: str, parameters: Mapping[str, Any]
) -> list[str] | None:
    """What the oracle found best for a case; None where it was not measured, or users often did not notice."""
    for case in (oracle or {}).get("cases", ()):
        if (case["fault"], case["kind"], case.get("state", STATE)) != (fault, kind, STATE):
            continue
        if case.get("parameters", {}) == dict(parameters):
            return list(case["optimal"]) if case.get("counts", True) else None
    return None
