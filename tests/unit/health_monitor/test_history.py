"""What is kept of agents: seconds for ten minutes, minutes while they last, and nothing that was not told."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus import codec
from mendbus.contracts.messages import AgentRef, HealthMinute, HealthSeconds
from mendbus.contracts.subjects import bundle_of
from mendbus_health_monitor import history as module
from mendbus_health_monitor.history import MINUTE, SECONDS, History, minutes_of
from mendbus_health_monitor.rows import bundles, pack_minute, pack_seconds, points_of

AGENT = AgentRef(kind="runtime", id="a1")
START = 28_000_000 * MINUTE
"""A second with which a minute begins."""

samples = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=3 * MINUTE),
        st.dictionaries(
            st.sampled_from(("cpu_percent", "queue_depth")), st.floats(min_value=0, max_value=1e6, width=32), max_size=2
        ),
    ),
    max_size=60,
).map(lambda found: sorted(found, key=lambda one: one[0]))


def heard(told: list[tuple[int, dict[str, float]]], history: History | None = None) -> History:
    history = history or History(START)
    for second, metrics in told:
        history.add(AGENT, metrics.items(), 100.0, START + second)
    return history


def told_at(history: History, first: int = 0, last: int = SECONDS) -> dict[int, dict[str, float]]:
    return {second - START: means for second, means in history.points(AGENT.key, START + first, START + last)}


@given(samples)
@settings(max_examples=30, deadline=None)
def test_rows_say_what_the_samples_said(told: list[tuple[int, dict[str, float]]]) -> None:
    """Least, mean, most and count of each minute, and the mean of each second, are those of the samples in it."""
    history = heard(told)
    history.tick(START + 5 * MINUTE)
    rows = {minute.number - START // MINUTE: minute.metrics for minute in history.closed}
    assert rows.keys() == {second // MINUTE for second, _ in told}
    for number, row in rows.items():
        for name in ("cpu_percent", "queue_depth"):
            values = [metrics[name] for second, metrics in told if second // MINUTE == number and name in metrics]
            assert (name in row) == bool(values)
            if values:
                assert row[name] == pytest.approx(
                    (min(values), math.fsum(values) / len(values), max(values), len(values))
                )
    points = told_at(history)
    assert points.keys() == {second for second, _ in told}
    for second, means in points.items():
        values = [metrics["cpu_percent"] for at, metrics in told if at == second and "cpu_percent" in metrics]
        assert means.get("cpu_percent") == (pytest.approx(sum(values) / len(values), rel=1e-6) if values else None)


@given(samples)
@settings(max_examples=30, deadline=None)
def test_a_restart_changes_nothing_that_was_stored(told: list[tuple[int, dict[str, float]]]) -> None:
    """Seconds survive bundles, byte for byte as 32-bit floats, in a history that begins after them."""
    before = heard(told)
    before.tick(START + 4 * MINUTE)
    after = History(START + 4 * MINUTE)
    for window in range(START // 10, START // 10 + 19):
        for bundle in bundles(before):
            body = pack_seconds(before, bundle, window * 10, window * 10 + 9)
            if body is not None:
                for agent, second, means in points_of(codec.decode(HealthSeconds, body)):
                    assert after.put(agent, second, means, START + 4 * MINUTE)
                    assert not after.put(agent, second, means, START + 4 * MINUTE)
    after.tick(START + 4 * MINUTE)
    kept, known = told_at(after), told_at(before)
    assert kept.keys() == known.keys()
    for second, means in kept.items():
        assert means == pytest.approx(known[second], rel=1e-6)


def test_a_minute_under_way_at_a_restart_goes_on() -> None:
    """Its stored seconds count as one sample each, those heard live as they came."""
    history = History(START + 30)
    for second in range(20):
        assert history.put(AGENT, START + second, {"cpu_percent": 10.0}, START + 30)
    history.add(AGENT, [("cpu_percent", 40.0)], 100.0, START + 30)
    history.add(AGENT, [("cpu_percent", 40.0)], 100.0, START + 30)
    history.tick(START + MINUTE)
    [minute] = history.closed
    assert minute.metrics["cpu_percent"] == pytest.approx((10.0, 280 / 22, 40.0, 22))
    assert not minute.whole


def test_ten_minutes_are_kept_and_no_more() -> None:
    """After a long time exactly the last ten minutes are there, without the second under way."""
    history = heard([(second, {"cpu_percent": float(second)}) for second in range(2000)])
    points = told_at(history, 0, 3000)
    assert list(points) == list(range(2000 - SECONDS, 1999))
    assert points[1998]["cpu_percent"] == 1998.0


def test_who_is_silent_is_forgotten() -> None:
    """The seconds of an agent that has not been heard for ten minutes take no memory any more."""
    history = heard([(0, {})])
    history.tick(START + SECONDS)
    assert len(list(history.everyone())) == 1
    history.tick(START + SECONDS + 2 * MINUTE)
    assert list(history.everyone()) == []


def test_the_number_of_agents_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more agents than are kept, the one silent for longest is forgotten first."""
    monkeypatch.setattr(module, "MAX_AGENTS", 2)
    history = History(START)
    for second, name in enumerate(("a", "b", "a", "c")):
        history.add(AgentRef(kind="runtime", id=name), (), 100.0, START + second)
    assert [track.agent.id for track in history.everyone()] == ["a", "c"]


