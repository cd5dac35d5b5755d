"""Rehearsals: what calls and probes meet, one fault at a time, never twice, and always with an end."""

import asyncio
import errno
import os
import socket
import threading
import time
from typing import Any

import psutil
import pytest

from mendbus.contracts.messages import AgentRef, Probe, Rehearse, RehearseResult
from mendbus.contracts.subjects import Subjects
from mendbus.faults import FaultError, OperationFault, ProcessFault
from mendbus.faults.catalogue import FAULTS, fault_named
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operations
from mendbus.sdk.probes import Probes
from mendbus.sdk.rehearsal import REMEMBERED, Rehearsal
from mendbus.sdk.reports import Words
from mendbus.testing import eventually

AGENT = AgentRef(kind="runtime", id="r1", instance="boot")


class Bench:
    """An agent's operations and its rehearsals."""

    def __init__(self) -> None:
        self.reported: list[str] = []
        self.operations = Operations(self._report, lambda: None)
        self.caller = Caller()
        self.probes = Probes(self.operations, self.caller, time.time_ns)
        self.rehearsal = Rehearsal(AGENT, Subjects(), self.operations, self.caller)
        self._requests = 0

    def _report(self, error: Exception, words: Words) -> str:
        self.reported.append(type(error).__name__)
        return f"event-{len(self.reported)}"

    def operation(self, name: str, function: Any, probe: Any = None, *, idempotent: bool = False) -> Any:
        words = Words(operation=name)
        return self.operations.wrap(name, function, idempotent=idempotent, probe=probe, words=words)

    def ask(self, fault: str | None = None, action: str = "begin", **changes: Any) -> RehearseResult:
        """A request, and what follows its answer."""
        self._requests += 1
        values: dict[str, Any] = {
            "id": f"rehearsal-{self._requests}",
            "time_unix_nano": 1,
            "agent": AGENT,
            "action": action,
            "by": "kim",
            "fault": fault,
            "seconds": 5.0,
        }
        answer, begun = self.rehearsal.take(Rehearse(**(values | changes)))
        if begun is not None:
            self.rehearsal.start(begun)
        return answer

    async def healthy(self, operation: str) -> bool:
        probe = Probe(operation=operation, deadline_unix_nano=time.time_ns() + 10**10)
        return (await self.probes.answer(probe)).healthy


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- the faults themselves

RAISED: dict[str, tuple[type[Exception], int | None]] = {
    "refused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "dns": (socket.gaierror, None),
    "time_out": (TimeoutError, None),
    "disk_full": (OSError, errno.ENOSPC),
    "permission_denied": (PermissionError, errno.EACCES),
    "out_of_memory": (MemoryError, None),
    "missing_module": (ModuleNotFoundError, None),
    "syntax_error": (SyntaxError, None),
}


@pytest.mark.parametrize("name", RAISED)
def test_a_fault_raises_what_the_system_raises(name: str) -> None:
    """Each provokes the error that it is named for, with the number that the kernel gives."""
    fault = FAULTS[name]
    assert isinstance(fault, OperationFault)
    given = {"seconds": 0.02} if name == "time_out" else {}
    raised, number = RAISED[name]
    with pytest.raises(raised) as found:
        fault.meet(fault.values(given), threading.Event())
    if number is not None:
        assert isinstance(found.value, OSError)
        assert found.value.errno == number


def test_every_operation_fault_is_tried() -> None:
    """No fault of operations is left out of these tests."""
    named = {name for name, fault in FAULTS.items() if isinstance(fault, OperationFault)}
    assert named == RAISED.keys() | {"slow", "flaky", "deadlock"}


def test_a_flaky_upstream_fails_as_often_as_it_was_told() -> None:
    """Its share of the calls have their connection reset, the others go through."""
    fault = FAULTS["flaky"]
    assert isinstance(fault, OperationFault)
    always = fault.values({"probability": 1.0})
    with pytest.raises(ConnectionResetError):
        fault.meet(always, threading.Event())
    seldom = fault.values({"probability": 0.5})
    failed = 0
    for _ in range(200):
        try:
            fault.meet(seldom, threading.Event())
        except ConnectionResetError:
            failed += 1
    assert 60 <= failed <= 140


def test_a_slow_call_takes_longer_until_the_fault_is_over() -> None:
    """It waits for as long as it was told, and no longer once the fault has ended."""
    fault = FAULTS["slow"]
    assert isinstance(fault, OperationFault)
    begun = time.perf_counter()
    fault.meet(fault.values({"seconds": 0.05}), threading.Event())
    assert time.perf_counter() - begun >= 0.05
    over = threading.Event()
    over.set()
    begun = time.perf_counter()
    fault.meet(fault.values({"seconds": 30}), over)
    assert time.perf_counter() - begun < 5


