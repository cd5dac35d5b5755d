"""The metrics: counted exactly, bounded in number, one table for all, and readable as Prometheus text and as OTLP."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from mendbus import instruments, metrics
from mendbus.contracts.vocabulary import SERVICES
from mendbus.instruments import MOST_VALUES, OTHER, TABLE, Attribute, Instrument
from mendbus.metrics import Distribution, Meter, prometheus, prometheus_name
from mendbus.otlp_metrics import encode_metrics

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\} (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples of Prometheus text by name and labels; every line is a comment or a sample, and each is there once."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        name, labels, value = match.groups()
        key = name, tuple(LABEL.findall(labels))
        assert key not in found
        found[key] = float(value)
    return found


def test_the_table_has_each_name_once_and_in_full() -> None:
    """Unique names, also for Prometheus; units, meanings, services that exist, buckets where there is a histogram."""
    assert len({one.name for one in TABLE}) == len({prometheus_name(one) for one in TABLE}) == len(TABLE)
    made = {one for one in vars(instruments).values() if isinstance(one, Instrument)}
    assert made == set(TABLE)
    for one in TABLE:
        assert re.fullmatch(r"[a-z][a-z0-9_.]+", one.name)
        assert one.unit
        assert one.meaning
        assert set(one.services) <= set(SERVICES)
        assert bool(one.buckets) == (one.kind == "histogram")
        assert list(one.buckets) == sorted(set(one.buckets))


def test_the_page_on_metrics_is_the_table() -> None:
    """What people read is generated: `python -m mendbus.instruments` says how."""
    from pathlib import Path

    page = Path(instruments.__file__).parents[1] / "METRICS.md"
    assert instruments.markdown() in page.read_text()


@given(
    st.lists(st.tuples(st.sampled_from(["error", "fatal", "?"]), st.text(max_size=5), st.integers(1, 9)), max_size=60)
)
def test_nothing_that_is_counted_is_lost_however_it_is_labelled(some: list[tuple[str, str, int]]) -> None:
    """The series add up to all that was added, and there are no more than the attributes allow."""
    meter = Meter("s")
    for severity, kind, amount in some:
        meter.add(instruments.ERRORS, amount, severity, kind)
    rows = meter.collect()
    assert sum(float(row.value) for row in rows if not isinstance(row.value, Distribution)) == sum(n for *_, n in some)
    assert {row.values[0] for row in rows} <= {"error", "fatal", OTHER}
    assert {row.values[1] for row in rows} <= {*instruments.AGENT_KIND.values, OTHER}


def test_an_open_set_of_values_is_bounded() -> None:
    """The first values are told apart, whatever comes later counts as `other`, and known ones go on."""
    meter = Meter("s")
    for number in range(100):
        meter.add(instruments.DEAD_LETTERS, 1, f"code{number}")
    meter.add(instruments.DEAD_LETTERS, 1, "code0")
    found = {row.values[0]: row.value for row in meter.collect()}
    assert len(found) == MOST_VALUES + 1
    assert (found["code0"], found[OTHER]) == (2, 100 - MOST_VALUES)


def test_values_that_do_not_fit_an_instrument_are_a_mistake() -> None:
    """Too few or too many raise, instead of making a series that nobody finds."""
    with pytest.raises(ValueError, match="zip"):
        Meter().add(instruments.ERRORS, 1, "error")


@given(st.lists(st.floats(-1.0, 1e6), max_size=50))
def test_a_histogram_counts_each_measurement_in_the_bucket_it_fits(some: list[float]) -> None:
    """Buckets, count and sum agree; what is below zero counts as zero."""
    meter, stage = Meter("s"), instruments.STAGES_TAKEN
    for value in some:
        meter.record(stage, value, "queue")
    text = read(prometheus([meter]))
    name, labels = prometheus_name(stage), (("service_name", "s"), ("mendbus_stage", "queue"))
    if not some:
        assert not text
        return
    for bound in (*stage.buckets, float("inf")):
        below = [
            count
            for (found, those), count in text.items()
            if found == f"{name}_bucket" and float(those[-1][1]) == bound
        ]
        assert below == [sum(max(0.0, value) <= bound for value in some)]
    assert text[f"{name}_count", labels] == len(some)
    assert text[f"{name}_sum", labels] == pytest.approx(sum(max(0.0, value) for value in some))


def test_what_is_observed_is_read_when_asked_and_a_failure_leaves_the_rest() -> None:
    """The newest number counts; a reader that raises is left out."""
    meter, open_ = Meter("s"), {"major": 1}
    meter.observe(instruments.ALERTS, lambda: {(severity,): count for severity, count in open_.items()})
    meter.observe(instruments.QUEUE_LAG, lambda: 1 // 0)
    open_["major"] = 5
    open_["?"] = 2
    assert [(row.instrument, row.values, row.value) for row in meter.collect()] == [
        (instruments.ALERTS, ("major",), 5),
        (instruments.ALERTS, (OTHER,), 2),
    ]


def test_several_services_of_a_process_are_told_apart() -> None:
    """One page, each metric described once, each series with the service it is of."""
    one, two = Meter("classifier"), Meter("executor")
    for meter in (one, two):
        meter.add(instruments.DEAD_LETTERS, 2, 'a "b"\\\n')
    text = prometheus([one, two])
    assert text.count("# TYPE mendbus_dead_letters_total counter") == 1
    assert [dict(labels)["service_name"] for _, labels in read(text)] == ["classifier", "executor"]


def test_the_process_is_described() -> None:
    """CPU time, memory, descriptors and uptime are there, and none is zero where it cannot be."""
    meter = Meter("s")
    metrics.of_process(meter)
    found = read(prometheus([meter]))
    by_name = {name: value for (name, _), value in found.items()}
    assert set(by_name) == {
        "process_cpu_time_seconds_total",
        "process_memory_usage_bytes",
        "process_unix_file_descriptor_count",
        "process_uptime_seconds",
    }
    assert by_name["process_memory_usage_bytes"] > 1 << 20


names = st.text("abc.", min_size=1, max_size=8)
kinds: Any = st.sampled_from(["counter", "updowncounter", "gauge", "histogram"])


@given(
    kinds,
    st.lists(st.tuples(st.text(max_size=8), st.one_of(st.integers(-(2**62), 2**62), st.floats(allow_nan=False)))),
    st.integers(1, 2**63),
)
def test_requests_are_what_the_generated_classes_write(kind: Any, some: list[tuple[str, Any]], now: int) -> None:
    """Read with OpenTelemetry's own classes and written again they are the same bytes, and say the same numbers."""
    buckets = (0.5, 2.0) if kind == "histogram" else ()
    instrument = Instrument("a.b", kind, "s", "what it says", (Attribute("x"),), buckets=buckets)
    rows = [
        metrics.Series(instrument, (text,), Distribution([1, 0, 2], 3, float(value)) if buckets else value)
        for text, value in some
    ]
    body = encode_metrics(rows, {"service.name": "s"}, "mendbus", 1, now)
    request = ExportMetricsServiceRequest.FromString(body)
    assert request.SerializeToString() == body
    [resource] = request.resource_metrics
    assert [(a.key, a.value.string_value) for a in resource.resource.attributes] == [("service.name", "s")]
    found = resource.scope_metrics[0].metrics
    assert [(m.name, m.unit, m.description) for m in found] == ([("a.b", "s", "what it says")] if some else [])
    if not some:
        return
    data = getattr(found[0], {"histogram": "histogram", "gauge": "gauge"}.get(kind, "sum"))
    assert len(data.data_points) == len(some)
    for point, (text, value) in zip(data.data_points, some, strict=True):
        assert [a.value.string_value for a in point.attributes] == ([text] if text else [])
        assert (point.start_time_unix_nano, point.time_unix_nano) == (1, now)
        if buckets:
            assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([1, 0, 2], [0.5, 2.0])
            assert (point.count, point.sum) == (3, float(value))
        else:
            assert (point.as_int if isinstance(value, int) else point.as_double) == value
    if kind in ("counter", "updowncounter"):
        assert (data.is_monotonic, data.aggregation_temporality) == (kind == "counter", 2)
