"""The default strategies and probes, on real callables."""

import asyncio
import threading
import time
from typing import Any

import pytest

from mendbus.contracts.messages import AgentRef, Probe, RecoveryCommand
from mendbus.sdk.budget import RetryBudget
from mendbus.sdk.checkpoints import Checkpoints
from mendbus.sdk.commands import Done, Order, StrategyError
from mendbus.sdk.levels import Level
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Isolated, Operations
from mendbus.sdk.probes import Probes
from mendbus.sdk.reports import Words
from mendbus.sdk.strategies import Feature, Strategies

pytestmark = pytest.mark.asyncio


class Setup:
    """An agent's registries without a bus."""

    def __init__(self) -> None:
        self.changes = 0
        self.reported: list[str] = []
        caller = Caller()
        self.caller = caller
        self.operations = Operations(self.report, self.changed)
        self.checkpoints = Checkpoints("bucket", "runtime", "r1", caller, time.time_ns)
        self.strategies = Strategies(self.operations, self.checkpoints, caller, self.changed, lambda: 1.0)
        self.probes = Probes(self.operations, caller, time.time_ns)

    def report(self, error: Exception, _words: Words) -> str:
        self.reported.append(str(error))
        return f"event-{len(self.reported)}"

    def changed(self) -> None:
        self.changes += 1

    def operation(self, name: str, function: Any, *, idempotent: bool = False, probe: Any = None) -> Any:
        return self.operations.wrap(name, function, idempotent=idempotent, probe=probe, words=Words(operation=name))

    async def order(self, strategy: str, action: str = "apply", timeout: float = 1.0, **changes: Any) -> Done:
        values: dict[str, Any] = {
            "command_id": "c1",
            "incident_id": "i1",
            "attempt": 1,
            "agent": AgentRef(kind="runtime", id="r1"),
            "action": action,
            "strategy": strategy,
            "parameters": {},
            "timeout_ms": 1000,
            "deadline_unix_nano": 1,
            "fence": 1,
        }
        handler = self.strategies.find(strategy)  # type: ignore[arg-type]
        assert handler is not None
        return await handler(Order(RecoveryCommand(**(values | changes)), asyncio.get_running_loop().time() + timeout))

    async def probe(self, operation: str | None = None, seconds: float = 1.0) -> tuple[bool, str]:
        result = await self.probes.answer(
            Probe(operation=operation, deadline_unix_nano=time.time_ns() + int(seconds * 1e9))
        )
        return result.healthy, result.detail or ""


class Flaky:
    """Fails so many times, then works; remembers how it was called."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[Any] = []

    def __call__(self, *arguments: Any) -> str:
        self.calls.append(arguments)
        if len(self.calls) <= self.failures:
            raise ConnectionError("down")
        return "up"


async def test_what_is_supported_follows_from_what_is_declared() -> None:
    """The hello lists exactly the strategies for which there is a handler or what the default needs."""
    setup = Setup()
    assert setup.strategies.supported() == []
    setup.operation("fetch", Flaky(0))
    assert setup.strategies.supported() == ["retry", "isolate"]
    setup.operations.add_fallback("fetch", "mirror", Flaky(0))
    setup.checkpoints.register(lambda: b"", lambda _content, _version: None)
    setup.strategies.add_feature("thumbnails", Feature(lambda: None, lambda: None))
    setup.strategies.add_handler("restart", lambda _: None)
    setup.strategies.add_level("workers", Level(lambda: 4, lambda _: None))
    assert setup.strategies.supported() == [
        *("retry", "fallback", "rollback", "isolate", "restart", "scale_down", "graceful_degradation")
    ]
    assert setup.changes == 5
    for wrong in ("escalate", "dance"):
        with pytest.raises(ValueError, match="no strategy"):
            setup.strategies.add_handler(wrong, lambda _: None)  # type: ignore[arg-type]


async def test_retry_really_makes_the_failed_call_again() -> None:
    """The failed call is made with its own arguments until it succeeds, and its failures are not reported again."""
    setup = Setup()
    flaky = Flaky(3)
    run = setup.operation("fetch", flaky)
    with pytest.raises(ConnectionError):
        run("a", 1)
    done = await setup.order("retry", event_ids=["event-1"], parameters={"max_tries": 5, "base_ms": 1, "max_ms": 2})
    assert flaky.calls == [("a", 1)] * 4
    assert done.detail == "1 failed call(s) succeeded after 3 tries"
    assert setup.reported == ["down"]
    assert await setup.probe("fetch") == (True, "its last execution succeeded")


async def test_retry_gives_up_after_its_tries_and_within_its_time() -> None:
    """Tries and time are bounded, and the operation's own exception is the answer."""
    setup = Setup()
    flaky = Flaky(100)
    run = setup.operation("fetch", flaky)
    with pytest.raises(ConnectionError):
        run()
    with pytest.raises(StrategyError) as failed:
        await setup.order("retry", event_ids=["event-1"], parameters={"max_tries": 4, "base_ms": 1, "max_ms": 1})
    assert (failed.value.code, len(flaky.calls)) == ("ConnectionError", 5)
    assert "failed again in 4 tries: down" in failed.value.detail
    with pytest.raises(StrategyError):
        await setup.order("retry", operation="fetch", timeout=0.0, parameters={"max_tries": 9, "base_ms": 50})
    assert len(flaky.calls) == 6
    with pytest.raises(StrategyError, match="call_forgotten"):
        await setup.order("retry", event_ids=["unheard-of"], operation="other")