def test_a_deadlock_holds_the_call_until_it_is_over() -> None:
    """Two threads wait for one another; the end of the fault lets the call go on."""
    fault = FAULTS["deadlock"]
    assert isinstance(fault, OperationFault)
    over = threading.Event()
    thread = threading.Thread(target=fault.meet, args=({}, over))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    over.set()
    thread.join(5.0)
    assert not thread.is_alive()


def test_values_have_bounds() -> None:
    """Defaults are filled in; what does not exist, is out of bounds, or is half of a whole number is refused."""
    leak = fault_named("leak")
    assert leak.values({"mib": 2}) == {"mib": 2, "mib_per_s": 64}
    for given in ({"mib": 0.0}, {"mib": 1e9}, {"mib": 1.5}, {"size": 1.0}, {"mib": float("nan")}):
        with pytest.raises(FaultError, match="leak"):
            leak.values(given)
    with pytest.raises(FaultError, match="no fault 'plague'"):
        fault_named("plague")
    for fault in FAULTS.values():
        assert fault.values({}) == {one.name: one.default for one in fault.parameters}


def _thread_of(name: str, **values: float) -> tuple[threading.Thread, threading.Event]:
    fault, over = FAULTS[name], threading.Event()
    assert isinstance(fault, ProcessFault)
    thread = threading.Thread(target=fault.run, args=(fault.values(values), over))
    thread.start()
    return thread, over


async def test_memory_is_taken_up_to_a_bound_and_given_back() -> None:
    """A leak takes what it was told, no more, and ends."""
    before = psutil.Process().memory_info().rss
    thread, over = _thread_of("leak", mib=24, mib_per_s=1024)
    await eventually(lambda: psutil.Process().memory_info().rss - before > 16 << 20, 5.0)
    over.set()
    thread.join(5.0)
    assert not thread.is_alive()


async def test_descriptors_are_taken_up_to_a_bound_and_given_back() -> None:
    """As many as it was told, and none of them is open afterwards."""
    before = psutil.Process().num_fds()
    thread, over = _thread_of("descriptors", count=100, per_s=100_000)
    await eventually(lambda: psutil.Process().num_fds() >= before + 100, 5.0)
    over.set()
    thread.join(5.0)
    assert psutil.Process().num_fds() < before + 100


# -- in an agent


async def test_calls_meet_it_and_then_the_function_again(bench: Bench) -> None:
    """So many calls fail for real and are reported; the one after them reaches the user's function."""
    run = bench.operation("fetch", lambda: "fetched")
    assert bench.ask("refused", calls=2).status == "begun"
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            run()
    assert run() == "fetched"
    assert bench.reported == ["ConnectionRefusedError"] * 2


async def test_asynchronous_calls_do_not_hold_their_loop(bench: Bench) -> None:
    """A call that waits in the fault lets others run, and one that fails raises what was provoked."""

    async def work(value: int) -> int:
        return value

    run = bench.operation("fetch", work)
    assert bench.ask("slow", parameters={"seconds": 0.2}, calls=1).status == "begun"
    waiting = asyncio.create_task(run(1))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    assert await run(2) == 2
    assert await waiting == 1
    assert bench.ask("disk_full", calls=1).status == "begun"
    with pytest.raises(OSError, match="No space left"):
        await run(3)


async def test_probes_and_tries_meet_it_and_alternatives_do_not(bench: Bench) -> None:
    """A registered probe fails while it lasts, as calls do; what the operation falls back to works."""
    probed: list[bool] = []
    run = bench.operation("fetch", lambda: "fetched", lambda: probed.append(True))
    bench.operations.add_fallback("fetch", "mirror", lambda: "mirror")
    begun = bench.ask("refused")
    with pytest.raises(ConnectionRefusedError):
        run()
    assert not await bench.healthy("fetch")
    assert probed == []
    operation = bench.operations.get("fetch")
    assert operation is not None
    operation.active = "mirror"
    assert run() == "mirror"
    assert await bench.healthy("fetch")
    operation.active = None
    assert not await bench.healthy("fetch")
    assert bench.ask(action="end", id=begun.id).detail == "taken back"
    assert await bench.healthy("fetch")
    assert run() == "fetched"


