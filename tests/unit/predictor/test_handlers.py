"""The predictor service: valid exactly when it may be relied on, warnings with persistence and cool-down, bounded."""

from typing import Any, cast

import pytest
from tests.support import Clock, ask, memory_runtime, tell

from mendbus import codec
from mendbus.bus import Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import Assess, Assessment
from mendbus.contracts.errors import ModelRefused
from mendbus.contracts.messages import FailurePredicted, HealthSample
from mendbus.features.vectors import Health, Vector
from mendbus.features.window import Window
from mendbus.modellife import Pair
from mendbus.runtime import Runtime, Service
from mendbus.testing import eventually
from mendbus_predictor import baseline, build, handlers
from mendbus_predictor.baseline import Prediction
from mendbus_predictor.handlers import Predictor
from mendbus_predictor.model import Model
from mendbus_predictor.reference import NAMES, Reference

SICK = {"disk_percent": 99.5, "availability_ratio": 0.5, "errors_per_s": 3.0}
WELL = {"disk_percent": 40.0, "availability_ratio": 1.0, "errors_per_s": 0.0}


def sample(
    clock: Clock, sequence: int, metrics: dict[str, float] = WELL, agent: str = "a1", interval_ms: int = 500
) -> HealthSample:
    return HealthSample.model_validate(
        {
            "agent": {"kind": "runtime", "id": agent, "instance": "boot1"},
            "time_unix_nano": clock(),
            "sequence": sequence,
            "interval_ms": interval_ms,
            "metrics": metrics,
        }
    )


def question(agent: str = "a1", **more: Any) -> Assess:
    return Assess.model_validate(
        {
            "error": {
                "id": "e1",
                "time_unix_nano": 1,
                "agent": {"kind": "runtime", "id": agent},
                "exception": {"type": "E", "message": "m"},
            },
            "fingerprint": "v1:0",
            "classification": {"category": "memory", "severity": "error", "confidence": 0.7, "model": "m"},
            **more,
        }
    )


class Plain:
    """A model that says what the baseline says: its words can be worked out by hand."""

    name = "baseline-1"
    horizon_ms = 30_000
    alarm = 0.8
    persistence = 3

    def __init__(self) -> None:
        self._baseline = baseline.load()

    def predict(self, errors: Vector | None, health: Health, _: Reference) -> Prediction:
        return self._baseline.predict(errors, health.features)

    def close(self) -> None:
        pass


def plain(_: bytes | None = None) -> Model:
    return cast("Model", Plain())