class TimelessBudget(RetryBudget):
    """One for which no time passes."""

    def take(self, now: float) -> bool:
        return super().take(0.0 * now)


async def test_retry_stays_within_its_budget() -> None:
    """Beyond the tries that an agent's operations allow a retry is refused, under a code of its own."""
    setup, flaky = Setup(), Flaky(1000)
    setup.operations.retries = TimelessBudget()
    fetch = setup.operation("fetch", flaky)
    with pytest.raises(ConnectionError):
        fetch("a")

    async def refused(saying: str) -> int:
        before = len(flaky.calls)
        with pytest.raises(StrategyError, match=saying) as caught:
            await setup.order(
                "retry", timeout=60.0, event_ids=["event-1"], parameters={"max_tries": 1000, "base_ms": 0}
            )
        assert caught.value.code == "retry_budget"
        return len(flaky.calls) - before

    assert await refused("too many retries.*failed last with down") == 10
    assert await refused("too many retries for its operations$") == 0
    for _ in range(50):
        with pytest.raises(ConnectionError):
            fetch("b")
    assert await refused("too many retries") == 10


async def test_retry_works_for_asynchronous_operations() -> None:
    """An asynchronous operation is awaited when it is made again."""
    setup = Setup()
    flaky = Flaky(1)

    async def fetch(name: str) -> str:
        await asyncio.sleep(0)
        return flaky(name)

    run = setup.operation("fetch", fetch)
    with pytest.raises(ConnectionError):
        await run("a")
    await setup.order("retry", event_ids=["event-1"])
    assert flaky.calls == [("a",)] * 2


async def test_fallback_switches_on_to_the_next_and_back() -> None:
    """`to` names an alternative, nil is the next one; undo and restore go back to the primary."""
    setup = Setup()
    run = setup.operation("fetch", lambda: "primary")
    for name in ("mirror", "cache"):
        setup.operations.add_fallback("fetch", name, lambda name=name: name)
    await setup.order("fallback", operation="fetch", parameters={"to": None})
    assert run() == "mirror"
    await setup.order("fallback", parameters={})
    assert run() == "cache"
    with pytest.raises(StrategyError, match="no further alternative"):
        await setup.order("fallback", operation="fetch")
    await setup.order("fallback", "undo", operation="fetch")
    assert run() == "primary"
    await setup.order("fallback", operation="fetch", parameters={"to": "cache"})
    assert run() == "cache"
    with pytest.raises(StrategyError, match="no alternative 'moon'"):
        await setup.order("fallback", operation="fetch", parameters={"to": "moon"})
    await setup.order("fallback", "restore", operation="fetch")
    assert run() == "primary"
    with pytest.raises(StrategyError, match="no_operation"):
        await setup.order("fallback", operation="other")


