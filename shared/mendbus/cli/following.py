"""Follows the recovery of one agent: its outcomes and its health, until it is recovered or given up."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from mendbus import codec
from mendbus.asking.incidents import fold, read_outcomes
from mendbus.bus import Message
from mendbus.cli.listing import standing
from mendbus.cli.output import clean, ms
from mendbus.contracts.messages import HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

if TYPE_CHECKING:
    from mendbus.bus import Bus

Verdict = Literal["recovered", "given_up", "under_way", "unnoticed"]
"""`given_up`: a person is called, or nothing more is done; `unnoticed`: there was no incident."""

_WELL: Final = frozenset(("excellent", "good"))
_LOOK_SECONDS: Final = 0.25


class Recovery:
    """What one agent's incidents come to from now on. `tell` is given each news as a line."""

    def __init__(self, agent: tuple[str, str], tell: Callable[[str], None]) -> None:
        self._agent = agent
        self._tell = tell
        self._before: dict[str, RecoveryOutcome] = {}
        self._told: dict[str, RecoveryOutcome] = {}
        self._health: list[HealthStatus] = []
        self._news = asyncio.Event()

    async def listen(self, bus: "Bus", subjects: Subjects) -> None:
        """Returns when nothing can be missed any more."""
        self._before = fold(await read_outcomes(bus, subjects, self._agent))
        await bus.subscribe(subjects.outcome(*self._agent), self._hear_outcome)
        await bus.subscribe(subjects.status(*self._agent), self._hear_status)
        await bus.barrier()

    async def _hear_outcome(self, message: Message) -> None:
        self.take(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))

    async def _hear_status(self, message: Message) -> None:
        self.take_status(codec.decode(HealthStatus, message.body, MAX_SERVICE_BODY))

    def take(self, outcome: RecoveryOutcome) -> None:
        """An outcome. What only tells the rest of an incident from before is none of this."""
        before = self._before.get(outcome.incident_id)
        if before is not None and outcome.error_count == before.error_count:
            return
        known = self._told.get(outcome.incident_id)
        if known is not None and known.sequence >= outcome.sequence:
            return
        self._told[outcome.incident_id] = outcome
        strategy = f" by {outcome.strategy}" if outcome.strategy else ""
        error = f"  {outcome.error.exception.type}: {outcome.error.exception.message}" if outcome.error else ""
        self._tell(clean(f"{standing(outcome)}{strategy}  incident {outcome.incident_id}{error}", 200))
        self._news.set()

    def take_status(self, status: HealthStatus) -> None:
        """A health status; only a change is news."""
        if self._health and self._health[-1].status == status.status:
            return
        self._health.append(status)
        self._tell(clean(f"health {status.status}  {status.score:.0f} %  {status.reason}", 200))
        self._news.set()

    @property
    def verdict(self) -> Verdict:
        """How it stands, over all incidents."""
        if not self._told:
            return "unnoticed"
        if any(_given_up(outcome) for outcome in self._told.values()):
            return "given_up"
        return "recovered" if all(_recovered(outcome) for outcome in self._told.values()) else "under_way"

    async def follow(self, not_before: float, until: float) -> None:
        """Returns when it is given up; when it is recovered and the fault, at `not_before`, over; at `until` at the
        latest (all in seconds of the loop).
        """
        loop = asyncio.get_running_loop()
        while (now := loop.time()) < until:
            verdict = self.verdict
            if verdict == "given_up" or (verdict == "recovered" and now >= not_before):
                return
            self._news.clear()
            try:
                async with asyncio.timeout_at(min(until, now + _LOOK_SECONDS)):
                    _ = await self._news.wait()
            except TimeoutError:
                continue

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "verdict": self.verdict,
            "outcomes": [outcome.model_dump(exclude_none=True) for outcome in self._told.values()],
            "health": [{"status": one.status, "time_unix_nano": one.time_unix_nano} for one in self._health],
            "trace_ids": [outcome.trace_id for outcome in self._told.values() if outcome.trace_id],
        }

    def summary(self) -> list[str]:
        """For people."""
        words = {
            "recovered": "recovered",
            "given_up": "given up: a person is needed",
            "under_way": "not recovered in time",
            "unnoticed": "no incident came of it",
        }
        lines = [words[self.verdict]]
        if self._health and self._health[-1].status not in _WELL:
            lines[0] += f"; its health is {self._health[-1].status}"
        for outcome in self._told.values():
            times = outcome.times
            took = times.verified - times.reported if times.verified and times.reported else None
            trace = f", mendbus trace {outcome.trace_id[:12]}" if outcome.trace_id else ""
            lines.append(
                clean(f"  {outcome.incident_id}  {standing(outcome)}, {ms(took)} from error to healthy probe{trace}")
            )
        return lines


def _recovered(outcome: RecoveryOutcome) -> bool:
    if outcome.outcome == "no_action":
        return True
    return outcome.outcome == "recovered" and outcome.settled is True and not outcome.undone


def _given_up(outcome: RecoveryOutcome) -> bool:
    return outcome.outcome not in ("recovered", "no_action")
