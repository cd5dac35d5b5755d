"""How good predictions of failures are, counted by what came of them. Pure: knows no bus and no clock.

A prediction is right when its agent fails within its horizon, and wrong when it does not; a failure is foretold when a
prediction stood within whose horizon it came. What somebody acted upon is neither: nobody knows what would have come.
So nothing is judged before it is known whether anybody did (`mendbus.foretold`).
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mendbus.contracts.messages import FailurePredicted
from mendbus.contracts.vocabulary import Health
from mendbus.foretold import Prediction
from mendbus.measures import Durations, calibration_error, share

Result = Literal["right", "wrong", "acted_upon", "unknown", "late"]
"""What came of a prediction. `unknown`: its agent left, or the monitor could not look, before the horizon was over.
`late`: its agent had failed already.
"""
FailureResult = Literal["foretold", "missed", "acted_upon", "unknown"]
"""Whether a failure was foretold. `acted_upon`, `unknown`: only by predictions of that result."""

REPEAT_SECONDS: Final = 55.0
"""Predictions about an agent that come closer together count once: replicas publish the same, each once a minute, and
the way here takes now longer, now shorter.
"""
MAX_AGENTS: Final = 1000
"""Agents of which predictions wait; the one that was last told of longest ago goes first, its predictions `unknown`."""
MAX_WAITING: Final = 64
"""Predictions of one agent that wait; further ones are `unknown`."""
MAX_MODELS: Final = 16
"""Models that are told apart; later ones are `OTHER`."""
KEPT: Final = 1000
"""Predictions of each model, the newest, over which calibration is reckoned."""
OTHER: Final = "other"

_LONGEST_STEP: Final = 5.0
"""Seconds between two looks above which nobody looked."""
_NANO: Final = 1_000_000_000
_MILLI: Final = 1_000_000


@dataclass(slots=True)
class _Failure:
    unix_nano: int
    waiting: int
    """Predictions of it that are not judged yet."""
    first_unix_nano: int | None = None
    """The earliest prediction that foretold it."""
    acted_upon: bool = False


@dataclass(slots=True)
class _Told:
    prediction: Prediction
    probability: float
    model: str
    failures: list[_Failure] = field(default_factory=list[_Failure])


@dataclass(slots=True)
class _Agent:
    told_unix_nano: int
    """When a prediction about it last counted."""
    waiting: list[_Told] = field(default_factory=list[_Told])


@dataclass(slots=True)
class _Model:
    results: Counter[Result] = field(default_factory=Counter[Result])
    ended: deque[tuple[float, bool]] = field(default_factory=lambda: deque[tuple[float, bool]](maxlen=KEPT))


class Foresight:
    """What predictions were worth since `since_unix_nano`; all times are of one clock, in nanoseconds."""

    def __init__(self, since_unix_nano: int) -> None:
        self.since_unix_nano = since_unix_nano
        self.watched_seconds = 0.0
        """Time that agents were alive and watched, all together."""
        self.repeated = 0
        """Predictions that said again what another one had said within a minute."""
        self.failures: Counter[FailureResult] = Counter()
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self._models: dict[str, _Model] = {}
        self._leads = Durations()
        self._new_leads: list[float] = []
        self._looked_unix_nano = since_unix_nano

    def predict(self, predicted: FailurePredicted, status: Health | None, now: int) -> None:
        """Takes a prediction in; `status`: how its agent is, None where that is not known."""
        key = predicted.agent.key
        agent = self._agents.get(key)
        if agent is not None and 0 <= now - agent.told_unix_nano < REPEAT_SECONDS * _NANO:
            self.repeated += 1
            return
        if agent is None:
            agent = self._agents[key] = _Agent(now)
            if len(self._agents) > MAX_AGENTS:
                self._forget(self._agents.popitem(last=False)[1].waiting)
        agent.told_unix_nano = now
        self._agents.move_to_end(key)
        model = self._model_of(predicted.model)
        if status in (None, "retired") or len(agent.waiting) >= MAX_WAITING:
            self._models[model].results["unknown"] += 1
        elif status == "failed":
            self._models[model].results["late"] += 1
        else:
            until = now + predicted.horizon_ms * _MILLI
            agent.waiting.append(_Told(Prediction(now, until), predicted.probability, model))

    def fail(self, key: str, now: int) -> None:
        """An agent (`kind/id`) that was alive has failed."""
        foretelling = [one for one in self._waiting(key) if one.prediction.foretells(now)]
        if not foretelling:
            self.failures["missed"] += 1
            return
        failure = _Failure(now, len(foretelling))
        for one in foretelling:
            one.prediction.came = True
            one.failures.append(failure)

    def leave(self, key: str, now: int) -> None:
        """An agent has left: whether it would have failed is not known."""
        for one in self._waiting(key):
            one.prediction.leave(now)

    def act(self, key: str, first_unix_nano: int, last_unix_nano: int) -> None:
        """Something was done about a prediction of an agent's failure, between these two moments."""
        for one in self._waiting(key):
            one.prediction.act(first_unix_nano, last_unix_nano)

    def look(self, alive: int, now: int) -> list[float]:
        """Judges what is due; `alive`: agents that are watched now. Returns the new lead times (s)."""
        passed = (now - self._looked_unix_nano) / _NANO
        self._looked_unix_nano = now
        if 0.0 <= passed <= _LONGEST_STEP:
            self.watched_seconds += alive * passed
        for key, agent in list(self._agents.items()):
            for one in [one for one in agent.waiting if one.prediction.due(now)]:
                agent.waiting.remove(one)
                self._judge(one)
            if not agent.waiting and now - agent.told_unix_nano >= REPEAT_SECONDS * _NANO:
                del self._agents[key]
        leads, self._new_leads = self._new_leads, []
        return leads

    def blind(self, since_unix_nano: int, now: int) -> None:
        """Between these moments nobody looked: an agent may have failed and be back, so that no end is known."""
        first, last = min(since_unix_nano, now), max(since_unix_nano, now)
        for agent in self._agents.values():
            for one in agent.waiting:
                one.prediction.unseen(first, last)

    # -- what it comes to

    def results(self) -> Mapping[tuple[str, str], int]:
        """How many predictions there are of each model and result."""
        return {
            (name, result): count for name, model in self._models.items() for result, count in model.results.items()
        }

    def calibration(self) -> float | None:
        """The calibration error over all models; None before any prediction has ended."""
        error: float | None = _calibration(self._ended())["error"]
        return error

    def row(self) -> dict[str, Any]:
        """All of it as plain values; None where there is nothing to reckon from."""
        results = Counter[str]()
        for model in self._models.values():
            results.update(model.results)
        hours = self.watched_seconds / 3600
        return {
            "since_unix_nano": self.since_unix_nano,
            "agent_hours": hours,
            "waiting": sum(len(agent.waiting) for agent in self._agents.values()),
            "precision": _precision(results),
            "recall": share(self.failures["foretold"], self.failures["foretold"] + self.failures["missed"])._asdict(),
            "lead": self._leads.spread()._asdict(),
            "false_alarms": {"count": results["wrong"], "per_agent_hour": results["wrong"] / hours if hours else None},
            "calibration": _calibration(self._ended()),
            "left_out": {name: results[name] for name in ("acted_upon", "unknown", "late")}
            | {"repeated": self.repeated},
            "failures_left_out": {name: self.failures[name] for name in ("acted_upon", "unknown")},
            "models": [
                {
                    "model": name,
                    "precision": _precision(model.results),
                    "calibration": _calibration(model.ended),
                    "left_out": {of: model.results[of] for of in ("acted_upon", "unknown", "late")},
                }
                for name, model in sorted(self._models.items())
            ],
        }

    def _ended(self) -> list[tuple[float, bool]]:
        return [one for model in self._models.values() for one in model.ended]

    # -- judging

    def _waiting(self, key: str) -> list[_Told]:
        return self._agents[key].waiting if key in self._agents else []

    def _judge(self, one: _Told) -> None:
        model, prediction = self._models[one.model], one.prediction
        if prediction.acted_upon:
            model.results["acted_upon"] += 1
        elif not prediction.known:
            model.results["unknown"] += 1
        else:
            model.results["right" if prediction.came else "wrong"] += 1
            model.ended.append((one.probability, prediction.came))
        for failure in one.failures:
            failure.waiting -= 1
            failure.acted_upon = failure.acted_upon or prediction.acted_upon
            if prediction.counts:
                first = failure.first_unix_nano
                failure.first_unix_nano = prediction.unix_nano if first is None else min(first, prediction.unix_nano)
            if not failure.waiting:
                self._end(failure)

    def _end(self, failure: _Failure) -> None:
        if failure.acted_upon:
            self.failures["acted_upon"] += 1
        elif failure.first_unix_nano is None:
            self.failures["unknown"] += 1
        else:
            self.failures["foretold"] += 1
            lead = failure.unix_nano - failure.first_unix_nano
            self._leads.add(lead)
            self._new_leads.append(lead / _NANO)

    def _forget(self, waiting: Iterable[_Told]) -> None:
        for one in waiting:
            one.prediction.known = False
            self._judge(one)

    def _model_of(self, name: str) -> str:
        if name not in self._models:
            name = name if len(self._models) < MAX_MODELS else OTHER
            self._models.setdefault(name, _Model())
        return name


def _precision(results: Mapping[Any, int]) -> dict[str, Any]:
    right = results.get("right", 0)
    return share(right, right + results.get("wrong", 0))._asdict()


def _calibration(ended: Iterable[tuple[float, bool]]) -> dict[str, Any]:
    """`error` and `brier` over `of` predictions; both None of none."""
    pairs = list(ended)
    if not pairs:
        return {"of": 0, "error": None, "brier": None}
    brier = sum((probability - came) ** 2 for probability, came in pairs) / len(pairs)
    return {"of": len(pairs), "error": calibration_error(pairs), "brier": brier}
