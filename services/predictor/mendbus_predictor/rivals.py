"""The model in use and the one in trial, both judged by what came of their alarms. Pure, on any clock.

A failure is a case: who alarmed within a horizon before it was right. An alarm that nothing came of is a case, too: who
raised it was wrong, and the other was right if it was quiet. So a failure missed and a false alarm weigh the same.
Cases in which somebody acted, an agent left, or nobody could look are none; both alarms are left out then.
"""

from dataclasses import dataclass, field
from typing import Final

from mendbus.contracts.messages import HealthStatus
from mendbus.foretold import Prediction, is_failure
from mendbus.lift import Trial
from mendbus_predictor.alarm import COOL_DOWN_SECONDS

MAX_AGENTS: Final = 1000
"""Agents whose alarms wait; those of further ones are no cases."""
MAX_FAILED: Final = 10_000
"""Failed agents that are remembered as such."""
GAP_SECONDS: Final = 5.0
"""Without a look for so long, nobody could look."""
_LOOK_SECONDS: Final = 1.0
_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class _Alarm:
    new: bool
    prediction: Prediction
    others: list["_Alarm"] = field(default_factory=list["_Alarm"])
    """Alarms of the other model that stood at the same time."""

    @property
    def false(self) -> bool:
        return self.prediction.counts and not self.prediction.came


@dataclass(slots=True)
class _Failure:
    foretelling: list[_Alarm]


@dataclass(slots=True)
class _Agent:
    alarms: list[_Alarm] = field(default_factory=list[_Alarm])
    failures: list[_Failure] = field(default_factory=list[_Failure])
    """Those that somebody foretold and that are not judged yet."""


class Rivals:
    """Counts a trial from its beginning; times in nanoseconds."""

    def __init__(self, trial: Trial, now: int) -> None:
        self.trial = trial
        # What the model in use foretold before it may not be told again for so long: until then it seems to be quiet.
        self._since = now + round(COOL_DOWN_SECONDS * _NANO)
        self._looked = now
        self._agents: dict[str, _Agent] = {}
        self._failed: set[str] = set()

    def alarm(self, key: str, until: int, now: int, *, new: bool) -> None:
        """The model in trial (`new`) or the one in use raised an alarm about an agent, whose horizon ends then."""
        agent = self._agents.get(key)
        if key in self._failed:
            # Too late to be right or wrong.
            return
        if agent is None:
            if len(self._agents) >= MAX_AGENTS:
                return
            agent = self._agents[key] = _Agent()
        alarm = _Alarm(new, Prediction(now, until))
        for other in agent.alarms:
            if other.new != new and now <= other.prediction.until_unix_nano:
                other.others.append(alarm)
                alarm.others.append(other)
        agent.alarms.append(alarm)

    def hear(self, status: HealthStatus, now: int) -> None:
        """How an agent is, by any replica of the health-monitor: what several of them tell happens once."""
        key = status.agent.key
        if status.status == "failed":
            if is_failure(status) and key not in self._failed:
                self._fail(key, now)
            if len(self._failed) < MAX_FAILED:
                self._failed.add(key)
            return
        self._failed.discard(key)
        if status.status == "retired":
            for alarm in self._of(key).alarms:
                alarm.prediction.leave(now)

    def _fail(self, key: str, now: int) -> None:
        agent = self._of(key)
        foretelling = [alarm for alarm in agent.alarms if alarm.prediction.foretells(now)]
        for alarm in foretelling:
            alarm.prediction.came = True
        if now < self._since:
            return
        if foretelling:
            agent.failures.append(_Failure(foretelling))
        else:
            self.trial.count(used_right=False, new_right=False)

    def act(self, key: str, first_unix_nano: int, last_unix_nano: int) -> None:
        """Something was done about a prediction of an agent's failure, between these two moments."""
        for alarm in self._of(key).alarms:
            alarm.prediction.act(first_unix_nano, last_unix_nano)

    def look(self, now: int) -> None:
        """Judges what is due; call it all the time."""
        if 0 <= now - self._looked < _LOOK_SECONDS * _NANO:
            return
        looked, self._looked = self._looked, now
        if not 0 <= now - looked <= GAP_SECONDS * _NANO:
            for agent in self._agents.values():
                for alarm in agent.alarms:
                    alarm.prediction.unseen(min(looked, now), max(looked, now))
        for key, agent in list(self._agents.items()):
            self._judge(agent, now)
            if not agent.alarms:
                del self._agents[key]

    def _of(self, key: str) -> _Agent:
        return self._agents.get(key) or _Agent()

    def _judge(self, agent: _Agent, now: int) -> None:
        for failure in [one for one in agent.failures if _all_due(one.foretelling, now)]:
            agent.failures.remove(failure)
            if all(alarm.prediction.counts for alarm in failure.foretelling):
                by = {alarm.new for alarm in failure.foretelling}
                self.trial.count(used_right=False in by, new_right=True in by)
        for alarm in [one for one in agent.alarms if _all_due([one, *one.others], now)]:
            agent.alarms.remove(alarm)
            if alarm.false and alarm.prediction.unix_nano >= self._since:
                self._false(alarm)

    def _false(self, alarm: _Alarm) -> None:
        if not any(other.false for other in alarm.others):
            self.trial.count(used_right=alarm.new, new_right=not alarm.new)
        elif not alarm.new:
            # Both were wrong, which is one case.
            self.trial.count(used_right=False, new_right=False)


def _all_due(alarms: list[_Alarm], now: int) -> bool:
    return all(alarm.prediction.due(now) for alarm in alarms)
