"""Operations: timed, reported once, remembered, switched."""

import asyncio
import functools
from typing import Any

import pytest

from mendbus.sdk import operations as module
from mendbus.sdk.operations import Operations
from mendbus.sdk.reports import Words


class Reports:
    """What was reported, with an event id each; equal failures share one, as in the outbox."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Words]] = []
        self.changes = 0
        self.operations = Operations(self.take, self.changed)

    def take(self, error: Exception, words: Words) -> str:
        self.seen.append((str(error), words))
        return f"event {error}"

    def changed(self) -> None:
        self.changes += 1

    def wrap(self, name: str, function: Any, **more: Any) -> Any:
        options = {"idempotent": False, "probe": None, "words": Words(operation=name)} | more
        return self.operations.wrap(name, function, **options)


def fail(message: str = "boom") -> None:
    raise ValueError(message)


def test_a_failing_run_is_reported_and_raised() -> None:
    """The caller gets its exception, the report the operation's name and words, and the run is counted."""
    reports = Reports()
    run = reports.wrap("compile", fail, words=Words("critical", "build", "compile"))
    with pytest.raises(ValueError, match="boom"):
        run()
    ((message, words),) = reports.seen
    assert (message, *words[:3]) == ("boom", "critical", "build", "compile")
    assert words.seconds > 0
    runs = reports.operations.take_runs()
    assert (runs.succeeded, runs.failed) == (0, 1)
    assert runs.seconds > 0
    assert reports.operations.take_runs().failed == 0


