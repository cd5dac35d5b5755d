"""Features: the vectors have their names, missing stays missing, and what comes late or twice does no harm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus.contracts.asks import Assess
from mendbus.contracts.messages import HealthSample
from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus.features.names import ERROR_FEATURES, HEALTH_FEATURES
from mendbus.features.samples import RANGES, Order, sensible
from mendbus.features.vectors import COLUMN_STATISTICS, error_features, health_features
from mendbus.features.window import MOST_GAUGES, SAMPLES, Window

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def sample(
    sequence: int,
    metrics: dict[str, float] | None = None,
    *,
    at: float | None = None,
    instance: str | None = "boot1",
    interval_ms: int = 500,
    gauges: dict[str, float] | None = None,
) -> HealthSample:
    """A sample; `at`: seconds after the start, by default one interval for each sequence number."""
    seconds = sequence * interval_ms / 1000 if at is None else at
    return HealthSample.model_validate(
        {
            "agent": {"kind": "runtime", "id": "a1", "instance": instance},
            "time_unix_nano": START + round(seconds * SECOND),
            "sequence": sequence,
            "interval_ms": interval_ms,
            "metrics": metrics or {},
            "gauges": gauges or {},
        }
    )


def filled(rows: list[dict[str, float]]) -> Window:
    window = Window()
    for sequence, metrics in enumerate(rows):
        window.add(sample(sequence, metrics), START)
    return window


def health(window: Window) -> dict[str, float]:
    return dict(zip(HEALTH_FEATURES, health_features(window).features.tolist(), strict=True))


rows_of_metrics = st.lists(
    st.dictionaries(
        st.sampled_from(METRICS),
        st.floats(min_value=0, max_value=1, width=32) | st.integers(min_value=0, max_value=1).map(float),
        max_size=len(METRICS),
    ),
    max_size=140,
)


def test_the_vectors_have_32_and_64_named_features() -> None:
    """The layout that models rely on: one-hots first, five statistics a metric, four features of errors last."""
    assert (len(ERROR_FEATURES), len(HEALTH_FEATURES)) == (32, 64)
    assert len({*ERROR_FEATURES, *HEALTH_FEATURES}) == 96
    assert ERROR_FEATURES[5] == "kind_orchestrator"
    assert ERROR_FEATURES[6:10] == ("severity_warning", "severity_error", "severity_critical", "severity_fatal")
    assert (ERROR_FEATURES[10], ERROR_FEATURES[19]) == ("category_memory", "category_security")
    assert ERROR_FEATURES[20:23] == ("memory_gib", "cpu_fraction", "errors_per_minute")
    assert HEALTH_FEATURES[:5] == tuple(f"cpu_percent_{name}" for name in ("last", "mean", "std", "slope", "z"))
    assert HEALTH_FEATURES[55:60] == tuple(f"queue_depth_{name}" for name in ("last", "mean", "std", "slope", "z"))


@given(rows_of_metrics)
@settings(max_examples=60)
def test_statistics_agree_with_their_definitions(rows: list[dict[str, float]]) -> None:
    """Last, mean, deviation, slope and z of each metric are those of the last 120 samples that have it; else NaN."""
    found = health(filled(rows))
    for metric in METRICS:
        held = [(0.5 * n, row[metric]) for n, row in enumerate(rows) if metric in row and n >= len(rows) - SAMPLES]
        last, mean, std, slope, z = (found[f"{metric}_{name}"] for name in ("last", "mean", "std", "slope", "z"))
        if not held:
            assert all(map(math.isnan, (last, mean, std, slope, z)))
            continue
        times, values = np.array(held).T
        assert last == np.float32(values[-1])
        assert mean == pytest.approx(values.mean(), rel=1e-6, abs=1e-9)
        if len(held) < 2:
            assert all(map(math.isnan, (std, slope, z)))
            continue
        assert std == pytest.approx(values.std(), rel=1e-5, abs=1e-7)
        assert slope == pytest.approx(np.polyfit(times, values, 1)[0], rel=1e-4, abs=1e-6)
        if std == 0.0:
            assert z == 0.0
        else:
            assert z == pytest.approx((last - mean) / std, rel=1e-6, abs=1e-6)


@given(rows_of_metrics)
@settings(max_examples=60)
def test_missing_is_missing_never_zero(rows: list[dict[str, float]]) -> None:
    """A feature is a number exactly where its metric was seen often enough."""
    found = health(filled(rows))
    for metric in METRICS:
        seen = sum(metric in row for row in rows[-SAMPLES:])
        assert math.isnan(found[f"{metric}_last"]) == (seen == 0)
        assert math.isnan(found[f"{metric}_slope"]) == (seen < 2)
        assert math.isnan(found["errors_peak_per_s"]) == (not any("errors_per_s" in row for row in rows[-SAMPLES:]))


def test_an_empty_window_has_no_features() -> None:
    """Nothing heard is all NaN."""
    assert np.isnan(health_features(Window()).features).all()


@pytest.mark.parametrize("value", [0.1, 7.0, 123_456_789.123, 1e15])
def test_a_metric_that_does_not_move_has_no_slope_and_no_z(value: float) -> None:
    """Rounding is no movement, at any magnitude."""
    found = health(filled([{"memory_bytes": value}] * 50))
    assert found["memory_bytes_z"] == 0.0
    assert found["memory_bytes_slope"] == pytest.approx(0.0, abs=value * 1e-9)


def test_slope_is_per_second_of_the_agents_clock() -> None:
    """A leak of 1 MiB a second is that, at any interval."""
    for interval_ms in (100, 500, 5000):
        window = Window()
        for n in range(40):
            grown = 1e9 + (1 << 20) * n * interval_ms / 1000
            window.add(sample(n, {"memory_bytes": grown}, interval_ms=interval_ms), START)
        assert health(window)["memory_bytes_slope"] == pytest.approx(1 << 20, rel=1e-3)


def test_samples_of_one_moment_have_no_slope() -> None:
    """Where all times are the same there is no slope, and no error."""
    window = Window()
    for n in range(3):
        window.add(sample(n, {"cpu_percent": float(n)}, at=0.0), START)
    assert math.isnan(health(window)["cpu_percent_slope"])
    assert window.rows == 3


def test_the_error_features_of_health_tell_what_errors_did() -> None:
    """Peak, share of samples, share in the last ten seconds and quiet time follow from `errors_per_s`."""
    found = health(filled([{"errors_per_s": 4.0 if n in (10, 50) else 0.0} for n in range(60)]))
    assert found["errors_peak_per_s"] == 4.0
    assert found["errors_share_of_samples"] == pytest.approx(2 / 60)
    assert found["errors_share_recent"] == 0.5
    assert found["errors_quiet_s"] == pytest.approx(4.5)
    calm = health(filled([{"errors_per_s": 0.0}] * 60))
    assert [calm[name] for name in HEALTH_FEATURES[60:]] == [0.0, 0.0, 0.0, pytest.approx(29.5)]


def columns(window: Window, column: int) -> dict[str, float]:
    return dict(zip(COLUMN_STATISTICS, health_features(window).columns[:, column].tolist(), strict=True))


def test_a_gauge_has_the_statistics_of_a_metric() -> None:
    """In the order in which the agent first told of them, after the metrics; what it does not tell is missing."""
    window = Window()
    for n in range(60):
        told = {"threads": 17.0, "files": 4.0 + n} if n else {"threads": 17.0}
        window.add(sample(n, {"cpu_percent": 4.0 + n}, gauges=told), START)
    threads, files = columns(window, len(METRICS)), columns(window, len(METRICS) + 1)
    assert (threads["last"], threads["z"], threads["steady"]) == (17.0, 0.0, 0.0)
    assert (files["last"], files["mean"]) == (63.0, pytest.approx(34.0))
    assert files["slope"] == pytest.approx(columns(window, METRICS.index("cpu_percent"))["slope"])


def test_the_trend_of_the_last_seconds_forgets_those_before() -> None:
    """What began to fall twenty seconds ago falls now, whatever the whole window says; a straight line is steady."""
    window = Window()
    for n in range(120):
        window.add(sample(n, {"queue_depth": 500.0 + 10.0 * n if n < 80 else 2100.0 - 10.0 * n}), START)
    found = columns(window, METRICS.index("queue_depth"))
    assert found["slope"] > 0.0
    assert found["recent"] == pytest.approx(-20.0, rel=0.2)
    assert found["steady"] < -0.9


def test_what_only_came_late_has_a_mean_but_no_last_value() -> None:
    """A late sample tells of the past: it fills the window, and is the newest of nothing."""
    window = Window()
    for n, metrics in ((0, {}), (3, {}), (1, {"cpu_percent": 4.0}), (2, {"cpu_percent": 8.0})):
        window.add(sample(n, metrics), START)
    found = columns(window, METRICS.index("cpu_percent"))
    assert (found["mean"], found["slope"]) == (6.0, pytest.approx(8.0))
    assert math.isnan(found["last"])


def test_gauges_of_the_machine_and_without_bounds_are_not_the_agents() -> None:
    """No more than sixteen of an agent are kept, none of the machine's, and no number that is no level."""
    window = Window()
    told = {"host_cpu_percent": 1.0, "outbox_events": 1.0, "huge": 1e300}
    window.add(sample(0, gauges=told), START)
    assert window.values.shape[1] == len(METRICS)
    window.add(sample(1, gauges={f"g{n}": float(n) for n in range(40)}), START)
    assert window.values.shape[1] == len(METRICS) + MOST_GAUGES
    assert window.last[-1] == MOST_GAUGES - 1