async def test_fallback_finds_the_operation_of_the_event() -> None:
    """Without a name the operation is that of the failed call."""
    setup = Setup()
    run = setup.operation("fetch", Flaky(9))
    for name in ("fetch", "store"):
        setup.operations.add_fallback(name, "other", lambda: "other")
    setup.operation("store", Flaky(0))
    with pytest.raises(ConnectionError):
        run()
    await setup.order("fallback", event_ids=["event-1"])
    assert run() == "other"


async def test_degradation_switches_features_off_and_on() -> None:
    """Apply switches off what is on, undo and restore switch on what was switched off, each once."""
    setup = Setup()
    seen: list[str] = []
    for name in ("thumbnails", "search"):
        setup.strategies.add_feature(
            name, Feature(lambda name=name: seen.append(f"{name} on"), lambda name=name: seen.append(f"{name} off"))
        )
    await setup.order("graceful_degradation", parameters={"features": ["search"]})
    await setup.order("graceful_degradation", parameters={"features": None})
    await setup.order("graceful_degradation", "restore")
    await setup.order("graceful_degradation", "undo")
    assert seen == ["search off", "thumbnails off", "thumbnails on", "search on"]
    with pytest.raises(StrategyError, match="unknown_feature"):
        await setup.order("graceful_degradation", parameters={"features": ["x"]})
    assert setup.strategies.features == ["thumbnails", "search"]


