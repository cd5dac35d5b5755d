"""When something runs out: the forecast against simulated walks; what is told of agents, kinds and Mendbus itself."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus.bus import Usage
from mendbus_health_monitor.capacity import CONFIDENCE, discrete, first_passage, told, wander_of
from mendbus_health_monitor.own_capacity import READ_SECONDS, OwnCapacity, Reading
from mendbus_health_monitor.running_out import Window, limit_of, of_kind, running_out
from mendbus_health_monitor.trend import trends


@given(
    st.floats(0.1, 1e9),
    st.floats(-1e3, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 1e9),
    st.floats(1.0, 1e6),
)
@settings(max_examples=80, deadline=None)
def test_any_forecast_is_in_order(distance: float, drift: float, unsure: float, wander: float, horizon: float) -> None:
    """Low, median and high are in that order, the chance is a probability, and nothing overflows."""
    found = first_passage(distance, drift, unsure, wander, horizon)
    assert 0.0 <= found.low <= found.eta <= found.high
    assert 0.0 <= found.chance <= 1.0


def test_a_straight_line_arrives_when_it_must() -> None:
    """Without doubt and without wandering the limit is reached at distance by drift."""
    found = first_passage(100.0, 2.0, 0.0, 0.0, 100.0)
    assert found.eta == pytest.approx(50.0, rel=0.03)
    assert found.chance > 0.99


def test_what_is_full_has_run_out_and_what_falls_never_does() -> None:
    """Nothing is left: now. Away from the limit and without wandering: never."""
    assert first_passage(0.0, 1.0, 0.0, 1.0, 60.0).eta == 0.0
    assert first_passage(100.0, -1.0, 0.0, 1e-9, 60.0).eta == inf


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Of simulated walks with a drift, estimated from their past alone, the told share reaches the limit within it."""
    random = np.random.default_rng(3)
    within = 0
    for _ in range(150):
        drift, spread = random.uniform(0.5, 2.0), random.uniform(0.5, 3.0)
        walk = np.cumsum(random.normal(drift, spread, 1500))
        past = walk[:120]
        estimate = (past[-1] - past[0]) / 119
        wander = wander_of(past, estimate, 1.0)
        found = first_passage(300.0, estimate, np.sqrt(wander / 119), wander, 600.0)
        reached = np.flatnonzero(walk[120:] >= past[-1] + 300.0)
        took = reached[0] + 1 if len(reached) else inf
        within += found.low <= took <= found.high
    assert abs(within / 150 - CONFIDENCE) < 0.12


@given(st.floats(0.0, 1e9))
@settings(max_examples=40, deadline=None)
def test_a_length_of_time_reads_well(seconds: float) -> None:
    """Some number and a unit, never an exponent."""
    text = told(seconds)
    assert "e+" not in text or seconds > 1e8
    assert text.split()[-1] in ("s", "min", "h", "d")


def window(values: np.ndarray, step: float = 1.0) -> Window:
    rows = values[:, None]
    return Window(rows, step, trends(np.arange(len(values)) * step, rows))


def brief(values: np.ndarray) -> Window:
    return window(values)._replace(brief=True)


def test_the_clearest_window_decides() -> None:
    """A steady rise towards the limit is told from the longer of two windows that both show it."""
    values = 10.0 + np.arange(60.0) + np.tile([0.0, 0.3], 30)
    found = running_out("runtime/a", "queue_depth", 0, 69.0, 129.0, [window(values[-24:]), window(values)])
    assert found is not None
    assert found.per_second == pytest.approx(1.0, abs=0.02)
    assert found.lasts == pytest.approx(60.0)
    assert found.forecast.low <= 60 <= found.forecast.high
    assert found.forecast.eta == pytest.approx(60, rel=0.2)
    assert "runs out" in found.sentence
    assert "at the earliest" in found.sentence
    assert "runtime" in found.scale


@pytest.mark.parametrize(("limit", "chance"), [(129.0, 0.62), (200.0, 0.45), (300.0, 0.33), (75.0, 0.93)])
def test_a_rise_is_believed_for_as_long_as_it_has_lasted(limit: float, chance: float) -> None:
    """What has risen for a minute reaches a limit a minute away likelier than not, one four minutes away hardly."""
    values = 10.0 + np.arange(60.0) + np.tile([0.0, 0.3], 30)
    found = running_out("runtime/a", "queue_depth", 0, 69.0, limit, [window(values)])
    assert found is not None
    assert found.forecast.chance == pytest.approx(chance, abs=0.05)
    assert (found.forecast.high == inf) == (chance < CONFIDENCE + (1 - CONFIDENCE) / 2)


