"""One attempt: the probe's word counts, the agent's command is sent once, and nobody there is an answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support import ask, memory_runtime

import mendbus_executor
from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.contracts.errors import ServiceFailed
from mendbus.contracts.messages import CommandResult, ProbeResult, RecoveryCommand
from mendbus.contracts.subjects import HEADER_CODE, Subjects
from mendbus.testing import eventually

SUBJECTS = Subjects()
HEALTHY = codec.encode(ProbeResult(healthy=True, checked_unix_nano=1))
ILL = codec.encode(ProbeResult(healthy=False, detail="still broken", checked_unix_nano=1))


@dataclass
class Bench:
    """An executor, and the agent `runtime/a1` played by the test."""

    bus: Bus
    commands: list[RecoveryCommand] = field(default_factory=list[RecoveryCommand])
    probes: int = 0

    async def play(self, answer: Callable[[RecoveryCommand], bytes | None], *probes: bytes | None) -> None:
        """Answers commands with what `answer` gives, probes with these in turn, the last again and again."""

        async def command(message: Message) -> None:
            received = codec.decode(RecoveryCommand, message.body)
            self.commands.append(received)
            if (body := answer(received)) is not None:
                await self.bus.publish(message.reply, body)

        async def probe(message: Message) -> None:
            body = probes[min(self.probes, len(probes) - 1)]
            self.probes += 1
            if body is not None:
                await self.bus.publish(message.reply, body)

        await self.bus.subscribe(SUBJECTS.command("runtime", "a1"), command)
        await self.bus.subscribe(SUBJECTS.probe("runtime", "a1"), probe)

    async def attempt(self, timeout_ms: int = 300, **changes: Any) -> AttemptResult:
        """Has one command carried out."""
        request = execute(timeout_ms=timeout_ms).model_copy(update=changes)
        return await ask(self.bus, SUBJECTS.execute, request, AttemptResult)


def execute(timeout_ms: int = 300) -> Execute:
    """A retry of operation `op`."""
    command = RecoveryCommand.model_validate(
        {
            "command_id": "c1",
            "incident_id": "i1",
            "attempt": 1,
            "agent": {"kind": "runtime", "id": "a1"},
            "action": "apply",
            "strategy": "retry",
            "operation": "op",
            "parameters": {},
            "timeout_ms": timeout_ms,
            "deadline_unix_nano": 2**62,
            "fence": 1,
        }
    )
    return Execute(
        incident_id="i1", agent_kind="runtime", agent_id="a1", command=command, operation="op", timeout_ms=timeout_ms
    )


def said(status: str, **more: Any) -> Callable[[RecoveryCommand], bytes]:
    """An agent's answer."""
    return lambda command: codec.encode(
        CommandResult.model_validate({"command_id": command.command_id, "status": status, **more})
    )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """An executor on the memory bus."""
    server = MemoryServer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(memory_runtime(mendbus_executor.build(), server))
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        yield Bench(bus)


async def test_done_and_healthy_is_verified(bench: Bench) -> None:
    """A command that is done and a healthy probe make a verified attempt, with its times in order."""
    await bench.play(said("done", undo_token="u1"), HEALTHY)
    result = await bench.attempt()
    assert (result.status, result.verified, result.undo_token) == ("done", True, "u1")
    times = [result.commanded_unix_nano, result.acted_unix_nano, result.probed_unix_nano]
    assert times == sorted(t or 0 for t in times)


async def test_a_lie_is_not_believed(bench: Bench) -> None:
    """`done` with an unhealthy probe is not verified, and says what the probe said."""
    await bench.play(said("done"), ILL)
    result = await bench.attempt()
    assert (result.verified, result.detail) == (False, "still broken")


async def test_work_that_goes_on_is_waited_for(bench: Bench) -> None:
    """`accepted` is probed again and again until it is healthy."""
    await bench.play(said("accepted"), ILL, ILL, HEALTHY)
    assert (await bench.attempt()).verified
    assert bench.probes == 3


async def test_work_that_never_ends_is_given_up(bench: Bench) -> None:
    """`accepted` that stays unhealthy ends with the attempt's time."""
    await bench.play(said("accepted"), ILL)
    assert not (await bench.attempt(timeout_ms=100)).verified


