"""What a strategy is chosen by in the lab's cases, what is learned of their trials, and how good choices are.

A decision sees what the pipeline sees when it decides: the reported exception, the kind of agent, severity, and the
category that the classifier finds; never the fault or its parameters. Records of trials that tell of their errors are
taken at their word. Of older ones, which name only types, messages are those that users were shown, and severity that
of the same error in a run through the whole pipeline.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mendbus.contracts.vocabulary import STRATEGIES, Strategy
from mendbus_strategy_selector.choosing import Learned, said
from mendbus_strategy_selector.decide import DecisionState, decide
from mendbus_strategy_selector.experience import Experience, Lesson, Seen, estimates
from mendbus_strategy_selector.policy import Policy

NOTHING = "none"
SUPPORTED: tuple[Strategy, ...] = tuple(strategy for strategy in STRATEGIES if strategy != "escalate")
SHOWN = re.compile(r"^AgentRefused: (\w+): (.*)$")
"""How an agent's error was shown to its users."""
RETRIED = re.compile(r"failed again in \d+ tries: (.*)$")
"""How a retry in vain tells of it."""

Record = Mapping[str, Any]
Classify = Callable[[str, str], tuple[str, float]]
"""From exception type and message to category and confidence."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One error that an agent reported in a case; `share` of the case's reports, `of_type` of those of its type."""

    case: str
    fault: str
    seen: Seen
    message: str
    severity: str
    confidence: float
    share: float
    control: bool
    of_type: float = 1.0


@dataclass(frozen=True, slots=True)
class Known:
    """What the pipeline made of an error in another run."""

    message: str
    severity: str


def known_errors(lab: Mapping[str, Any]) -> dict[tuple[str, str], Known]:
    """By kind and exception type ("" for any kind), from the result of `tests.lab.faultlab`: the most frequent."""
    found: dict[tuple[str, str], list[Known]] = defaultdict(list)
    for case in lab["cases"]:
        for incident in case["incidents"]:
            kind = incident["agent"].split("/")[0]
            type_, _, message = incident["error"].partition(": ")
            for whose in (kind, ""):
                found[whose, type_].append(Known(message, incident["severity"]))
    return {
        key: Known(told[0].message, Counter(one.severity for one in told).most_common(1)[0][0])
        for key, told in found.items()
    }


def situations(
    cases: Iterable[Mapping[str, Any]],
    records: Mapping[str, Sequence[Record]],
    known: Mapping[tuple[str, str], Known],
    classify: Classify,
) -> list[Situation]:
    """The errors of all folded cases that count; `records` by case. A case without a reported error has none."""
    found: list[Situation] = []
    for case in cases:
        if not case["counts"]:
            continue
        errors = [error for record in records[case["case"]] for error in _errors(record, known)]
        of_type = Counter(error["type"] for error in errors)
        for (type_, severity), number in Counter((e["type"], e["severity"]) for e in errors).items():
            message = _message(records[case["case"]], case["kind"], type_, known)
            category, confidence = classify(type_, message)
            found.append(
                Situation(
                    case["case"],
                    case["fault"],
                    Seen(case["kind"], category, type_, severity=severity),
                    message,
                    severity,
                    confidence,
                    number / len(errors),
                    case["success"] == "undisturbed",
                    number / of_type[type_],
                )
            )
    return found


def _errors(record: Record, known: Mapping[tuple[str, str], Known]) -> list[dict[str, str]]:
    if record.get("errors"):
        # The first one is what is decided on.
        first = record["errors"][0]
        return [{"type": first["type"], "severity": first["severity"] or "error"}]
    return [{"type": type_, "severity": _severity(record["kind"], type_, known)} for type_ in record["reported"]]


def _severity(kind: str, type_: str, known: Mapping[tuple[str, str], Known]) -> str:
    found = known.get((kind, type_)) or known.get(("", type_))
    return found.severity if found else "error"


def _message(records: Iterable[Record], kind: str, type_: str, known: Mapping[tuple[str, str], Known]) -> str:
    shown: Counter[str] = Counter()
    for record in records:
        shown.update(error["message"] for error in record.get("errors", ()) if error["type"] == type_)
        if record["code"] == type_ and (retried := RETRIED.search(record["detail"])):
            shown[retried[1]] += 1
        for felt in record["felt"]:
            told = SHOWN.match(felt["first"])
            if told and told[1] == type_.rpartition(".")[2]:
                shown[told[2]] += 1
    if shown:
        return shown.most_common(1)[0][0]
    found = known.get((kind, type_)) or known.get(("", type_))
    return found.message if found else ""