async def test_one_feature_that_fails_does_not_keep_the_others() -> None:
    """A switch that raises is told, and the other features are switched all the same."""
    setup = Setup()
    seen: list[str] = []
    setup.strategies.add_feature("bad", Feature(lambda: None, lambda: 1 // 0))
    setup.strategies.add_feature("good", Feature(lambda: None, lambda: seen.append("off")))
    with pytest.raises(StrategyError, match="'bad': ZeroDivisionError"):
        await setup.order("graceful_degradation")
    assert seen == ["off"]


async def test_a_handler_of_the_users_own() -> None:
    """It takes the command, may be of either kind, goes before the default, and says what it did as it likes."""
    setup = Setup()
    setup.operation("fetch", Flaky(0))
    seen: list[RecoveryCommand] = []
    setup.strategies.add_handler("retry", seen.append)
    assert await setup.order("retry") == Done()
    assert seen[0].strategy == "retry"
    setup.strategies.add_handler("isolate", lambda command: f"{command.action} done")
    assert await setup.order("isolate", "restore") == Done("restore done")

    async def scale(_command: RecoveryCommand) -> Done:
        return Done("half", "level 4")

    setup.strategies.add_handler("scale_down", scale)
    assert await setup.order("scale_down") == Done("half", "level 4")


async def test_a_registered_probe_decides() -> None:
    """False and exceptions are unhealthy with a reason, anything else is healthy; both kinds of callable work."""
    setup = Setup()
    answers: list[Any] = [True, None, False, ValueError("still broken")]

    def probe() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    setup.operation("sync", Flaky(9), probe=probe)
    assert [await setup.probe("sync") for _ in range(4)] == [
        (True, ""),
        (True, ""),
        (False, "the probe returned False"),
        (False, "ValueError: still broken"),
    ]

    async def later() -> bool:
        return False

    setup.operations.add_probe("later", later)
    assert await setup.probe("later") == (False, "the probe returned False")


async def test_a_probe_has_its_deadline() -> None:
    """A probe that hangs, in a thread or on the loop, is unhealthy when its time is up; a late one at once."""
    setup = Setup()
    go = threading.Event()
    setup.operations.add_probe("thread", go.wait)
    setup.operations.add_probe("loop", lambda: asyncio.Event().wait())
    begun = asyncio.get_running_loop().time()
    for name in ("thread", "loop"):
        healthy, detail = await setup.probe(name, 0.03)
        assert not healthy
        assert detail.startswith("no answer within")
    assert asyncio.get_running_loop().time() - begun < 1.0
    go.set()
    assert await setup.probe("thread", -1.0) == (False, "the deadline of this probe had passed by this agent's clock")

    def times_out() -> None:
        raise TimeoutError("the upstream did not answer")

    setup.operations.add_probe("upstream", times_out)
    assert await setup.probe("upstream") == (False, "TimeoutError: the upstream did not answer")


async def test_an_idempotent_operation_is_probed_by_doing_it() -> None:
    """Without a probe the failed call is made again for real, by whatever does the operation now."""
    setup = Setup()
    flaky = Flaky(2)
    run = setup.operation("fetch", flaky, idempotent=True)
    with pytest.raises(ConnectionError):
        run("a")
    assert await setup.probe("fetch") == (False, "ConnectionError: down")
    assert await setup.probe("fetch") == (True, "the failed call succeeded when made again")
    assert flaky.calls == [("a",)] * 3


async def test_any_other_operation_is_judged_by_its_last_execution() -> None:
    """What may not be done again is judged by how it ended last, never by what a command said."""
    setup = Setup()
    flaky = Flaky(1)
    run = setup.operation("pay", flaky)
    setup.operations.add_fallback("pay", "later", lambda: "later")
    with pytest.raises(ConnectionError):
        run()
    await setup.order("fallback", operation="pay")
    assert await setup.probe("pay") == (False, "its last execution failed: ConnectionError: down")
    run()
    assert await setup.probe("pay") == (True, "its last execution succeeded")
    assert len(flaky.calls) == 1


async def test_the_general_probe_and_the_loop() -> None:
    """Without an operation the general probe answers, and without one the loop itself."""
    setup = Setup()
    setup.operation("never ran", Flaky(0))
    assert await setup.probe() == (True, "the event loop answers")
    assert await setup.probe("never ran") == (True, "the event loop answers")
    setup.probes.general = lambda: False
    for name in (None, "never ran", "unheard-of"):
        assert await setup.probe(name) == (False, "the probe returned False")
    setup.probes.general = None
    closed = asyncio.new_event_loop()
    closed.close()
    setup.caller.user_loop = closed
    assert (await setup.probe())[0] is False


async def test_isolated_it_takes_no_work_until_it_is_lifted() -> None:
    """Operations of both kinds are refused, nobody reports that, probes still reach them, and both ways back work."""
    setup = Setup()

    async def later() -> str:
        return "later"

    fetch = setup.operation("fetch", lambda: "fetched")
    wait = setup.operation("wait", later)
    setup.operations.add_probe("fetch", lambda: True)
    for lift in ("undo", "restore"):
        await setup.order("isolate", parameters={"reason": "leaks secrets"})
        with pytest.raises(Isolated, match="leaks secrets"), setup.operations.watch(Words()):
            fetch()
        with pytest.raises(Isolated):
            await wait()
        assert await setup.probe("fetch") == (True, "")
        await setup.order("isolate", lift)
        assert (fetch(), await wait()) == ("fetched", "later")
    assert setup.reported == []


async def test_levels_are_lowered_and_set_back() -> None:
    """By a factor, never below one, or to a number, never up; the way back leads to what was before the first."""
    setup = Setup()
    levels = {"workers": 8, "batch": 1}
    for name in levels:
        setup.strategies.add_level(
            name, Level(lambda name=name: levels[name], lambda to, name=name: levels.update({name: to}))
        )
    done = await setup.order("scale_down", parameters={"factor": 0.3})
    assert (levels, done.detail) == ({"workers": 2, "batch": 1}, "workers 2, batch 1")
    await setup.order("scale_down", parameters={"to": 1})
    assert levels == {"workers": 1, "batch": 1}
    await setup.order("scale_down", "restore")
    assert levels == {"workers": 8, "batch": 1}
    assert (await setup.order("scale_down", "undo")).detail == "nothing was lowered"
    await setup.order("scale_down")
    assert levels == {"workers": 4, "batch": 1}
    with pytest.raises(StrategyError, match="bad_factor"):
        await setup.order("scale_down", parameters={"factor": 2})
