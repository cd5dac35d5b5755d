"""What faults are to be detected, what was heard of them, and what that comes to. Pure."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.lab.sums import Share

RESOURCES = {"leak": "memory_bytes", "descriptors": "descriptors", "disk": "disk_percent", "backlog": "queue_depth"}
"""What each of these faults uses up."""
SLOWER = ("delay", "drop", "scan")
"""What only gets worse: answers from elsewhere, connections there, and one call that everything else waits for."""
AT_ONCE = ("leak", "descriptors", "disk", "backlog", "leak", "disk", "delay", "drop", "delay", "scan", "", "")
"""What befalls the agents of one round, two of them nothing; one `scan` only, since it takes a core."""
TAKES = (30.0, 60.0, 90.0)
"""Seconds from nothing to the limit."""
EXHAUSTION_MUST, DEGRADATION_MUST = 0.889, 0.921
WORSE = frozenset(("fair", "poor", "critical", "failed"))
_HARM = frozenset(("degradation", "exhaustion", "agent_critical", "agent_failed"))
_Z = 1.96
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the health-monitor told: a status, or an alert that was raised. `at`: seconds since 1970.

    `what`: the status, or the alert's rule; `metric`: which one the alert names, "" for none.
    """

    at: float
    agent: str
    what: str
    metric: str = ""
    alert: bool = False


@dataclass(slots=True)
class Case:
    """One agent of a round: what befell it, from when on, and when that was over for it. Times as in `Heard`.

    `over`: when the resource had run out; `noticed`: when those who wait for its answers had noticed.
    """

    agent: str
    fault: str
    takes: float = 0.0
    known: float = 0.0
    began: float | None = None
    ended: float = 0.0
    over: float | None = None
    noticed: float | None = None
    heard: list[Heard] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        """Until when it was of use to be told: before the resource ran out, or before anybody noticed."""
        at = self.over if self.fault in RESOURCES else self.noticed
        return self.ended if at is None else at

    def found(self) -> Heard | None:
        """What told of it first, in time: a worse status or an alert that names the agent, and the resource if any."""
        if self.began is None:
            return None
        return next((one for one in self.heard if self.began <= one.at < self.deadline and self._fits(one)), None)

    def told_late(self) -> bool:
        """Whether it was told after all, but too late."""
        began = self.began
        return not self.found() and any(began is not None and one.at >= began and self._fits(one) for one in self.heard)

    def _fits(self, one: Heard) -> bool:
        if self.fault in RESOURCES:
            return one.what == "exhaustion" and one.metric == RESOURCES[self.fault]
        return one.what in (_HARM if one.alert else WORSE)

    def false(self) -> list[Heard]:
        """Alerts while nothing was wrong with it."""
        return [one for one in self.heard if one.alert and one.what in _HARM and one.at < (self.began or self.ended)]

    @property
    def quiet_seconds(self) -> float:
        """How long nothing was wrong with it."""
        return max(0.0, (self.began or self.ended) - self.known)


def plan(rounds: int, agents: int, seed: int) -> list[list[Case]]:
    """The rounds of a seed: as many agents in each, what befalls them in a drawn order, at drawn rates."""
    chance = random.Random(f"detection {seed}")
    drawn: list[list[Case]] = []
    for number in range(rounds):
        faults = [AT_ONCE[place % len(AT_ONCE)] for place in range(agents)]
        chance.shuffle(faults)
        drawn.append([Case(f"v{number}-{p}", f, chance.choice(TAKES) if f else 0.0) for p, f in enumerate(faults)])
    return drawn


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many days."""

    count: int
    days: float

    def interval(self) -> tuple[float, float]:
        """Of 95 %, a day: Byar's approximation of the Poisson interval, as in Breslow and Day, "Statistical Methods in
        Cancer Research" II (1987), 2.3."""
        k = self.count
        low = k * (1 - 1 / (9 * k) - _Z / (3 * math.sqrt(k))) ** 3 if k else 0.0
        high = (k + 1) * (1 - 1 / (9 * (k + 1)) + _Z / (3 * math.sqrt(k + 1))) ** 3
        return low / max(self.days, 1e-9), high / max(self.days, 1e-9)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.count} in {self.days:.3f} agent-days: {self.count / max(self.days, 1e-9):.2f} a day ({low:.2f} to {high:.2f})"  # noqa: E501


