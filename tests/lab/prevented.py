"""What came of growing faults where predictions were acted upon, and where not: failures avoided, and harm. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.lab.recording import Run
from tests.lab.sums import Share, difference

ARMS = ("off", "on")
"""Without anything done before a failure, and with it."""


@dataclass(frozen=True, slots=True)
class Acted:
    """A prediction, and what was done about it. `at`: seconds of the run; `strategy`: "" where nothing was begun."""

    at: float
    agent: str
    probability: float
    strategy: str = ""
    verified: bool = False
    why: str = ""


@dataclass(slots=True)
class Tale:
    """One run in one arm: what was done to the agent, when its users noticed, and what was foretold of all agents."""

    arm: str
    run: Run
    foretold: list[Acted] = field(default_factory=list[Acted])
    others: frozenset[str] = frozenset()
    """Agents of the same toolchain that have a fault of their own, whose predictions are told of there."""

    @property
    def harmful(self) -> bool:
        """Whether the agent fails if nobody does anything."""
        return self.run.what == "fault"

    @property
    def quiet(self) -> bool:
        """Whether nobody had noticed anything before it began: else the machine was too busy to judge."""
        return not self.run.disturbed

    @property
    def felt(self) -> bool:
        """Whether users noticed."""
        return self.run.failed is not None

    def mine(self) -> list[Acted]:
        """What was foretold of the agent, or done to it, after it began and before users noticed."""
        began, until = self.run.began or 0.0, self.run.failed
        return [
            one
            for one in self.foretold
            if one.agent == self.run.agent and began <= one.at and (until is None or one.at < until)
        ]

    def for_nothing(self) -> list[Acted]:
        """Attempts on an agent that nothing was wrong with, or not yet, or that would not have failed."""
        began = self.run.began or 0.0
        return [
            one
            for one in self.foretold
            if one.strategy
            and one.agent not in self.others
            and (one.agent != self.run.agent or one.at < began or not self.harmful)
        ]


@dataclass(frozen=True, slots=True)
class Arm:
    """What the tales of one arm come to; shares of tales on a quiet machine only."""

    failed: Share
    foretold: Share
    """Of the faults: in time, before users noticed."""
    acted: Share
    alike_felt: Share
    """Of look-alikes, and of what is undisturbing: those whose users noticed something."""
    alike_acted: Share
    for_nothing: int
    busy: int
    by_fault: dict[str, Share]
    strategies: dict[str, Share]
    """Attempts before a failure, and how many the agent's own probe found well."""


def arm(tales: Sequence[Tale]) -> Arm:
    """Sums the tales of one arm up."""
    judged = [tale for tale in tales if tale.quiet]
    faults = [tale for tale in judged if tale.harmful]
    alike = [tale for tale in judged if not tale.harmful]
    done = [one for tale in tales for one in _of_tale(tale) if one.strategy]
    return Arm(
        failed=_share(tale.felt for tale in faults),
        foretold=_share(bool(tale.mine()) for tale in faults),
        acted=_share(any(one.strategy for one in tale.mine()) for tale in faults),
        alike_felt=_share(tale.felt for tale in alike),
        alike_acted=_share(any(one.strategy for one in tale.mine()) for tale in alike),
        for_nothing=sum(len(tale.for_nothing()) for tale in tales),
        busy=len(tales) - len(judged),
        by_fault={
            name: _share(tale.felt for tale in faults if tale.run.name == name)
            for name in sorted({tale.run.name for tale in faults})
        },
        strategies={
            strategy: _share(one.verified for one in done if one.strategy == strategy)
            for strategy in sorted({one.strategy for one in done})
        },
    )


def _of_tale(tale: Tale) -> list[Acted]:
    return [one for one in tale.foretold if one.agent not in tale.others]


def _share(hits: Iterable[bool]) -> Share:
    found = list(hits)
    return Share(sum(found), len(found))


def table(arms: dict[str, Arm]) -> str:
    """Both arms for people, and what lies between them."""
    lines: list[str] = []
    for name, found in arms.items():
        lines += [
            f"predictions {'acted upon' if name == 'on' else 'left alone'}",
            f"  faults that users noticed    {found.failed}",
            *(f"    {fault:24} {share}" for fault, share in found.by_fault.items()),
            f"  foretold before that         {found.foretold}",
            f"  acted upon before that       {found.acted}",
            f"  look-alikes noticed          {found.alike_felt}",
            f"  look-alikes acted upon       {found.alike_acted}",
            f"  attempts for nothing         {found.for_nothing}",
            *(f"    {strategy:24} {share} verified" for strategy, share in found.strategies.items()),
        ]
        if found.busy:
            lines.append(f"  not judged                   {found.busy}: users had noticed something before")
    if set(arms) == set(ARMS):
        off, on = (arms[name] for name in ARMS)
        lines.append(f"failures, acting against not:    {difference(off.failed, on.failed)}")
        lines.append(f"look-alikes, acting against not: {difference(off.alike_felt, on.alike_felt)}")
    return "\n".join(lines)


def content(tales: Sequence[Tale], arms: dict[str, Arm], conditions: dict[str, Any]) -> dict[str, Any]:
    """All of it for programs."""

    def shown(found: Arm) -> dict[str, Any]:
        plain: dict[str, Any] = {"for_nothing": found.for_nothing, "busy": found.busy}
        for name in ("failed", "foretold", "acted", "alike_felt", "alike_acted"):
            plain[name] = getattr(found, name).values()
        for name in ("by_fault", "strategies"):
            plain[name] = {key: share.values() for key, share in getattr(found, name).items()}
        return plain

    between = {}
    if set(arms) == set(ARMS):
        off, on = (arms[name] for name in ARMS)
        between = {
            "failures": difference(off.failed, on.failed),
            "look_alikes": difference(off.alike_felt, on.alike_felt),
        }
    return {
        "conditions": conditions,
        "arms": {name: shown(found) for name, found in arms.items()},
        "between": between,
        "tales": [
            {"arm": tale.arm, "run": asdict(tale.run), "foretold": [asdict(one) for one in _of_tale(tale)]}
            for tale in tales
        ],
    }
