"""What predictions were worth: cases counted by hand, and a property that no order of events may break."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import SECOND

from mendbus.contracts.messages import FailurePredicted
from mendbus.contracts.vocabulary import Health
from mendbus.foretold import ACTED_SECONDS
from mendbus_health_monitor import foresight
from mendbus_health_monitor.foresight import OTHER, Foresight

HORIZON = 30
BEGUN = 1_700_000_000 * SECOND


def at(seconds: float) -> int:
    return BEGUN + round(seconds * SECOND)


def prediction(agent: str = "a1", probability: float = 0.9, model: str = "m1") -> FailurePredicted:
    return FailurePredicted.model_validate(
        {
            "id": "p1",
            "time_unix_nano": 1,
            "agent": {"kind": "runtime", "id": agent},
            "probability": probability,
            "confidence": 0.5,
            "horizon_ms": HORIZON * 1000,
            "model": model,
        }
    )


class Watching:
    """What predictions were worth, told in seconds since the beginning."""

    def __init__(self) -> None:
        self.foresight = Foresight(BEGUN)
        self.leads: list[float] = []

    def predict(self, second: float, agent: str = "a1", status: Health | None = "good", **more: Any) -> None:
        self.foresight.predict(prediction(agent, **more), status, at(second))

    def fail(self, second: float, agent: str = "a1") -> None:
        self.foresight.fail(f"runtime/{agent}", at(second))

    def act(self, first: float, last: float) -> None:
        self.foresight.act("runtime/a1", at(first), at(last))

    def look(self, second: float, alive: int = 0) -> None:
        self.leads += self.foresight.look(alive, at(second))

    def end(self) -> dict[str, Any]:
        """Looks when everything is known."""
        self.look(10_000)
        return self.foresight.row()


def counted(row: dict[str, Any]) -> tuple[int, int, int, int]:
    """Predictions that came true, of how many; failures foretold, of how many."""
    return row["precision"]["hits"], row["precision"]["of"], row["recall"]["hits"], row["recall"]["of"]


def test_a_prediction_is_right_when_its_agent_fails_within_the_horizon() -> None:
    """One at 0 s that comes true after 12 s and one at 100 s that does not: half are right, all failures foretold."""
    watching = Watching()
    watching.predict(0, probability=0.9)
    watching.fail(12)
    watching.predict(100, probability=0.7)
    row = watching.end()
    assert counted(row) == (1, 2, 1, 1)
    assert (row["precision"]["share"], row["recall"]["share"]) == (0.5, 1.0)
    # Of two trials with one hit, Wilson's interval.
    assert row["precision"]["low"] == pytest.approx(0.0945, abs=1e-4)
    assert watching.leads == [12.0]
    assert row["lead"]["n"] == 1
    assert row["lead"]["median_ms"] == pytest.approx(12_000, rel=0.02)
    assert row["false_alarms"]["count"] == 1
    # 0.9 came true and 0.7 did not: gaps of 0.1 and 0.7, squares of 0.01 and 0.49, of two.
    assert row["calibration"]["of"] == 2
    assert row["calibration"]["error"] == pytest.approx(0.4)
    assert row["calibration"]["brier"] == pytest.approx(0.25)


@pytest.mark.parametrize(("second", "right"), [(HORIZON, 1), (HORIZON + 0.001, 0)])
def test_the_horizon_is_the_last_moment(second: float, right: int) -> None:
    """A failure at the end of the horizon makes it right, one a millisecond later wrong, and missed."""
    watching = Watching()
    watching.predict(0)
    watching.fail(second)
    assert counted(watching.end()) == (right, 1, right, 1)


def test_a_failure_of_another_agent_changes_nothing() -> None:
    """The prediction is wrong, and the failure was missed."""
    watching = Watching()
    watching.predict(0)
    watching.fail(5, "a2")
    assert counted(watching.end()) == (0, 1, 0, 1)


def test_nothing_is_judged_before_it_is_known_whether_anybody_acted() -> None:
    """Until a minute after the horizon a prediction waits, also one whose agent has failed."""
    watching = Watching()
    watching.predict(0)
    watching.fail(5)
    watching.look(HORIZON + ACTED_SECONDS)
    row = watching.foresight.row()
    assert (counted(row), row["waiting"]) == ((0, 0, 0, 0), 1)
    watching.look(HORIZON + ACTED_SECONDS + 0.001)
    assert counted(watching.foresight.row()) == (1, 1, 1, 1)


def test_of_what_replicas_say_within_a_minute_one_counts() -> None:
    """Three replicas that tell the same, and again a minute later, make two predictions."""
    watching = Watching()
    for second in (0, 0.4, 1.2, 60.0, 60.4, 61.2):
        watching.predict(second)
    row = watching.end()
    assert (counted(row)[1], row["left_out"]["repeated"]) == (2, 4)


def test_the_lead_is_from_the_first_prediction_within_the_horizon() -> None:
    """With a horizon of two minutes and predictions at 0 and 60 s, a failure at 70 s was foretold 70 s before."""
    watching = Watching()
    long = prediction().model_copy(update={"horizon_ms": 120_000})
    for second in (0, 60):
        watching.foresight.predict(long, "good", at(second))
    watching.fail(70)
    assert counted(watching.end()) == (2, 2, 1, 1)
    assert watching.leads == [70.0]


def test_what_was_acted_upon_is_left_out_and_so_is_a_failure_after_it() -> None:
    """Neither right nor wrong, foretold nor missed: what would have come is not known; the next prediction counts."""
    watching = Watching()
    watching.predict(0)
    watching.act(-3, -0.9)
    watching.fail(2)
    watching.predict(100)
    row = watching.end()
    assert counted(row) == (0, 1, 0, 0)
    assert row["left_out"]["acted_upon"] == 1
    assert row["failures_left_out"] == {"acted_upon": 1, "unknown": 0}


@pytest.mark.parametrize(("first", "last"), [(-5.0, -1.1), (HORIZON + 1.1, HORIZON + 2.0)])
def test_what_was_done_before_it_or_after_its_horizon_was_not_done_about_it(first: float, last: float) -> None:
    """Attempts that ended before the prediction or began after its horizon leave it in, clocks being a second apart."""
    watching = Watching()
    watching.predict(0)
    watching.act(first, last)
    assert counted(watching.end()) == (0, 1, 0, 0)


def test_who_leaves_has_no_known_end() -> None:
    """A goodbye within the horizon makes it unknown; after a failure, or after the horizon, it changes nothing."""
    watching = Watching()
    watching.predict(0)
    watching.foresight.leave("runtime/a1", at(10))
    watching.predict(100)
    watching.fail(105)
    watching.foresight.leave("runtime/a1", at(110))
    watching.predict(200)
    watching.foresight.leave("runtime/a1", at(200 + HORIZON + 1))
    row = watching.end()
    assert (counted(row), row["left_out"]["unknown"]) == ((1, 2, 1, 1), 1)


def test_time_in_which_nobody_looked_makes_the_end_unknown_whatever_was_seen_of_it() -> None:
    """If only what came true were kept, the share would be too good; what ended before the gap counts."""
    watching = Watching()
    watching.predict(0)
    watching.predict(100, "a2")
    watching.fail(105, "a2")
    watching.predict(110, "a3")
    watching.foresight.blind(at(120), at(140))
    row = watching.end()
    assert (counted(row), row["left_out"]["unknown"]) == ((0, 1, 0, 0), 2)
    assert row["failures_left_out"]["unknown"] == 1


def test_a_prediction_after_the_failure_is_late_and_one_of_nobody_known_is_unknown() -> None:
    """Neither is right or wrong."""
    watching = Watching()
    watching.fail(0)
    watching.predict(1, status="failed")
    watching.predict(1, "a2", status=None)
    watching.predict(1, "a3", status="retired")
    row = watching.end()
    assert counted(row) == (0, 0, 0, 1)
    assert (row["left_out"]["late"], row["left_out"]["unknown"]) == (1, 2)


def test_false_alarms_are_counted_against_the_time_that_agents_were_watched() -> None:
    """Two agents for 4 s, then three for 4 s, are 20 s; one false alarm in them is 180 an hour; a gap adds nothing."""
    watching = Watching()
    watching.predict(0)
    watching.look(4, alive=2)
    watching.look(8, alive=3)
    watching.look(2000, alive=3)
    row = watching.end()
    assert row["agent_hours"] * 3600 == pytest.approx(20)
    assert row["false_alarms"]["per_agent_hour"] == pytest.approx(180)


def test_models_are_told_apart_up_to_a_bound() -> None:
    """Each model has its own counts; of more than sixteen the rest is one row."""
    watching = Watching()
    for number in range(foresight.MAX_MODELS + 2):
        watching.predict(number, f"a{number}", model=f"m{number:02}")
    watching.fail(20, "a0")
    models = {row["model"]: row for row in watching.end()["models"]}
    assert (models["m00"]["precision"]["hits"], models["m01"]["precision"]["hits"]) == (1, 0)
    assert models[OTHER]["precision"]["of"] == 2
    assert len(models) == foresight.MAX_MODELS + 1
    assert watching.foresight.results()["m00", "right"] == 1


def test_what_is_held_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent told of longest ago goes first, its prediction unknown; in the end nothing is held."""
    monkeypatch.setattr(foresight, "MAX_AGENTS", 3)
    watching = Watching()
    for number in range(5):
        watching.predict(number, f"a{number}")
    row = watching.foresight.row()
    assert (row["waiting"], row["left_out"]["unknown"]) == (3, 2)
    assert counted(watching.end()) == (0, 3, 0, 0)
    assert not watching.foresight._agents