async def test_an_idempotent_operation_is_probed_by_a_call_that_meets_it(bench: Bench) -> None:
    """Without a probe of its own the failed call is made again, through the fault."""
    run = bench.operation("fetch", lambda: "fetched", idempotent=True)
    begun = bench.ask("refused")
    with pytest.raises(ConnectionRefusedError):
        run()
    assert not await bench.healthy("fetch")
    bench.ask(action="end", id=begun.id)
    assert await bench.healthy("fetch")


async def test_it_ends_by_itself(bench: Bench) -> None:
    """After its seconds no call meets it, and another rehearsal may begin."""
    run = bench.operation("fetch", lambda: "fetched")
    assert bench.ask("refused", seconds=0.05).status == "begun"
    await asyncio.sleep(0.1)
    assert run() == "fetched"
    assert bench.ask("refused", seconds=0.05).status == "begun"
    bench.rehearsal.close()
    assert run() == "fetched"


async def test_one_at_a_time(bench: Bench) -> None:
    """While one is under way another is refused, and a look names it; after its calls the next may begin."""
    run = bench.operation("fetch", lambda: "fetched")
    assert bench.ask(action="look").detail is None
    assert bench.ask("refused", calls=1).status == "begun"
    refused = bench.ask("slow")
    assert (refused.status, "refused is under way" in (refused.detail or "")) == ("refused", True)
    assert bench.ask(action="look").detail == "refused is under way"
    with pytest.raises(ConnectionRefusedError):
        run()
    assert bench.ask("dns").status == "begun"


async def test_a_repeated_request_is_done_once(bench: Bench) -> None:
    """The same id gets the same answer and brings nothing about; so does one whose end came first."""
    run = bench.operation("fetch", lambda: "fetched")
    first = bench.ask("refused", calls=1, id="a")
    with pytest.raises(ConnectionRefusedError):
        run()
    assert bench.ask("refused", calls=1, id="a") == first
    assert run() == "fetched"
    assert bench.ask(action="end", id="b").detail == "it was not under way"
    assert bench.ask("refused", id="b").status == "ended"
    assert run() == "fetched"
    for _ in range(REMEMBERED + 1):
        bench.ask(action="end")
    assert bench.ask("refused", calls=1, id="a").status == "begun"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent": AgentRef(kind="runtime", id="r2", instance="boot")}, "the request is for runtime/r2"),
        ({"agent": AgentRef(kind="runtime", id="r1", instance="other")}, "the request is for other"),
        ({"agent": AgentRef(kind="runtime", id="r1")}, "none by name"),
        ({"fault": None}, "needs a fault and seconds"),
        ({"seconds": None}, "needs a fault and seconds"),
        ({"fault": "plague"}, "no fault 'plague'"),
        ({"fault": "kill"}, "from outside"),
        ({"operation": None}, "name one of its operations: fetch, store"),
        ({"operation": "sing"}, "no operation 'sing': fetch, store"),
        ({"parameters": {"seconds": 1.0}}, "no parameter 'seconds'"),
        ({"fault": "leak"}, "takes no operation"),
        ({"fault": "leak", "operation": None, "calls": 1}, "takes no operation and no number of calls"),
        ({"fault": "blocked_loop", "operation": None}, "needs an event loop"),
    ],
)
async def test_what_makes_no_sense_is_refused(bench: Bench, changes: dict[str, Any], said: str) -> None:
    """A request that does not fit this agent is refused with a sentence, and changes nothing."""
    run = bench.operation("fetch", lambda: "fetched")
    bench.operation("store", lambda: "stored")
    answer = bench.ask(**({"fault": "refused", "operation": "fetch"} | changes))
    assert answer.status == "refused"
    assert said in (answer.detail or "")
    assert run() == "fetched"


async def test_the_only_operation_needs_no_name(bench: Bench) -> None:
    """With one operation it is the one that is meant; a look says who answers."""
    bench.operation("fetch", lambda: "fetched")
    assert bench.ask("refused").operation == "fetch"
    found = bench.ask(action="look")
    assert (found.status, found.instance, found.pid, found.operations) == ("ready", "boot", os.getpid(), ["fetch"])


async def test_a_fault_of_the_process_runs_until_its_end(bench: Bench) -> None:
    """Descriptors are held while it lasts, and given back when it is taken back."""
    before = psutil.Process().num_fds()
    begun = bench.ask("descriptors", parameters={"count": 200.0, "per_s": 100_000.0})
    await eventually(lambda: psutil.Process().num_fds() >= before + 200, 5.0)
    assert bench.ask(action="end", id=begun.id).detail == "taken back"
    await eventually(lambda: psutil.Process().num_fds() < before + 200, 5.0)