class Fed:
    """A predictor with a clock of its own, fed with samples at their interval."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.predictor = Predictor(Pair(used=plain()), self.clock)
        self.sequence = 0

    def feed(self, count: int, metrics: dict[str, float] = WELL, interval_ms: int = 500) -> list[FailurePredicted]:
        told: list[FailurePredicted] = []
        for _ in range(count):
            self.clock.pass_seconds(interval_ms / 1000)
            predicted = self.predictor.hear(sample(self.clock, self.sequence, metrics, interval_ms=interval_ms))
            self.sequence += 1
            told += [predicted] if predicted else []
        return told


def test_a_prediction_needs_twenty_samples() -> None:
    """With 19 samples it is not valid, with the twentieth it is, and the reason says how many are missing."""
    fed = Fed()
    assert fed.predictor.assess(question()).why_invalid == "no health sample of this agent has come"
    fed.feed(19)
    found = fed.predictor.assess(question())
    assert (found.prediction.valid, found.why_invalid) == (False, "the window holds 19 samples, 20 are needed")
    fed.feed(1)
    found = fed.predictor.assess(question())
    assert (found.prediction.valid, found.why_invalid, found.prediction.model) == (True, None, "baseline-1")


@pytest.mark.parametrize("interval_ms", [100, 500, 5000])
def test_a_prediction_needs_a_sample_of_the_last_three_intervals(interval_ms: int) -> None:
    """At three intervals it is valid, a millisecond later no more."""
    fed = Fed()
    fed.feed(20, interval_ms=interval_ms)
    fed.clock.pass_seconds(3 * interval_ms / 1000)
    assert fed.predictor.assess(question()).prediction.valid
    fed.clock.pass_seconds(0.001)
    found = fed.predictor.assess(question())
    assert not found.prediction.valid
    assert "the newest sample is" in (found.why_invalid or "")


def test_the_agents_own_clock_does_not_matter() -> None:
    """An agent whose clock is a day ahead has valid predictions as long as its samples come."""
    fed = Fed()
    for n in range(20):
        fed.clock.pass_seconds(0.5)
        told = sample(fed.clock, n)
        fed.predictor.hear(told.model_copy(update={"time_unix_nano": told.time_unix_nano + 86_400 * 10**9}))
    assert fed.predictor.assess(question()).prediction.valid


def test_an_error_raises_the_probability_of_a_sick_agent() -> None:
    """Health and error both count, and what drove the probability is named with its value."""
    fed = Fed()
    fed.feed(20)
    calm = fed.predictor.assess(question()).prediction
    assert calm.probability < 0.5
    assert (calm.strategy, calm.confidence) == (None, 0.0)
    fed.feed(40, SICK)
    sick = fed.predictor.assess(question(errors_per_minute=60.0, recurrences=2)).prediction
    assert sick.probability > 0.9
    assert sick.strategy is not None
    assert sick.features["disk_percent_last"] == 99.5


def test_a_warning_needs_three_evaluations_in_a_row_a_second_apart() -> None:
    """Two sick evaluations tell nothing, a calm one in between starts anew, the third in a row tells."""
    fed = Fed()
    fed.feed(30)
    assert fed.feed(4, SICK) == []
    fed.feed(40)
    assert fed.feed(4, SICK) == []
    [told] = fed.feed(2, SICK)
    assert (told.agent.key, told.horizon_ms, told.model) == ("runtime/a1", 30_000, "baseline-1")
    assert told.probability >= Plain.alarm


def test_a_warning_is_not_repeated_within_a_minute() -> None:
    """A sick agent is told of once a minute, however long it stays sick."""
    fed = Fed()
    fed.feed(30)
    assert len(fed.feed(2 * 59, SICK)) == 1
    assert len(fed.feed(2 * 60, SICK)) == 1


def test_a_short_window_warns_of_nothing() -> None:
    """Fewer than twenty samples are no ground for a warning."""
    fed = Fed()
    assert fed.feed(19, SICK) == []


def test_an_agent_is_evaluated_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast agent costs no more than one evaluation a second; a clock set back does not silence it."""
    fed = Fed()
    seen: list[int] = []

    def counted(window: Window) -> Health:
        seen.append(1)
        return _features(window)

    monkeypatch.setattr(handlers, "health_features", counted)
    fed.feed(20, interval_ms=10)
    seen.clear()
    fed.feed(1000, interval_ms=10)
    assert 9 <= len(seen) <= 11
    fed.clock.pass_seconds(-3600)
    seen.clear()
    fed.feed(40, interval_ms=500)
    assert len(seen) >= 10


_features = handlers.health_features


def test_the_number_of_windows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent heard least lately is forgotten first."""
    monkeypatch.setattr(handlers, "MAX_AGENTS", 2)
    clock = Clock()
    predictor = Predictor(Pair(used=plain()), clock)
    for agent in ("a1", "a2", "a1", "a3"):
        predictor.hear(sample(clock, clock.pass_seconds(1) % 1000, agent=agent))
    assert predictor.assess(question("a2")).why_invalid == "no health sample of this agent has come"
    assert "the newest sample is" in (predictor.assess(question("a1")).why_invalid or "")


async def test_it_listens_answers_and_warns_on_the_bus() -> None:
    """Samples fill the window, an assessment is answered, a warning is published; bad samples are somebody else's."""
    server, clock = MemoryServer(), Clock()
    told: list[FailurePredicted] = []

    async def hear(message: Message) -> None:
        told.append(codec.decode(FailurePredicted, message.body))

    async def start(runtime: Runtime) -> Any:
        return await handlers.start(runtime, plain)

    async with memory_runtime(Service("predictor", "test", start), server, now=clock) as runtime:
        bus, subjects = server.connect("test"), runtime.subjects
        await bus.subscribe(subjects.everyone("prediction"), hear)
        await tell(bus, subjects.health("runtime", "other"), sample(clock, 0))
        for n in range(30):
            clock.pass_seconds(0.5)
            await tell(bus, subjects.health("runtime", "a1"), sample(clock, n, SICK))
        found = await ask(bus, subjects.assess, question(), Assessment)
        assert found.prediction.valid
        assert found.prediction.probability > 0.8
        await eventually(lambda: told)
        assert told[0].agent.key == "runtime/a1"
        assert await bus.last(subjects.stream("DEAD"), subjects.dead("predictor")) is None
        await bus.close()


async def test_it_does_not_start_with_a_model_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model for other features ends the start with an error that names the difference."""
    monkeypatch.setattr("mendbus_predictor.model.NAMES", ("something_else",))
    with pytest.raises(ExceptionGroup) as failed:
        async with memory_runtime(build()):
            pass
    assert failed.group_contains(ModelRefused, match=f"{len(NAMES)} features, here are 1")