def test_a_rise_is_as_old_as_it_has_been_as_steep() -> None:
    """A short window that shows a rise clearly does not make it young; a plateau before it does not make it old."""
    steady = np.concatenate([np.full(40, 10.0), 10.0 + np.arange(80.0)]) + np.tile([0.0, 0.3], 60)
    found = running_out("runtime/a", "queue_depth", 0, 89.0, 200.0, [window(steady[-24:]), window(steady)])
    assert found is not None
    assert 80 <= found.lasts <= 110
    late = np.concatenate([np.full(90, 60.0), 60.0 + np.arange(30.0)]) + np.tile([0.0, 0.3], 60)
    found = running_out("runtime/a", "queue_depth", 0, 89.0, 200.0, [window(late[-24:]), window(late)])
    assert found is not None
    assert found.lasts <= 45


def test_what_fills_up_in_a_bend_is_told() -> None:
    """A queue that grows faster and faster is foretold by its last dozen values once much of its limit is used."""
    bent = np.r_[np.zeros(20), 0.6 * np.arange(12.0) ** 2]
    found = running_out("runtime/a", "queue_depth", 0, float(bent[-1]), 100.0, [brief(bent[-12:]), brief(bent[-24:])])
    assert found is not None
    assert found.forecast.chance > 0.5


def test_a_rise_is_as_old_as_is_remembered() -> None:
    """What only a short window has looked at has lasted for longer when the values before it say so."""
    values = 10.0 + np.arange(60.0)
    short = running_out("runtime/a", "queue_depth", 0, 69.0, 129.0, [window(values[-12:])])
    whole = running_out("runtime/a", "queue_depth", 0, 69.0, 129.0, [window(values[-12:])], past=lambda: (values, 1.0))
    assert short is not None
    assert whole is not None
    assert (short.lasts, whole.lasts) == (12.0, pytest.approx(60.0))


def test_a_handful_of_values_is_enough_of_what_is_strange_already() -> None:
    """Eight that rise one after the other foretell that a strange queue fills up, and nothing of any other."""
    bent = brief(30.0 + 0.6 * np.arange(8.0) ** 2)
    chances: list[float] = []
    for strange in (True, False):
        found = running_out(
            "runtime/a", "queue_depth", 0, 59.4, 100.0, [bent, brief(np.full(12, 1.0))], strange=strange
        )
        assert found is not None
        chances.append(found.forecast.chance)
    assert chances[0] > 0.5
    assert chances[1] == 0.0


def test_what_rises_to_where_it_was_before_is_no_sign() -> None:
    """A level that was as high without running out is told only when it comes near its limit, or goes higher."""
    values = 10.0 + np.arange(60.0)
    for known, runs_out in ((80.0, False), (60.0, True)):
        found = running_out("runtime/a", "queue_depth", 0, 69.0, 129.0, [window(values)], known=known)
        assert found is not None
        assert (found.forecast.chance > 0.5) is runs_out


def test_a_limit_that_is_looked_at_now_and_then_is_further_away() -> None:
    """Of simulated walks near their limit, looked at once a second, the told share reaches it within the interval."""
    random = np.random.default_rng(5)
    within = 0
    for _ in range(150):
        way = random.uniform(0.2, 4.0)
        walk = np.cumsum(random.normal(0.0, 1.0, 3000))
        found = first_passage(discrete(way, 1.0, 1.0), 0.0, 0.0, 1.0, 600.0)
        reached = np.flatnonzero(walk >= way)
        took = reached[0] + 1 if len(reached) else inf
        within += found.low - 1 <= took <= found.high + 1
    assert abs(within / 150 - CONFIDENCE) < 0.12


def test_what_stays_does_not_run_out() -> None:
    """A level without a trend and far from its limit has no end, and no sentence about one."""
    found = running_out("runtime/a", "memory_bytes", 0, 1e8, 1e9, [window(1e8 + np.tile([0.0, 1e5, 2e5], 20))])
    assert found is not None
    assert found.forecast.chance == 0.0
    assert "eta_seconds" not in found.row()
    assert "scale" not in found.row()


