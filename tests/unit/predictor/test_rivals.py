"""A trial of predictors: cases counted by hand, a property, the service with two models, and what the bus tells."""

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import SECOND, Clock, memory_runtime, tell
from tests.unit.predictor.test_handlers import sample

from mendbus import codec
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.foreseen import EXCEPTION, PREDICTED, SEVERITY
from mendbus.contracts.messages import HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.foretold import ACTED_SECONDS
from mendbus.lift import Trial
from mendbus.modellife import Pair
from mendbus.runtime import Runtime, Service
from mendbus.testing import eventually
from mendbus_predictor import handlers, trying
from mendbus_predictor import rivals as module
from mendbus_predictor.alarm import MIN_SAMPLES
from mendbus_predictor.baseline import Prediction
from mendbus_predictor.handlers import Predictor
from mendbus_predictor.model import Model
from mendbus_predictor.rivals import Rivals

HORIZON = 30
WARM = 60
KEY = "runtime/a1"


def status(word: str, previous: str | None = "good", agent: str = "a1") -> HealthStatus:
    return HealthStatus.model_validate(
        {
            "id": "s1",
            "time_unix_nano": 1,
            "agent": {"kind": "runtime", "id": agent},
            "status": word,
            "previous": previous,
            "score": 0.0,
            "reason": "r",
        }
    )


class Told:
    """Rivals that are told in seconds since the trial began."""

    def __init__(self) -> None:
        self.trial = Trial()
        self.rivals = Rivals(self.trial, 0)
        self.second = 0.0

    def to(self, second: float) -> None:
        while self.second < second:
            self.second = min(second, self.second + 4)
            self.rivals.look(self.now)

    @property
    def now(self) -> int:
        return round(self.second * SECOND)

    def alarm(self, second: float, *, new: bool, agent: str = "a1") -> None:
        self.to(second)
        self.rivals.alarm(f"runtime/{agent}", self.now + HORIZON * SECOND, self.now, new=new)

    def hear(self, second: float, word: str, previous: str | None = "good", agent: str = "a1") -> None:
        self.to(second)
        self.rivals.hear(status(word, previous, agent), self.now)

    def end(self) -> tuple[int, int, int]:
        """Cases, those for the new model, and those for the one in use, when everything is known."""
        self.to(self.second + HORIZON + ACTED_SECONDS + 2)
        return self.trial.asked, self.trial.better, self.trial.worse


def test_who_foretold_a_failure_that_the_other_one_missed_was_better() -> None:
    """One for the new model, one for the one in use, one that both foretold, and one that nobody did."""
    told = Told()
    told.alarm(WARM, new=True)
    told.hear(WARM + 10, "failed")
    told.hear(WARM + 20, "good", "failed")
    told.alarm(200, new=False)
    told.hear(210, "failed")
    told.hear(220, "good", "failed")
    told.alarm(300, new=False)
    told.alarm(301, new=True)
    told.hear(310, "failed")
    told.hear(320, "good", "failed")
    told.hear(400, "failed")
    assert told.end() == (4, 1, 1)


def test_who_was_quiet_where_the_other_one_raised_a_false_alarm_was_better() -> None:
    """One false alarm of each alone, and one of both at the same time, which is one case for neither."""
    told = Told()
    told.alarm(WARM, new=True)
    told.alarm(200, new=False)
    told.alarm(300, new=False)
    told.alarm(320, new=True)
    assert told.end() == (3, 1, 1)


def test_of_two_overlapping_alarms_the_one_that_was_too_early_is_false() -> None:
    """The failure comes after the first one's horizon and within the second's: for the second in both cases."""
    told = Told()
    told.alarm(WARM, new=False)
    told.alarm(WARM + 20, new=True)
    told.hear(WARM + HORIZON + 5, "failed")
    assert told.end() == (2, 2, 0)


@pytest.mark.parametrize("what", ["acted", "left", "blind", "late", "begun"])
def test_what_has_no_end_of_its_own_is_no_case(what: str) -> None:
    """Acted upon, its agent gone, nobody there to look, failed before, or foretold in the first minute of the trial."""
    told = Told()
    if what == "late":
        told.hear(30, "failed")
    told.alarm(WARM - 20 if what == "begun" else WARM + 10, new=True)
    if what == "acted":
        told.rivals.act(KEY, told.now, told.now + SECOND)
        told.hear(WARM + 12, "failed")
    if what == "left":
        told.hear(WARM + 12, "retired")
    if what == "blind":
        told.second += 20
    assert told.end() == (0, 0, 0)


def test_replicas_of_the_monitor_tell_of_one_failure() -> None:
    """Two that tell the same make one case; an agent that nobody knew to be alive makes none."""
    told = Told()
    told.alarm(WARM, new=True)
    for _ in range(2):
        told.hear(WARM + 10, "failed")
    told.hear(WARM + 10, "failed", None, "a2")
    assert told.end() == (1, 1, 0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("alarm", "alarm", "failed", "good", "retired", "act")),
        st.booleans(),
        st.floats(0, 90),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(EVENTS)