@dataclass(frozen=True, slots=True)
class Sums:
    """What all cases come to."""

    exhaustion: Share
    degradation: Share
    late: int
    by_fault: dict[str, Share]
    delays: dict[str, float]
    """Median seconds from the beginning until it was told, by fault."""
    leads: dict[str, float]
    """Median seconds from then until it was over, or noticed, by fault."""
    disturbed: Share
    """Agents with nothing wrong whose users noticed something all the same."""
    false: Rate
    false_of: dict[str, int]
    """Alerts while nothing was wrong, by rule and metric."""

    @property
    def missed(self) -> list[str]:
        """A sentence for each must that was missed."""
        musts = (("exhaustion", self.exhaustion, EXHAUSTION_MUST), ("degradation", self.degradation, DEGRADATION_MUST))
        return [
            f"{what}: {share}, must be at least {must:.1%}"
            for what, share, must in musts
            if (share.value or 0.0) < must
        ]


def sums(cases: Sequence[Case]) -> Sums:
    """Sums cases up."""
    brought = [case for case in cases if case.began is not None]
    false = [one for case in cases for one in case.false()]
    names = sorted({case.fault for case in brought})
    return Sums(
        exhaustion=_share(case for case in brought if case.fault in RESOURCES),
        degradation=_share(case for case in brought if case.fault in SLOWER),
        late=sum(case.told_late() for case in brought),
        by_fault={name: _share(case for case in brought if case.fault == name) for name in names},
        delays=_medians({name: [_delay(case) for case in brought if case.fault == name] for name in names}),
        leads=_medians({name: [_lead(case) for case in brought if case.fault == name] for name in names}),
        disturbed=_of(case.noticed is not None for case in cases if not case.fault),
        false=Rate(len(false), sum(case.quiet_seconds for case in cases) / _DAY),
        false_of=_counted(f"{one.what} {one.metric}".strip() for one in false),
    )


def _share(cases: Iterable[Case]) -> Share:
    return _of(case.found() is not None for case in cases)


def _of(hits: Iterable[bool]) -> Share:
    found = list(hits)
    return Share(sum(found), len(found))


def _delay(case: Case) -> float | None:
    found = case.found()
    return None if found is None or case.began is None else found.at - case.began


def _lead(case: Case) -> float | None:
    found = case.found()
    return None if found is None or case.deadline == case.ended else case.deadline - found.at


def _medians(times: dict[str, list[float | None]]) -> dict[str, float]:
    known = {name: [one for one in of if one is not None] for name, of in times.items()}
    return {name: round(median(of), 2) for name, of in known.items() if of}


def _counted(names: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return counted


def content(cases: Sequence[Case], found: Sums, conditions: dict[str, Any]) -> dict[str, Any]:
    """All of it for programs."""
    low, high = found.false.interval()
    return {
        "conditions": conditions,
        "exhaustion": found.exhaustion.values(),
        "degradation": found.degradation.values(),
        "told_late": found.late,
        "disturbed": found.disturbed.values(),
        "by_fault": {name: share.values() for name, share in found.by_fault.items()},
        "median_seconds_until_told": found.delays,
        "median_seconds_ahead": found.leads,
        "false": asdict(found.false) | {"a_day": [low, high], "of": found.false_of},
        "missed": found.missed,
        "cases": [asdict(case) for case in cases],
    }


def table(found: Sums) -> str:
    """All of it for people."""
    lines = [f"exhaustion foretold   {found.exhaustion}", f"degradation found     {found.degradation}"]
    for name, share in found.by_fault.items():
        told = f", told after {found.delays[name]:.0f} s" if name in found.delays else ""
        ahead = f", {found.leads[name]:.0f} s ahead" if name in found.leads else ""
        lines.append(f"  {name:12} {share}{told}{ahead}")
    lines.append(f"told, but too late    {found.late}")
    lines.append(f"false alerts          {found.false}")
    lines += [f"  {name}: {count}" for name, count in found.false_of.items()]
    return "\n".join(lines)