@given(st.permutations(range(30)))
@settings(max_examples=60)
def test_the_order_of_arrival_does_not_count(order: list[int]) -> None:
    """Samples that come late and doubled make the same window as in order, and are counted."""
    metrics = [{"cpu_percent": float(n * n % 17), "errors_per_s": float(n % 3)} for n in range(30)]
    window = Window()
    for n in order:
        window.add(sample(n, metrics[n]), START)
        window.add(sample(n, metrics[n]), START)
    assert window.rows == 30
    assert window.arrivals["doubled"] + window.arrivals["late"] >= 30
    straight = health(filled(metrics))
    for name, value in health(window).items():
        assert value == pytest.approx(straight[name], rel=1e-6, abs=1e-6, nan_ok=True)


def test_a_full_window_takes_no_sample_older_than_itself() -> None:
    """What is older than the oldest sample of a full window is dropped."""
    window = Window()
    for n in range(1, SAMPLES + 1):
        window.add(sample(n, {"cpu_percent": 1.0}), START)
    assert window.add(sample(0, {"cpu_percent": 99.0}), START) == "late"
    assert health(window)["cpu_percent_mean"] == 1.0


def test_a_restarted_agent_starts_an_empty_window() -> None:
    """A new boot id, a sequence that begins anew and a clock set back make what was before incomparable."""
    for after in (
        sample(1, {"cpu_percent": 9.0}, at=10.0, instance="boot2"),
        sample(0, {"cpu_percent": 9.0}, at=10.0),
        sample(9, {"cpu_percent": 9.0}, at=-3600.0),
    ):
        window = filled([{"cpu_percent": 1.0, "disk_percent": 5.0}] * 5)
        assert window.add(after, START) == "restarted"
        found = health(window)
        assert (window.rows, found["cpu_percent_mean"]) == (1, 9.0)
        assert math.isnan(found["disk_percent_last"])