def test_models_that_say_the_same_are_equally_good(events: list[tuple[str, bool, float]]) -> None:
    """Whatever happens, alarms that both raise favour neither; and with the two exchanged, so are the counts."""
    same, one, other = Told(), Told(), Told()
    for what, new, passed in events:
        for told, mine in ((same, new), (one, new), (other, not new)):
            second = told.second + passed
            if what == "alarm":
                told.alarm(second, new=mine)
                if told is same:
                    told.alarm(second, new=not mine)
            elif what == "act":
                told.to(second)
                told.rivals.act(KEY, told.now - SECOND, told.now)
            else:
                told.hear(second, what)
    _, better, worse = same.end()
    assert (better, worse) == (0, 0)
    _, better, worse = one.end()
    assert other.end()[1:] == (worse, better)
    assert not one.rivals._agents


class Saying:
    """A model that says the same of everybody."""

    horizon_ms = HORIZON * 1000
    alarm = 0.5
    persistence = 2

    def __init__(self, name: str, probability: float) -> None:
        self.name = name
        self.probability = probability

    def predict(self, *_: Any) -> Prediction:
        return Prediction(self.probability, None, 0.0, {})

    def close(self) -> None:
        pass


def test_a_model_that_foretells_what_the_one_in_use_does_not_shows_lift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten agents fail after it alone has raised an alarm, and nothing is told; a new trial begins anew."""
    monkeypatch.setattr(handlers, "health_features", lambda _: None)
    used, new = Saying("failure-1", 0.1), Saying("failure-2", 0.1)
    pair = Pair(used=cast("Model", used), tried=cast("Model", new), trial=Trial())
    clock = Clock()
    predictor = Predictor(pair, clock)
    sequence = 0

    def feed(seconds: float) -> None:
        nonlocal sequence
        for _ in range(round(seconds)):
            clock.pass_seconds(1)
            sequence += 1
            for number in range(10):
                assert predictor.hear(sample(clock, sequence, {}, f"a{number}", 1000)) is None

    feed(MIN_SAMPLES + WARM)
    new.probability = 0.9
    feed(3)
    new.probability = 0.1
    assert predictor.rivals is not None
    for number in range(10):
        predictor.rivals.hear(status("failed", agent=f"a{number}"), clock())
    feed(HORIZON + ACTED_SECONDS + 2)
    assert pair.trial is not None
    assert (pair.trial.asked, pair.trial.better, pair.trial.worse, pair.trial.verdict) == (10, 10, 0, "lift")
    pair.trial = Trial()
    feed(1)
    assert predictor.rivals.trial is pair.trial
    pair.tried = pair.trial = None
    feed(1)
    assert predictor.rivals is None


async def test_failures_and_what_was_done_are_heard_during_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status from the bus is a failure, an outcome with attempts takes a prediction out, what is none nothing."""
    monkeypatch.setattr(trying, "LOOK_SECONDS", 0.01)
    server, subjects, clock = MemoryServer(), Subjects(), Clock()
    found = Rivals(Trial(), clock() - WARM * SECOND)
    done: list[tuple[Any, ...]] = []
    monkeypatch.setattr(found, "act", lambda *what: done.append(what))

    async def start(runtime: Runtime) -> Any:
        await trying.follow(runtime, lambda: found)

        async def drain() -> None:
            return

        return drain

    async with memory_runtime(Service("predictor", "a trial", start), server, now=clock):
        bus = server.connect("test")
        await tell(bus, subjects.status("runtime", "a1"), status("failed"))
        await eventually(lambda: found.trial.asked == 1)
        body = codec.encode(acted_upon(clock()))

        async def heard() -> bool:
            await bus.publish(subjects.outcome("runtime", "a1"), b"mendbus.predicted")
            await bus.publish(subjects.outcome("runtime", "a1"), body)
            return bool(done)

        await eventually(heard)
        assert done[0] == (KEY, clock(), clock() + 1)
        await bus.close()


def acted_upon(now: int) -> RecoveryOutcome:
    agent = {"kind": "runtime", "id": "a1"}
    attempt = {"attempt": 1, "command_id": "c", "strategy": "restart", "status": "done", "verified": True}
    error = {"id": "p", "time_unix_nano": now, "agent": agent, "exception": {"type": EXCEPTION, "message": "m"}}
    error |= {"severity": SEVERITY, "attributes": {PREDICTED: True}}
    return RecoveryOutcome.model_validate(
        {
            "incident_id": "i1",
            "sequence": 0,
            "agent": agent,
            "fingerprint": "v1:0",
            "outcome": "recovered",
            "attempts": [attempt | {"started_unix_nano": now, "ended_unix_nano": now + 1}],
            "error_count": 1,
            "event_count": 1,
            "trace_id": "",
            "error": error,
        }
    )


def test_what_is_held_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alarms of further agents are no cases."""
    monkeypatch.setattr(module, "MAX_AGENTS", 1)
    told = Told()
    for agent in ("a1", "a2"):
        told.alarm(WARM, new=True, agent=agent)
    assert told.end() == (1, 0, 1)
