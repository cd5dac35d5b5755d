"""Profiles: what uses the time is named, what waits is told apart, and a service answers for itself alone."""

import asyncio
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import memory_runtime
from tests.unit.cli.samples import INCIDENT, MS, REPORTED, outcome

from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import Times
from mendbus.profiling import flame, incidents, sampling, serving
from mendbus.runtime import Drain, Runtime, Service
from mendbus.traces import SpanRow

SUBJECTS = Subjects()


async def _drain() -> None:
    pass


async def _start(runtime: Runtime) -> Drain:
    await serving.offer(runtime)
    return _drain


def spin(seconds: float) -> None:
    """Uses the processor."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(100))


async def busy(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        spin(0.03)
        await asyncio.sleep(0.03)


async def test_a_function_that_uses_the_time_is_named() -> None:
    """CPU and wall time of a busy function, and the lateness that it causes, show in the profile."""
    seen, _ = await asyncio.gather(sampling.profile(0.6), busy(0.6))
    found = {one.name.split(" ")[0]: one for one in sampling.functions(seen)}
    assert found["spin"].cpu_ms > 0.6 * seen.cpu_seconds * 1e3
    assert found["spin"].wall_ms > 50
    assert found["busy"].cpu_ms >= found["spin"].cpu_ms
    assert seen.lag.max_ms > 10
    assert seen.wall_seconds >= 0.6


async def test_a_profile_leaves_nothing_behind() -> None:
    """Afterwards no timer runs, and nothing more is counted."""
    seen = await sampling.profile(0.05)
    before = dict(seen.cpu)
    spin(0.05)
    assert seen.cpu == before


@pytest.mark.parametrize(
    ("late", "lag"),
    [
        ([], (0, 0.0, 0.0, 0.0)),
        ([3.0], (1, 3.0, 3.0, 3.0)),
        ([float(n) for n in range(100, 0, -1)], (100, 50.0, 99.0, 100.0)),
    ],
)
def test_lateness_is_told_by_nearest_rank(late: list[float], lag: tuple[float, ...]) -> None:
    """Percentiles are values that were measured."""
    assert sampling.lag_of(late) == lag


async def test_a_service_answers_for_itself() -> None:
    """Only the named service, and the named replica, takes a profile and sends it."""
    server = MemoryServer()
    async with (
        memory_runtime(Service("classifier", "one", _start), server),
        memory_runtime(Service("predictor", "other", _start), server) as runtime,
    ):
        result, seen = await serving.ask(runtime.bus, SUBJECTS, "predictor", 0.1, "ann", 1, "test")
        assert (result.service, result.instance) == ("predictor", "test")
        assert seen.wall_seconds >= 0.1
        assert sum(seen.wall.values()) > 0
        with pytest.raises(BusError, match="at most 30"):
            await serving.ask(runtime.bus, SUBJECTS, "predictor", 31.0, "ann", 1)


async def test_two_profiles_at_once_are_one_too_many() -> None:
    """A second request while a profile is taken is refused in words, the first is answered."""
    server = MemoryServer()
    async with (
        memory_runtime(Service("classifier", "one", _start), server),
        memory_runtime(Service("predictor", "other", _start), server) as runtime,
    ):
        asked = [serving.ask(runtime.bus, SUBJECTS, name, 0.3, "ann", 1) for name in ("classifier", "predictor")]
        one, other = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in (one, other) if isinstance(answer, BusError)]
        assert len(refused) == 1
        assert "profiled" in str(refused[0])


async def test_a_replica_that_is_not_there_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers in the name of another replica."""
    monkeypatch.setattr(serving, "_ANSWER_SECONDS", 0.1)
    async with memory_runtime(Service("predictor", "other", _start)) as runtime:
        with pytest.raises(BusError, match="no profile"):
            await serving.ask(runtime.bus, SUBJECTS, "predictor", 0.05, "ann", 1, "another")


names = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6).map(tuple)


@given(st.dictionaries(names, st.integers(1, 1000), max_size=30))
def test_any_stacks_make_a_picture(stacks: dict[tuple[str, ...], float]) -> None:
    """Whatever names hold, the picture is well-formed XML and the lines are one a stack."""
    picture = ET.fromstring(flame.svg(stacks, "a <title> & more", "us"))
    assert picture.tag.endswith("svg")
    assert not list(picture.iter("{http://www.w3.org/2000/svg}script"))
    lines = [line for line in flame.collapsed({("a;b", "c"): 2.4}).splitlines() if line]
    assert lines == ["a,b;c 2"]


def span(name: str, span_id: str, parent: str, start: int, end: int) -> SpanRow:
    attributes: dict[str, str | bool | int | float] = {"mendbus.incident.id": INCIDENT}
    return SpanRow(
        "t" * 32, span_id, parent, name, "internal", "svc", REPORTED + start, REPORTED + end, attributes, "ok", None
    )


def test_the_stages_of_an_incident_add_up() -> None:
    """From reported to verified every stage follows the one before, the wait in the queue among them."""
    spans = [span("process error", "a", "", MS // 2, 30 * MS)]
    told = incidents.stages(outcome(), REPORTED + MS // 4, spans)
    assert [(stage.name, stage.ms, stage.source) for stage in told] == [
        ("send, store", 0.25, "stream"),
        ("queue wait", 0.25, "trace"),
        ("classify", 0.5, "outcome"),
        ("assess", 1.0, "outcome"),
        ("decide", 1.0, "outcome"),
        ("journal, command", 17.0, "outcome"),
        ("act", 4.0, "outcome"),
        ("verify", 1.0, "outcome"),
    ]
    assert sum(stage.ms for stage in told) == 25.0


def test_what_is_not_known_is_part_of_the_next_stage() -> None:
    """Without trace and stored error the incident's own id says when it was pulled; foreign ids say nothing."""
    told = incidents.stages(outcome(times=Times(reported=REPORTED - MS, verified=REPORTED + MS)), None, [])
    assert [(stage.name, stage.ms, stage.source) for stage in told] == [
        ("send, store, queue wait", 1.0, "id"),
        ("verify", 1.0, "outcome"),
    ]
    assert incidents.stages(outcome(incident_id="theirs"), None, [])[0].name == "classify"


def test_a_span_counts_without_what_is_inside_it() -> None:
    """Self time is what no child covers; a child that outlives its parent takes no more than there is."""
    spans = [
        span("process", "a", "", 0, 10 * MS),
        span("execute", "b", "a", 2 * MS, 6 * MS),
        span("outcome", "c", "a", 9 * MS, 12 * MS),
    ]
    assert incidents.stacks(spans) == {
        ("svc: process",): 5000.0,
        ("svc: process", "svc: execute"): 4000.0,
        ("svc: process", "svc: outcome"): 3000.0,
    }
    circle = [span("x", "a", "b", 0, MS), span("y", "b", "a", 0, MS)]
    assert incidents.stacks(circle) == {}