def test_a_level_over_its_limit_has_run_out() -> None:
    """It is said at once."""
    found = running_out(
        "runtime/a", "descriptors", 0, 101.0, 100.0, [window(np.full(40, 101.0) + np.tile([0.0, 1.0], 20))]
    )
    assert found is not None
    assert found.forecast.eta == 0.0
    assert "has run out" in found.sentence


def test_limits_are_the_agents_own() -> None:
    """A disk is full at 100 per cent; everything else has no limit unless one is told."""
    assert limit_of("disk_percent", {}) == 100.0
    assert limit_of("memory_bytes", {}) is None
    assert limit_of("queue_depth", {"queue_depth": 50.0}) == 50.0


def test_a_kind_names_who_runs_out_first() -> None:
    """Two of three agents fill up: the kind says so, who is first, and what to scale."""
    rises = [
        running_out(f"runtime/{n}", "queue_depth", 0, n * 20.0, n * 20.0 + 20.0, [window(n * np.arange(40.0) / 2)])
        for n in (1, 2)
    ]
    still = running_out("runtime/0", "queue_depth", 0, 1.0, 100.0, [window(np.tile([1.0, 2.0], 20))])
    row = of_kind("runtime", "queue_depth", [found for found in (*rises, still) if found is not None])
    assert (row["agents"], row["running_out"], row["first"]) == (3, 2, "runtime/2")
    assert "all runtime agents" in row["scale"] or "kind runtime" in row["scale"]
    # All of them together are at 61 of 200 and rise by 1.5 a second, as they have for 40 s: that may well end before.
    assert row["chance"] < 0.5


def reading(number: int, size: int = 0, recoveries: int = 0, waiting: int = 0) -> Reading:
    return Reading(
        int(number * READ_SECONDS) * 10**9,
        recoveries,
        waiting,
        {"ERRORS": Usage(size, 1000, 0, 0), "JOURNAL": Usage(size, 1000, 0, 0)},
    )


def own() -> OwnCapacity:
    return OwnCapacity(100.0, frozenset({"ERRORS"}))


def test_a_stream_that_fills_up_is_told_ahead_and_only_where_it_then_refuses() -> None:
    """Of two streams that fill alike, the one that drops its oldest is no finding."""
    held = own()
    for number in range(40):
        held.add(reading(number, size=300 + 10 * number + number % 2))
    assert [(found.agent, found.finding) for found in held.findings()] == [("mendbus/ERRORS", "exhaustion")]
    rows = {row["stream"]: row for row in held.row()["streams"]}
    assert rows["JOURNAL"]["eta_seconds"] == pytest.approx(310, rel=0.2)


def test_recoveries_have_headroom_until_they_saturate() -> None:
    """The rate of now, the peak, and what is left to what is sustained; a rise towards that is told."""
    held = own()
    for number in range(40):
        held.add(reading(number, recoveries=round(READ_SECONDS * 20)))
    recoveries = held.row()["recoveries"]
    assert (recoveries["now_per_s"], recoveries["headroom_per_s"]) == (20.0, 80.0)
    assert held.findings() == []
    for number in range(40, 80):
        held.add(reading(number, recoveries=round(READ_SECONDS * (20 + 1.5 * (number - 40)))))
    assert [found.metric for found in held.findings()] == ["recoveries_per_s"]


def test_errors_that_pile_up_are_told_and_keep_their_beginning() -> None:
    """The same finding stands from one reading to the next, with the time at which it began."""
    held = own()
    for number in range(30):
        held.add(reading(number, waiting=50 * number))
    (first,) = held.findings()
    held.add(reading(30, waiting=1500))
    (then,) = held.findings()
    assert first.metric == "errors_waiting"
    assert then.since_unix_nano <= first.since_unix_nano


def test_a_gap_in_the_readings_begins_anew() -> None:
    """What was before a long silence, or before a clock set back, is not compared with what comes after."""
    held = own()
    for number in range(30):
        held.add(reading(number, waiting=50 * number))
    held.add(reading(100, waiting=5000))
    assert held.findings() == []
    assert "now_per_s" not in held.row()["recoveries"]


def test_before_the_first_reading_nothing_is_known() -> None:
    """An empty row, and no finding."""
    assert own().row() == {}
    assert own().findings() == []
