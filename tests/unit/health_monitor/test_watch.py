"""One agent under watch: what is found, when it begins and ends, and what wakes nobody."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus_health_monitor.findings import RULES, Finding, shown
from mendbus_health_monitor.series import FAST_ROWS, SLOW_ROWS, SLOW_STEP, Ring, Series
from mendbus_health_monitor.watch import HOLD_ROWS, LOOK_SECONDS, Watch

SECOND = 10**9
START = 1_700_000_000
LIMITS = {"memory_bytes": 1e9, "queue_depth": 100.0}


def run(
    values: Callable[[int, np.random.Generator], Mapping[str, float]], seconds: int, watch: Watch | None = None
) -> tuple[Watch, list[tuple[int, set[tuple[str, str]]]]]:
    """Feeds a sample a second; returns what stood after each look that changed it."""
    watch = watch or Watch("runtime/a", 1000)
    random = np.random.default_rng(11)
    stood: set[tuple[str, str]] = set()
    changes: list[tuple[int, set[tuple[str, str]]]] = []
    for second in range(seconds):
        now = (START + second) * SECOND
        if watch.add(values(second, random), LIMITS, now):
            watch.look(now)
            now_stands = {(found.metric, found.finding) for found in watch.findings}
            if now_stands != stood:
                changes.append((second, now_stands))
                stood = now_stands
    return watch, changes


def calm(_: int, random: np.random.Generator) -> dict[str, float]:
    return {
        "cpu_percent": float(random.normal(30, 5)),
        "memory_bytes": float(random.normal(2e8, 1e6)),
        "disk_percent": 40.0,
        "errors_per_s": float(random.poisson(0.02)),
        "response_time_ms": float(20 * random.lognormal(0, 0.4)),
        "availability_ratio": 1.0,
        "queue_depth": float(random.poisson(3)),
        "descriptors": 40.0,
    }


def test_in_calm_nothing_is_found() -> None:
    """A quarter of an hour of an agent at work, noise and bursts and all, has no finding."""
    _, changes = run(calm, 900)
    assert changes == []


def test_a_level_shift_is_one_change_and_then_the_usual() -> None:
    """No storm: the new level is told once, held for a while, and counts as usual from then on."""

    def shifted(second: int, random: np.random.Generator) -> dict[str, float]:
        values = calm(second, random)
        return values | {"response_time_ms": values["response_time_ms"] * (6 if second >= 300 else 1)}

    _, changes = run(shifted, 300 + HOLD_ROWS + 300)
    found = [finding for _, stands in changes for finding in stands]
    assert {metric for metric, _ in found} == {"response_time_ms"}
    began = [second for second, stands in changes if ("response_time_ms", "change") in stands]
    assert 300 < began[0] < 400
    assert changes[-1][1] == set()
    assert 300 + HOLD_ROWS <= changes[-1][0] <= 300 + HOLD_ROWS + 120


def test_a_leak_is_a_trend_and_an_exhaustion_with_its_eta() -> None:
    """Memory that climbs to its limit is told minutes ahead, and the time told comes true."""

    def leaking(second: int, random: np.random.Generator) -> dict[str, float]:
        return calm(second, random) | {"memory_bytes": 2e8 + random.normal(0, 1e6) + 4e6 * max(0, second - 200)}

    watch, changes = run(leaking, 330)
    began = next(second for second, stands in changes if ("memory_bytes", "exhaustion") in stands)
    assert began <= 300
    (out,) = [found for found in watch.findings if found.finding == "exhaustion"]
    # 1e9 is reached at second 400, and the last look may be as old as looks are apart.
    assert out.eta_low is not None
    assert out.eta_high is not None
    assert out.eta_low <= 70 + LOOK_SECONDS
    assert out.eta_high >= 70
    assert any(found.finding == "trend" and found.harmful for found in watch.findings)


def test_a_queue_that_fills_up_in_seconds_is_told_before_it_is_full() -> None:
    """What fills up within twenty seconds is looked at more often once it is strange, and told in time."""

    def flooded(second: int, random: np.random.Generator) -> dict[str, float]:
        return calm(second, random) | {"queue_depth": min(100.0, 0.25 * max(0, second - 300) ** 2)}

    watch, changes = run(flooded, 320)
    began = next(second for second, stands in changes if ("queue_depth", "exhaustion") in stands)
    assert 310 <= began < 320
    assert "runs out" in next(found.sentence for found in watch.findings if found.finding == "exhaustion")


def test_what_gets_better_is_not_harmful() -> None:
    """Response times that fall to a fifth are told, and said to do no harm."""

    def better(second: int, random: np.random.Generator) -> dict[str, float]:
        values = calm(second, random)
        return values | {"response_time_ms": values["response_time_ms"] * (20 if second < 300 else 1)}

    watch, _ = run(better, 420)
    assert [found for found in watch.findings if found.harmful] == []


def test_one_wild_value_wakes_nobody() -> None:
    """A single row, however far out, is no finding."""

    def wild(second: int, random: np.random.Generator) -> dict[str, float]:
        return calm(second, random) | ({"response_time_ms": 1e7, "queue_depth": 1e6} if second == 300 else {})

    _, changes = run(wild, 400)
    assert changes == []


def test_what_recurs_is_usual() -> None:
    """A burst every quarter of an hour is an anomaly at first and no longer one after some of them."""

    watch = Watch("runtime/a", 1000, {"cpu_percent": RULES["cpu_percent"]})
    random = np.random.default_rng(11)
    began: list[int] = []
    for second in range(900 * 6):
        burst = second % 900 >= 892
        due = watch.add({"cpu_percent": 100.0 if burst else random.normal(30, 5)}, {}, (START + second) * SECOND)
        # Looks far from a burst are left out for the sake of time; each scores every row since the one before it.
        if due and (second % 900 > 860 or second % 900 < 60):
            stood = bool(watch.findings)
            watch.look((START + second) * SECOND)
            began += [second] if watch.findings and not stood else []
    assert 1 <= len(began) <= 3
    assert all(second < 900 * 4 for second in began)


def test_findings_end_when_an_agent_rests() -> None:
    """What was found of an agent that has fallen silent is let go of."""
    watch, _ = run(lambda s, r: calm(s, r) | {"memory_bytes": 1.1e9 + s % 2 * 1e6}, 60)
    assert watch.findings
    watch.rest()
    assert watch.findings == []


@given(st.lists(st.dictionaries(st.sampled_from(list(RULES)), st.floats(-1e15, 1e15)), min_size=30, max_size=60))
@settings(max_examples=5, deadline=None)
def test_any_values_are_looked_at_without_failing(rows: list[dict[str, float]]) -> None:
    """Whatever comes in, a look ends, and each row it tells is finite."""
    watch = Watch("a/b", 1000)
    for second, row in enumerate(rows * 2):
        if watch.add(row, LIMITS, (START + second) * SECOND):
            watch.look((START + second) * SECOND)
    for found in watch.findings:
        assert found.sentence
        assert all(np.isfinite(v) for v in found.row().values() if isinstance(v, float))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=80))
@settings(max_examples=40, deadline=None)
def test_a_ring_holds_the_newest_rows_by_number(steps: list[int]) -> None:
    """Whatever was left out is NaN, and no more than the size is held."""
    ring, number, put = Ring(50, 1), 0, {}
    for step in steps:
        number += step
        put[number] = float(number)
        ring.put(number, np.array([float(number)]))
    rows = ring.since(ring.first)[:, 0]
    assert len(rows) == len(ring) <= 50
    for place, value in enumerate(rows):
        expected = put.get(ring.first + place)
        assert np.isnan(value) if expected is None else value == expected


def test_rows_are_means_and_slow_rows_are_means_of_those() -> None:
    """Two values a second make one row a second and one every two minutes, also across a gap; size is bounded."""
    series = Series(("x",), 500)
    for half in range(2 * SLOW_STEP * 5):
        if not 2 * SLOW_STEP * 2 <= half < 2 * SLOW_STEP * 3:
            series.add({"x": float(half % 2)}, START // SLOW_STEP * SLOW_STEP * SECOND + half * SECOND // 2)
    assert series.fast.since(0)[-1, 0] == 0.5
    slow = series.slow.since(0)[:, 0]
    assert slow[0] == 0.5
    assert np.isnan(slow).sum() == 1
    assert FAST_ROWS * 13 * 4 + SLOW_ROWS * 13 * 4 < 80_000


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("memory_bytes", 3 * 2**30, "3.0 GiB"), ("cpu_percent", 12.345, "12.35 %"), ("queue_depth", 7.0, "7")],
)
def test_values_read_well(metric: str, value: float, text: str) -> None:
    """Bytes come with binary prefixes, everything else in four digits with its unit."""
    assert shown(metric, value) == text


def test_a_row_leaves_out_what_is_not_known() -> None:
    """Nothing that is not finite goes over the wire, and `from` is called so."""
    row = Finding(
        "a/b", "queue_depth", "exhaustion", 1, True, 1.0, None, 2.0, 3.0, "it fills", eta_high=float("inf")
    ).row()
    assert row["from"] == 2.0
    assert "eta_high" not in row
    assert "p" not in row