def test_a_straggler_of_the_process_before_is_dropped() -> None:
    """After a restart a late sample of the old process changes nothing."""
    window = filled([{"cpu_percent": 1.0}] * 5)
    window.add(sample(0, {"cpu_percent": 9.0}, at=10.0, instance="boot2"), START)
    assert window.add(sample(5, {"cpu_percent": 1.0}), START) == "late"
    assert window.rows == 1


def test_an_agent_without_a_boot_id_is_followed_too() -> None:
    """Order goes by sequence and time where an agent names no instance."""
    order = Order()
    found = [
        order.place(sample(n, at=at, instance=None)) for n, at in ((4, 2.0), (5, 2.5), (5, 2.5), (3, 1.5), (0, 3.0))
    ]
    assert found == ["next", "next", "doubled", "late", "restarted"]


def test_numbers_that_cannot_be_are_missing() -> None:
    """Negative, endless and impossible values are dropped, the others of the sample stay."""
    assert set(RANGES) == set(METRICS)
    absurd: dict[Metric, float] = {
        "memory_bytes": -1.0,
        "availability_ratio": 1.5,
        "disk_percent": 101.0,
        "response_time_ms": 1e300,
        "queue_depth": math.inf,
        "throughput_per_s": math.nan,
    }
    assert sensible({**absurd, "temperature_celsius": -40.0, "unheard_of": 1.0}) == {"temperature_celsius": -40.0}
    with np.errstate(all="raise"):
        found = health(filled([{**{m: v for m, v in absurd.items() if math.isfinite(v)}, "cpu_percent": 5.0}] * 3))
    assert (found["cpu_percent_last"], math.isnan(found["memory_bytes_last"])) == (5.0, True)


def ask(error: dict[str, object] | None = None, **more: object) -> Assess:
    return Assess.model_validate(
        {
            "error": {
                "id": "e1",
                "time_unix_nano": START,
                "agent": {"kind": "runtime", "id": "a1"},
                "exception": {"type": "E", "message": "four"},
                **(error or {}),
            },
            "fingerprint": "v1:0",
            "classification": {"category": "memory", "severity": "critical", "confidence": 0.7, "model": "m"},
            **more,
        }
    )


def test_error_features_say_what_they_are_named() -> None:
    """Each of the 32 carries what its name says, from the error, its classification, its counts and the window."""
    window = filled([{"memory_bytes": float(1 << 31), "cpu_percent": 150.0}])
    question = ask(
        {"count": 3, "operation": "compile", "checkpoint_id": "c1", "metrics": {"cpu_percent": 50.0}},
        errors_per_minute=6.0,
        recurrences=2,
        open_incidents=1,
    )
    found = dict(zip(ERROR_FEATURES, error_features(question, window).tolist(), strict=True))
    hot = {name for name in ERROR_FEATURES[:20] if found[name] == 1.0}
    assert hot == {"kind_runtime", "severity_critical", "category_memory"}
    assert all(found[name] == 0.0 for name in ERROR_FEATURES[:20] if name not in hot)
    assert [found[name] for name in ERROR_FEATURES[20:]] == pytest.approx(
        [2.0, 0.5, 6.0, 0.7, 2.0, 1.0, math.log(4), 0.0, 0.0, math.log(5), 1.0, 1.0]
    )


def test_unknown_kinds_and_categories_have_no_slot() -> None:
    """Any other kind, and the category `unknown`, leave their one-hots zero; unknown metrics are NaN."""
    question = ask(
        {"agent": {"kind": "toaster", "id": "a1"}},
        classification={"category": "unknown", "severity": "error", "confidence": 0.0, "model": "m"},
    )
    found = error_features(question, None)
    assert found[:6].tolist() == [0.0] * 6
    assert found[10:20].tolist() == [0.0] * 10
    assert np.isnan(found[20:22]).all()