def test_before_anything_came_nothing_is_claimed() -> None:
    """No share, no rate, no calibration of nothing."""
    row = Foresight(BEGUN).row()
    assert row["precision"]["share"] is row["recall"]["share"] is row["false_alarms"]["per_agent_hour"] is None
    assert row["calibration"] == {"of": 0, "error": None, "brier": None}
    assert Foresight(BEGUN).calibration() is None


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("predict", "fail", "leave", "act", "blind", "look")),
        st.sampled_from(("a1", "a2")),
        st.floats(0, 40),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(EVENTS)
def test_every_prediction_and_failure_is_counted_once(events: list[tuple[str, str, float]]) -> None:
    """Whatever happens in whatever order: in the end each has exactly one result, and leads are within the horizon."""
    watching, second = Watching(), 0.0
    told = {"predict": 0, "fail": 0}
    for what, agent, passed in events:
        second += passed
        told[what] = told.get(what, 0) + 1
        match what:
            case "predict":
                watching.predict(second, agent)
            case "fail":
                watching.fail(second, agent)
            case "leave":
                watching.foresight.leave(f"runtime/{agent}", at(second))
            case "act":
                watching.foresight.act(f"runtime/{agent}", at(second - 1), at(second))
            case "blind":
                watching.foresight.blind(at(second - 1), at(second))
            case _:
                watching.look(second, alive=1)
    row = watching.end()
    left_out = row["left_out"]
    assert row["precision"]["of"] + sum(left_out.values()) == told["predict"]
    assert row["recall"]["of"] + sum(row["failures_left_out"].values()) == told["fail"]
    assert row["waiting"] == 0
    assert len(watching.leads) == row["recall"]["hits"]
    assert all(0 <= lead <= HORIZON for lead in watching.leads)