def lessons(situation: Situation, records: Iterable[Record]) -> list[Lesson]:
    """What the trials of a case teach of one of its errors. However often it was repeated, a strategy counts once, and
    so does an error that was reported now as grave and now as less so."""
    tried = [r for r in records if r["strategy"] != NOTHING and situation.seen.type in r["reported"]]
    times = Counter(record["strategy"] for record in tried)
    return [
        Lesson(
            situation.seen,
            record["strategy"],
            record["recovered"],
            record["seconds"],
            situation.of_type / times[record["strategy"]] / len(record["reported"]),
        )
        for record in tried
    ]


def fit(chosen: Iterable[Situation], records: Mapping[str, Sequence[Record]]) -> Experience:
    """Everything that the trials of these errors teach."""
    return experience_of(lesson for situation in chosen for lesson in lessons(situation, records[situation.case]))


def experience_of(taught: Iterable[Lesson]) -> Experience:
    """All these lessons together."""
    found = Experience()
    for lesson in taught:
        found.learn(lesson)
    return found


def without_each(
    chosen: Sequence[Situation], records: Mapping[str, Sequence[Record]], of: Callable[[Situation], str]
) -> dict[str, Experience]:
    """By fault (or whatever `of` says): what all the others teach."""
    return {
        name: fit((one for one in chosen if of(one) != name), records) for name in sorted({of(one) for one in chosen})
    }


def state_of(situation: Situation, learned: Learned | None = None) -> DecisionState:
    """The state of a first decision on an error. Where work goes on a warning's probe is healthy."""
    return DecisionState(
        severity=situation.severity,  # type: ignore[arg-type]
        category=situation.seen.category,  # type: ignore[arg-type]
        confidence=situation.confidence,
        probe="healthy" if situation.control and situation.severity == "warning" else None,
        supported=list(SUPPORTED),
        tried=[],
        learned=learned,
    )


def expected(experience: Experience, situation: Situation, seed: int = 0) -> Learned:
    """What is expected of each strategy, as a model in use tells it."""
    return said("lab", seed, estimates((experience,), situation.seen, SUPPORTED), acts=True)


def chosen_by(policy: Policy, situation: Situation, learned: Learned | None) -> str:
    """What is decided first, in the oracle's words."""
    choice = decide(policy, state_of(situation, learned))
    if choice.outcome == "no_action":
        return NOTHING
    return "escalate" if choice.outcome == "escalated" else str(choice.strategy)


@dataclass(frozen=True, slots=True)
class Judged:
    """How good the choices of a case were: share that was optimal, and what was lost against the best."""

    fault: str
    optimal: float
    regret: float


def judge(
    chosen: Sequence[Situation], folded: Mapping[str, Mapping[str, Any]], choose: Callable[[Situation], str]
) -> dict[str, Judged]:
    """By case; of several errors of a case each counts by its share of the reports."""
    found: dict[str, Judged] = {}
    for one in chosen:
        case, strategy = folded[one.case], choose(one)
        worth = {name: float(row[0]) for name, row in case["strategies"].items()}
        before = found.get(one.case, Judged(one.fault, 0.0, 0.0))
        lost = max(worth.values()) - worth.get(strategy, min(worth.values()))
        found[one.case] = Judged(
            one.fault,
            before.optimal + one.share * (strategy in case["optimal"]),
            before.regret + one.share * lost,
        )
    return found


def ceiling(
    chosen: Sequence[Situation], folded: Mapping[str, Mapping[str, Any]], facts: Callable[[Situation], object]
) -> float:
    """The share optimal of the best choice by these facts alone, made knowing every answer: a strategy, a person, or
    nothing.
    """
    groups: dict[object, list[Situation]] = defaultdict(list)
    for one in chosen:
        groups[facts(one)].append(one)
    cases, everything = len({one.case for one in chosen}), (*SUPPORTED, "escalate", NOTHING)
    best = sum(
        max(sum(one.share for one in group if name in folded[one.case]["optimal"]) for name in everything)
        for group in groups.values()
    )
    return best / cases


def mean(judged: Mapping[str, Judged], of: Callable[[Judged], float]) -> float:
    """Over cases."""
    return fmean(of(one) for one in judged.values())
