"""Fills a window of health per agent, answers how likely an agent fails, and warns where health alone says so."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.asks import Assess, Assessment
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import FailurePredicted, HealthSample, PredictionSummary
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, HEADER_ID
from mendbus.features.vectors import Vector, error_features, health_features
from mendbus.features.window import Window
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_predictor.baseline import Baseline, load

MAX_AGENTS: Final = 10_000
"""Windows held; the agent heard least lately goes first."""
MIN_SAMPLES: Final = 20
"""Samples in a window below which a prediction is not valid."""
STALE_INTERVALS: Final = 3
"""Intervals after which the newest sample is too old for a valid prediction."""
EVALUATE_SECONDS: Final = 1.0
"""Least time between two evaluations of one agent's health alone."""
ALARM_PROBABILITY: Final = 0.8
PERSISTENCE: Final = 3
"""Evaluations in a row that must reach the alarm probability before a failure is predicted."""
COOL_DOWN_SECONDS: Final = 60.0
"""Least time between two predictions for one agent."""

_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class Watched:
    """One agent as the predictor sees it; times in nanoseconds of the predictor's clock."""

    window: Window = field(default_factory=Window)
    evaluated_unix_nano: int | None = None
    alarming: int = 0
    """Evaluations in a row that reached the alarm probability."""
    predicted_unix_nano: int | None = None
    computed: tuple[int, Vector] | None = None
    """The window's features, with how many samples it had taken in."""

    @property
    def features(self) -> Vector:
        """The window's features, computed once for each sample: several errors are asked about between two."""
        taken = sum(self.window.arrivals.values())
        if self.computed is None or self.computed[0] != taken:
            self.computed = taken, health_features(self.window)
        return self.computed[1]


class Predictor:
    """The windows of all agents, and the model that reads them."""

    def __init__(self, model: Baseline, now: Callable[[], int]) -> None:
        """`now`: nanoseconds since 1970."""
        self._model = model
        self._now = now
        self._watched: OrderedDict[str, Watched] = OrderedDict()

    def hear(self, sample: HealthSample) -> FailurePredicted | None:
        """Takes a sample in; returns the prediction to publish, if one is due."""
        now = self._now()
        watched = self._watched.get(sample.agent.key)
        if watched is None:
            watched = self._watched[sample.agent.key] = Watched()
            if len(self._watched) > MAX_AGENTS:
                self._watched.popitem(last=False)
        else:
            self._watched.move_to_end(sample.agent.key)
        arrival = watched.window.add(sample, now)
        if arrival in ("doubled", "late") or _within(now, watched.evaluated_unix_nano, EVALUATE_SECONDS):
            return None
        watched.evaluated_unix_nano = now
        return self._evaluate(sample, watched, now)

    def _evaluate(self, sample: HealthSample, watched: Watched, now: int) -> FailurePredicted | None:
        if watched.window.rows < MIN_SAMPLES:
            watched.alarming = 0
            return None
        found = self._model.predict(None, watched.features)
        watched.alarming = watched.alarming + 1 if found.probability >= ALARM_PROBABILITY else 0
        if watched.alarming < PERSISTENCE or _within(now, watched.predicted_unix_nano, COOL_DOWN_SECONDS):
            return None
        watched.predicted_unix_nano = now
        return FailurePredicted(
            id=new_id(now),
            time_unix_nano=now,
            agent=sample.agent,
            probability=found.probability,
            confidence=found.confidence,
            strategy=found.strategy,
            horizon_ms=self._model.card.horizon_ms,
            model=self._model.name,
            features=dict(found.features),
        )

    def assess(self, ask: Assess) -> Assessment:
        """How likely the agent of an error fails within the horizon, and whether that may be relied on."""
        watched = self._watched.get(ask.error.agent.key) or Watched()
        window = watched.window
        why_invalid = self._why_invalid(window)
        found = self._model.predict(error_features(ask, window), watched.features)
        return Assessment(
            prediction=PredictionSummary(
                valid=why_invalid is None,
                probability=found.probability,
                strategy=found.strategy,
                confidence=found.confidence,
                model=self._model.name,
                features=dict(found.features),
            ),
            why_invalid=why_invalid,
        )

    def _why_invalid(self, window: Window) -> str | None:
        if window.rows == 0:
            return "no health sample of this agent has come"
        age = (self._now() - window.arrived_unix_nano) / _NANO
        due = window.interval_ms / 1000
        if age > STALE_INTERVALS * due:
            return f"the newest sample is {age:.1f} s old, one is due every {due:g} s"
        if window.rows < MIN_SAMPLES:
            return f"the window holds {window.rows} samples, {MIN_SAMPLES} are needed"
        return None


def _within(now: int, then: int | None, seconds: float) -> bool:
    # A clock that was set back must not silence an agent until it has caught up.
    return then is not None and 0 <= now - then < seconds * _NANO


async def start(runtime: Runtime) -> Drain:
    """Loads the model, fills windows from `health.>` and serves `predictor.assess`. Raises `ModelRefused`."""
    predictor = Predictor(load(), runtime.now)

    async def hear(sample: HealthSample, _: Message) -> None:
        predicted = predictor.hear(sample)
        if predicted is not None:
            headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE, HEADER_ID: predicted.id}
            subject = runtime.subjects.prediction(sample.agent.kind, sample.agent.id)
            await runtime.bus.publish(subject, codec.encode(predicted), headers)

    async def assess(ask: Assess, _: Span) -> Assessment:
        return predictor.assess(ask)

    await runtime.listen(runtime.subjects.everyone("health"), HealthSample, hear, dead=False)
    await runtime.serve("assess", runtime.subjects.assess, Assess, assess)
    return _drain


async def _drain() -> None:
    """Requests are answered one by one, so that none is under way."""
