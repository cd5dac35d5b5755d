"""Fills a window of health per agent, answers how likely an agent fails, and warns where health alone says so."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.asks import Assess, Assessment
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import FailurePredicted, HealthSample
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, HEADER_ID
from mendbus.contracts.summaries import PredictionSummary
from mendbus.features.vectors import Health, error_features, health_features
from mendbus.features.window import Window
from mendbus.lift import Trial
from mendbus.modellife import Life, Pair
from mendbus.modelstore import PACKAGED, ModelStore
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_predictor.alarm import EVALUATE_SECONDS, MIN_SAMPLES, Alarm, within
from mendbus_predictor.model import SERVICE, Model, load
from mendbus_predictor.reference import Reference
from mendbus_predictor.rivals import Rivals
from mendbus_predictor.trying import follow

MAX_AGENTS: Final = 10_000
"""Windows held; the agent heard least lately goes first."""
STALE_INTERVALS: Final = 3
"""Intervals after which the newest sample is too old for a valid prediction."""
_SAMPLES_WAITING: Final = 1000
_NANO: Final = 1_000_000_000
_MILLI: Final = 1_000_000


@dataclass(slots=True)
class Watched:
    """One agent as the predictor sees it; times in nanoseconds of the predictor's clock."""

    window: Window = field(default_factory=Window)
    usual: Reference = field(default_factory=Reference)
    alarm: Alarm = field(default_factory=Alarm)
    tried: Alarm = field(default_factory=Alarm)
    """The alarm of the model in trial."""
    trial: Trial | None = None
    """Which trial that is."""
    evaluated_unix_nano: int | None = None
    computed: tuple[int, Health] | None = None
    """The window's features, with how many samples it had taken in."""

    @property
    def health(self) -> Health:
        """The window's features, computed once for each sample: several errors are asked about between two."""
        taken = sum(self.window.arrivals.values())
        if self.computed is None or self.computed[0] != taken:
            self.computed = taken, health_features(self.window)
        return self.computed[1]


class Predictor:
    """The windows of all agents, and the model that reads them."""

    def __init__(self, pair: Pair[Model], now: Callable[[], int]) -> None:
        """`now`: nanoseconds since 1970."""
        self._pair = pair
        self._now = now
        self._watched: OrderedDict[str, Watched] = OrderedDict()
        self.rivals: Rivals | None = None
        """Judges the model in trial; None while there is none."""

    @property
    def model(self) -> Model:
        """The model in use. Raises `MendbusError` where there is none any more."""
        if self._pair.used is None:
            raise MendbusError("the predictor is ending: it has no model any more")
        return self._pair.used

    def watched(self, key: str) -> Watched:
        """What is known of an agent, from now on the one heard last; one never heard is watched from now on."""
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = Watched()
            if len(self._watched) > MAX_AGENTS:
                self._watched.popitem(last=False)
        else:
            self._watched.move_to_end(key)
        return watched

    def hear(self, sample: HealthSample) -> FailurePredicted | None:
        """Takes a sample in; returns the prediction to publish, if one is due."""
        now = self._now()
        watched = self.watched(sample.agent.key)
        arrival = watched.window.add(sample, now)
        if arrival in ("doubled", "late"):
            return None
        if arrival == "restarted":
            # A new process is warm some time after its start; what was usual for the old one says little of it.
            watched.usual = Reference()
        watched.usual.add(watched.window.newest)
        if within(now, watched.evaluated_unix_nano, EVALUATE_SECONDS):
            return None
        watched.evaluated_unix_nano = now
        return self._evaluate(sample, watched, now)

    def _evaluate(self, sample: HealthSample, watched: Watched, now: int) -> FailurePredicted | None:
        if watched.window.rows < MIN_SAMPLES:
            watched.alarm.persisted = watched.tried.persisted = 0
            return None
        model = self.model
        found = model.predict(None, watched.health, watched.usual)
        raised = watched.alarm.judge(found.probability, model.alarm, now, model.persistence)
        self._try(sample.agent.key, watched, now, raised=raised)
        if not raised:
            return None
        return FailurePredicted(
            id=new_id(now),
            time_unix_nano=now,
            agent=sample.agent,
            probability=found.probability,
            confidence=found.confidence,
            strategy=found.strategy,
            horizon_ms=model.horizon_ms,
            model=model.name,
            features=dict(found.features),
        )

    def _try(self, key: str, watched: Watched, now: int, *, raised: bool) -> None:
        """Asks the model in trial, too; `raised`: the one in use has raised an alarm."""
        trial, new, used = self._pair.trial, self._pair.tried, self.model
        if trial is None or new is None:
            self.rivals = None
            return
        if self.rivals is None or self.rivals.trial is not trial:
            self.rivals = Rivals(trial, now)
        if watched.trial is not trial:
            watched.trial, watched.tried = trial, Alarm()
        found = new.predict(None, watched.health, watched.usual)
        self.rivals.look(now)
        if watched.tried.judge(found.probability, new.alarm, now, new.persistence):
            self.rivals.alarm(key, now + new.horizon_ms * _MILLI, now, new=True)
        if raised:
            self.rivals.alarm(key, now + used.horizon_ms * _MILLI, now, new=False)

    def assess(self, ask: Assess) -> Assessment:
        """How likely the agent of an error fails within the horizon, and whether that may be relied on."""
        watched = self._watched.get(ask.error.agent.key) or Watched()
        window = watched.window
        why_invalid = self._why_invalid(window)
        model = self.model
        found = model.predict(error_features(ask, window), watched.health, watched.usual)
        return Assessment(
            prediction=PredictionSummary(
                valid=why_invalid is None,
                probability=found.probability,
                strategy=found.strategy,
                confidence=found.confidence,
                model=model.name,
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


async def start(runtime: Runtime, opened: Callable[[bytes | None], Model] = load) -> Drain:
    """Loads the model, fills windows from `health.>` and serves `predictor.assess`. Raises `ModelRefused`."""
    pair = Pair(used=opened(None), used_name=PACKAGED)
    predictor = Predictor(pair, runtime.now)

    async def hear(sample: HealthSample, _: Message) -> None:
        predicted = predictor.hear(sample)
        if predicted is not None:
            headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE, HEADER_ID: predicted.id}
            subject = runtime.subjects.prediction(sample.agent.kind, sample.agent.id)
            await runtime.bus.publish(subject, codec.encode(predicted), headers)

    async def assess(ask: Assess, _: Span) -> Assessment:
        return predictor.assess(ask)

    await runtime.listen(runtime.subjects.everyone("health"), HealthSample, hear, dead=False, newest=_SAMPLES_WAITING)
    await runtime.serve("assess", runtime.subjects.assess, Assess, assess)
    await follow(runtime, lambda: predictor.rivals)

    async def drain() -> None:
        """Requests are answered one by one, so that none is under way."""
        pair.close()

    store = ModelStore(runtime.bus, runtime.subjects, SERVICE)
    runtime.spawn(Life(store, pair, opened, runtime.now).follow(), "models")
    return drain