def test_a_metric_that_comes_and_goes_has_gaps() -> None:
    """What is not told in a second is missing in it, in the bundle too."""
    history = heard([(0, {"cpu_percent": 1.0}), (1, {}), (2, {"cpu_percent": 3.0, "queue_depth": 4.0})])
    history.tick(START + 5)
    assert told_at(history) == {
        0: {"cpu_percent": 1.0, "score": 100.0},
        1: {"score": 100.0},
        2: {"cpu_percent": 3.0, "queue_depth": 4.0, "score": 100.0},
    }
    body = pack_seconds(history, bundle_of("runtime", "a1"), START, START + 9)
    assert body is not None
    [agent] = codec.decode(HealthSeconds, body).agents
    assert agent.seconds == [0, 1, 2]
    assert agent.missing == {"cpu_percent": [1], "queue_depth": [0, 1]}
    assert list(points_of(codec.decode(HealthSeconds, body)))[1] == (AGENT, START + 1, {"score": 100.0})


def test_stored_points_that_cannot_be_are_left_out() -> None:
    """Seconds of the future, of too long ago, of names nobody knows and of numbers out of range are not taken."""
    history = History(START)
    assert not history.put(AGENT, START, {"cpu_percent": 1.0}, START)
    assert not history.put(AGENT, START - SECONDS, {"cpu_percent": 1.0}, START)
    assert not history.put(AGENT, START - 1, {"cpu": 1.0}, START)
    message = {
        "time_unix_nano": 0,
        "agents": [
            {
                "agent": {"kind": "k", "id": "a"},
                "seconds": [0, 1],
                "series": {"score": [1.0], "queue_depth": [1e300, 1.0]},
            }
        ],
    }
    told: list[Mapping[str, float]] = [
        means for _, _, means in points_of(codec.decode(HealthSeconds, codec.pack(message)))
    ]
    assert told == [{}, {"queue_depth": 1.0}]


def test_a_stored_minute_reads_as_it_was() -> None:
    """The bytes of a row are a HealthMinute; whole numbers take one byte."""
    history = heard([(0, {"cpu_percent": 1.5, "errors_per_s": 0.0}), (1, {"cpu_percent": 2.5, "errors_per_s": 0.0})])
    history.tick(START + MINUTE)
    [minute] = history.closed
    body = pack_minute(minute)
    row = codec.decode(HealthMinute, body)
    assert (row.agent, row.time_unix_nano) == (AGENT, START * 10**9)
    assert row.metrics == {
        "cpu_percent": [1.5, 2.0, 2.5, 2.0],
        "errors_per_s": [0.0, 0.0, 0.0, 2.0],
        "score": [100.0, 100.0, 100.0, 2.0],
    }
    assert len(body) < 130


def test_minutes_can_be_made_of_seconds() -> None:
    """Rows that nobody was left to store are made of the seconds that were, each counted as one sample."""
    points = [(START + second, {"cpu_percent": float(second)}) for second in (0, 1, 59, 60)]
    rows = minutes_of(points)
    assert list(rows) == [START // MINUTE, START // MINUTE + 1]
    assert rows[START // MINUTE]["cpu_percent"] == (0.0, 20.0, 59.0, 3)


def test_a_clock_set_back_loses_nothing_it_has() -> None:
    """When the monitor's clock jumps back, seconds are written over and rows are made; nothing raises."""
    history = heard([(100, {"cpu_percent": 1.0}), (40, {"cpu_percent": 2.0}), (41, {"cpu_percent": 3.0})])
    assert told_at(history) == {40: {"cpu_percent": 2.0, "score": 100.0}}
    assert [minute.number - START // MINUTE for minute in history.closed] == [1]