async def test_asynchronous_operations_and_results() -> None:
    """Asynchronous operations are awaited, results pass through, and cancelling is no failure."""
    reports = Reports()

    async def work(value: int) -> int:
        if value < 0:
            fail("negative")
        if value == 0:
            await asyncio.Event().wait()
        return value

    run = reports.wrap("work", work)
    assert await run(3) == 3
    with pytest.raises(ValueError, match="negative"):
        await run(-1)
    task = asyncio.create_task(run(0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [message for message, _ in reports.seen] == ["negative"]
    sync = reports.wrap("sync", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        sync()
    assert len(reports.seen) == 1


def test_one_failure_is_reported_once() -> None:
    """What an inner operation or watch reported is not reported again by those around it; a new exception is."""
    reports = Reports()
    inner = reports.wrap("inner", fail)
    outer = reports.wrap("outer", inner)
    with pytest.raises(ValueError, match="boom"), reports.operations.watch(Words()):
        outer()
    assert [words.operation for _, words in reports.seen] == ["inner"]

    def translate() -> None:
        try:
            inner()
        except ValueError as error:
            raise KeyError("mine") from error

    reports.seen.clear()
    with pytest.raises(KeyError):
        reports.wrap("translate", translate)()
    assert [words.operation for _, words in reports.seen] == ["inner", "translate"]


def test_the_same_exception_object_raised_again_is_reported_again() -> None:
    """An exception that is kept and raised anew is a new failure."""
    reports = Reports()
    kept = ValueError("kept")

    def throw() -> None:
        raise kept

    run = reports.wrap("run", throw)
    for _ in range(3):
        with pytest.raises(ValueError, match="kept"):
            run()
    assert len(reports.seen) == 3


async def test_concurrent_runs_do_not_mix() -> None:
    """Two runs in different tasks each report their own failure, though one encloses the other in time."""
    reports = Reports()
    go = asyncio.Event()

    async def slow() -> None:
        await go.wait()
        raise shared

    async def quick() -> None:
        raise shared

    shared = ValueError("shared")
    first = asyncio.create_task(reports.wrap("slow", slow)())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="shared"):
        await reports.wrap("quick", quick)()
    go.set()
    with pytest.raises(ValueError, match="shared"):
        await first
    assert {words.operation for _, words in reports.seen} == {"quick", "slow"}


def test_failed_calls_are_remembered_under_their_event() -> None:
    """The calls behind an event are those that failed, each different one once, arguments as they were."""
    reports = Reports()
    run = reports.wrap("run", lambda *_, **__: fail())
    marker = object()
    for arguments in ((1, marker), (1, marker), (2, marker)):
        with pytest.raises(ValueError, match="boom"):
            run(*arguments, mode="fast")
    calls = reports.operations.calls_of(["event boom"], None)
    assert [(call.arguments, dict(call.named)) for call in calls] == [
        ((1, marker), {"mode": "fast"}),
        ((2, marker), {"mode": "fast"}),
    ]
    [last] = reports.operations.calls_of(["unheard-of"], "run")
    assert last.arguments == (2, marker)
    assert reports.operations.calls_of([], None) == []


def test_the_memory_of_calls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many calls are kept for one event, and in all; the oldest event's go first."""
    monkeypatch.setattr(module, "REMEMBERED_CALLS", 4)
    monkeypatch.setattr(module, "CALLS_PER_EVENT", 2)
    reports = Reports()
    run = reports.wrap("run", lambda name, _: fail(name))
    for name in ("a", "b", "c"):
        for number in range(3):
            with pytest.raises(ValueError, match=name):
                run(name, object() if number else None)
    assert [len(reports.operations.calls_of([f"event {name}"], None)) for name in "abc"] == [0, 2, 2]


def test_alternatives_take_the_place_of_the_primary() -> None:
    """While an alternative is active it gets the calls, and its failures say so."""
    reports = Reports()
    run = reports.wrap("fetch", lambda value: f"primary {value}")
    reports.operations.add_fallback("fetch", "mirror", lambda value: f"mirror {value}")
    reports.operations.add_fallback("fetch", "broken", lambda _: fail("alternative"))
    operation = reports.operations.get("fetch")
    assert operation is not None
    assert run(1) == "primary 1"
    operation.active = "mirror"
    assert run(1) == "mirror 1"
    operation.active = "broken"
    with pytest.raises(ValueError, match="alternative"):
        run(1)
    assert reports.seen[0][1].attributes == {"mendbus.alternative": "broken"}
    assert [(ref.name, ref.fallbacks) for ref in reports.operations.described()] == [("fetch", ["mirror", "broken"])]


def test_what_is_done_another_way_is_probed_that_way() -> None:
    """An alternative in use is exercised by its own probe, if it has one, else by the operation's."""
    reports = Reports()
    of_its_own, of_mirror = object, int
    _ = reports.wrap("fetch", fail, probe=of_its_own)
    reports.operations.add_fallback("fetch", "mirror", str, of_mirror)
    reports.operations.add_fallback("fetch", "cache", str)
    operation = reports.operations.get("fetch")
    assert operation is not None
    probes: dict[str | None, object] = {}
    for name in (None, "mirror", "cache"):
        operation.active = name
        probes[name] = operation.probing()
    assert probes == {None: of_its_own, "mirror": of_mirror, "cache": of_its_own}


async def test_an_asynchronous_operation_may_have_synchronous_alternatives_only_the_other_way_round_not() -> None:
    """A synchronous caller could not await; an asynchronous one takes either."""
    reports = Reports()

    async def primary() -> str:
        return "primary"

    run = reports.wrap("a", primary)
    reports.operations.add_fallback("a", "plain", lambda: "plain")
    operation = reports.operations.get("a")
    assert operation is not None
    operation.active = "plain"
    assert await run() == "plain"
    reports.wrap("s", lambda: None)
    with pytest.raises(TypeError, match="cannot be asynchronous"):
        reports.operations.add_fallback("s", "later", primary)
    reports.operations.add_fallback("t", "later", primary)
    with pytest.raises(TypeError, match="cannot be asynchronous"):
        reports.wrap("t", lambda: None)


def test_wrong_declarations_are_refused() -> None:
    """A name used twice, a name that does not fit the wire, and an alternative without a primary."""
    reports = Reports()
    reports.wrap("a", fail)
    reports.operations.add_fallback("a", "b", fail)
    with pytest.raises(ValueError, match="already"):
        reports.wrap("a", fail)
    with pytest.raises(ValueError, match="already"):
        reports.operations.add_fallback("a", "b", fail)
    for name in ("", "x" * 300):
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            reports.wrap(name, fail)
    reports.operations.add_fallback("lonely", "b", fail)
    lonely = reports.operations.get("lonely")
    assert lonely is not None
    assert [operation.name for operation in reports.operations.runnable()] == ["a"]
    with pytest.raises(RuntimeError, match="no primary"):
        lonely.current()
    assert reports.changes == 3


def test_methods_and_metadata_survive_the_decoration() -> None:
    """Methods can be operations, and a wrapped function keeps its name and signature."""
    reports = Reports()
    wrap = functools.partial(reports.wrap, "method")

    class Thing:
        factor = 2

        def method(self, value: int) -> int:
            """Doubles."""
            return self.factor * value

        method = wrap(method)  # type: ignore[assignment]

    assert Thing().method(4) == 8
    assert Thing.method.__doc__ == "Doubles."