@pytest.mark.parametrize("status", ["failed", "expired", "stale"])
async def test_what_was_not_done_did_not_heal(bench: Bench, status: str) -> None:
    """A healthy probe after a command that was not done is luck, not a recovery."""
    await bench.play(said(status), HEALTHY)
    assert not (await bench.attempt()).verified


async def test_an_agent_that_restarted_itself_and_is_healthy_has_recovered(bench: Bench) -> None:
    """`misaddressed` with a healthy probe: the new process works."""
    await bench.play(said("misaddressed"), HEALTHY)
    assert (await bench.attempt()).verified


async def test_unsupported_is_not_probed(bench: Bench) -> None:
    """What the agent cannot do changed nothing."""
    await bench.play(said("unsupported"), HEALTHY)
    assert (await bench.attempt()).status == "unsupported"
    assert bench.probes == 0


async def test_nobody_there_is_an_answer_at_once(bench: Bench) -> None:
    """An agent that does not listen is `no_agent`, long before the time is over."""
    result = await asyncio.wait_for(bench.attempt(timeout_ms=60_000), 5.0)
    assert (result.status, result.code) == ("failed", "no_agent")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda _: None, "no_answer"),
        (lambda _: b"\xc1", "bad_answer"),
        (lambda _: codec.encode(CommandResult(command_id="other", status="done")), "bad_answer"),
    ],
)
async def test_silence_and_nonsense_are_failures(
    bench: Bench, answer: Callable[[RecoveryCommand], bytes | None], code: str
) -> None:
    """No answer, bytes that are none, and an answer to another command fail with a code."""
    await bench.play(answer, HEALTHY)
    result = await bench.attempt(timeout_ms=100)
    assert (result.status, result.code, result.verified) == ("failed", code, False)


@pytest.mark.parametrize(
    ("probe", "code"), [(HEALTHY, None), (ILL, "unhealthy"), (b"junk", "unhealthy"), (None, "silent")]
)
async def test_without_a_command_it_only_probes(bench: Bench, probe: bytes | None, code: str | None) -> None:
    """A probe alone sends no command."""
    await bench.play(said("done"), probe)
    result = await bench.attempt(timeout_ms=100, command=None)
    assert (result.verified, result.code, bench.commands) == (code is None, code, [])


async def test_no_time_is_so_long_that_no_deadline_can_say_it(bench: Bench) -> None:
    """A time beyond all reason is cut to one that has an end: the attempt is carried out, not broken off."""
    await bench.play(said("done"), HEALTHY)
    assert (await bench.attempt(timeout_ms=2**63 - 1, command=None)).verified
    assert (await bench.attempt(timeout_ms=2**63 - 1)).verified


async def test_a_probe_of_nobody_is_unreachable(bench: Bench) -> None:
    """Nobody to probe is not healthy, at once."""
    assert (await bench.attempt(command=None)).code == "unreachable"


async def test_sixteen_attempts_run_side_by_side(bench: Bench) -> None:
    """Attempts that wait for their agents do not wait for one another."""
    release = asyncio.Event()

    async def slow(message: Message) -> None:
        bench.commands.append(codec.decode(RecoveryCommand, message.body))
        await release.wait()
        await bench.bus.publish(message.reply, said("done")(bench.commands[0]))

    await bench.bus.subscribe(SUBJECTS.command("runtime", "a1"), slow, concurrency=32)
    attempts = [asyncio.create_task(bench.attempt(timeout_ms=5000)) for _ in range(16)]
    await eventually(lambda: len(bench.commands) == 16)
    release.set()
    await asyncio.gather(*attempts)


async def test_a_request_that_does_not_fit_is_answered_and_kept(bench: Bench) -> None:
    """The asker hears error 400, the dead letters keep the bytes."""
    with pytest.raises(ServiceFailed) as failed:
        await bench.bus.request(SUBJECTS.execute, b"junk", timeout=2.0)
    assert failed.value.code == 400

    async def kept() -> bool:
        dead = await bench.bus.last(SUBJECTS.stream("DEAD"), SUBJECTS.dead("executor"))
        return dead is not None and dead.body == b"junk" and HEADER_CODE in dead.headers

    await eventually(kept)
