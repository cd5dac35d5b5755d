"""Agents as a process of their own: real SDK agents that fail when told to, and are recovered like any other.

`python -m tests.bench.agents KIND/ID...` reads commands from standard input, one JSON object a line; see `_DO`.
"""

import asyncio
import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import mendbus.bus.nats as nats_bus
from mendbus import Agent
from mendbus.bus import Stored, ToStore

OPERATIONS = 64
"""Operations of an agent, failing in turn: one that settles must not be probed while the next failure is in it."""
_READY_SECONDS = 30.0
_FLUSH_SECONDS = 60.0
_TICK_SECONDS = 0.005
_PAYLOAD = 4096

acknowledged: dict[str, int] = {}
"""When this process saw the PubAck of each event, in nanoseconds since 1970."""


class Refused(ConnectionError):
    """What the store raises when it is asked for the first time."""


class Worker:
    """An agent whose operation packs something away: the first try of each word fails, the next one works."""

    def __init__(self, kind: str, agent_id: str) -> None:
        self.agent: Agent = Agent(kind, agent_id)
        self._wanted: dict[int, str] = {}
        self._packed: dict[int, bytes] = {}
        self._turn = 0
        self._stores: list[Callable[[str], None]] = [self._operation(number) for number in range(OPERATIONS)]

    def _operation(self, number: int) -> Callable[[str], None]:
        def check() -> bool:
            packed = self._packed.get(number)
            return packed is not None and zlib.decompress(packed) == _payload(self._wanted[number])

        @self.agent.operation(f"store_{number}", probe=check, severity="error")
        def store(word: str) -> None:
            if self._wanted.get(number) != word:
                self._wanted[number] = word
                raise Refused(f"connection to the store of {word} was refused")
            self._packed[number] = zlib.compress(_payload(word), 1)

        return store

    def fail(self, word: str) -> None:
        """Fails once; words differ in their letters, so that each is a failure of its own."""
        self._turn = (self._turn + 1) % OPERATIONS
        with suppress(Refused):
            self._stores[self._turn](word)


def _payload(word: str) -> bytes:
    return (word.encode() * (_PAYLOAD // len(word) + 1))[:_PAYLOAD]


def letters(number: int, width: int = 4) -> str:
    """A number in letters: digits would be taken for noise by the fingerprint."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(width))


def _note_acknowledgements() -> None:
    """Has every connection of this process note when it was told that an event is stored."""
    connect = nats_bus.connect

    async def connect_and_note(*arguments: Any, **named: Any) -> nats_bus.NatsBus:
        bus = await connect(*arguments, **named)
        store, store_batch = bus.store, bus.store_batch

        async def noted_store(subject: str, *rest: Any, **more: Any) -> Stored:
            stored = await store(subject, *rest, **more)
            if more.get("id"):
                acknowledged[more["id"]] = time.time_ns()
            return stored

        async def noted_batch(messages: Sequence[ToStore], **more: Any) -> Stored:
            stored = await store_batch(messages, **more)
            now = time.time_ns()
            acknowledged.update((message.id, now) for message in messages)
            return stored

        bus.store, bus.store_batch = noted_store, noted_batch  # pyright: ignore[reportAttributeAccessIssue]
        return bus

    nats_bus.connect = connect_and_note


def _fail(workers: Sequence[Worker], command: Mapping[str, Any]) -> None:
    for number, word in command["what"]:
        workers[int(number)].fail(word)


def _load(workers: Sequence[Worker], command: Mapping[str, Any]) -> dict[str, Any]:
    """Reports `rate` errors a second for `seconds`, each an event of its own, of `fingerprints` in turn."""
    rate, seconds = float(command["rate"]), float(command["seconds"])
    failures: list[tuple[Agent, type[Refused], str]] = [
        (workers[int(number) % len(workers)].agent, Refused, f"the store of {letters(number)} refused part")
        for number in command["fingerprints"]
    ]
    begun, total, reported = time.perf_counter(), int(rate * seconds), 0
    while reported < total:
        due = min(total, int((time.perf_counter() - begun) * rate) + 1)
        for number in range(reported, due):
            agent, kind, message = failures[number % len(failures)]
            # A number that is another each time keeps repeats from being coalesced before they are sent.
            agent.report(kind(f"{message} {number}"), severity="error", operation="store_0")
        reported = due
        time.sleep(_TICK_SECONDS)
    ended = time.perf_counter() - begun
    unsent = sum(worker.agent.stats().waiting_events for worker in workers)
    return {"reported": reported, "seconds": ended, "unsent": unsent}


def _storm(workers: Sequence[Worker], command: Mapping[str, Any]) -> dict[str, Any]:
    """Reports one failure as often as it can for `seconds`."""
    agent, calls, message = workers[0].agent, 0, f"the store of {command['word']} refused everything"
    begun = time.perf_counter()
    end = begun + float(command["seconds"])
    while time.perf_counter() < end:
        try:
            raise Refused(message)
        except Refused as error:
            agent.report(error, severity="error", operation="store_0")
        calls += 1
    return {"reported": calls, "seconds": time.perf_counter() - begun}


def _cost(workers: Sequence[Worker], command: Mapping[str, Any]) -> dict[str, Any]:
    """Times calls of report(), of which each is of a new failure with a traceback, at a quiet pace."""
    agent, taken = workers[0].agent, list[int]()
    for number in range(int(command["calls"])):
        try:
            int(f"x{letters(number)}")
        except ValueError as error:
            begun = time.perf_counter_ns()
            agent.report(error, severity="warning", operation="store_0")
            taken.append(time.perf_counter_ns() - begun)
        time.sleep(_TICK_SECONDS)
    return {"nanoseconds": taken}


def _flush(workers: Sequence[Worker], _: Mapping[str, Any]) -> dict[str, Any]:
    """Waits until the server has everything, and tells what was acknowledged since this was asked last."""
    flushed = all(worker.agent.flush(_FLUSH_SECONDS) for worker in workers)
    stats = [worker.agent.stats() for worker in workers]
    answer = {
        "flushed": flushed,
        "reported": sum(found.reported for found in stats),
        "shed": sum(found.shed for found in stats),
        "acknowledged": dict(acknowledged),
    }
    acknowledged.clear()
    return answer


_DO: dict[str, Callable[[Sequence[Worker], Mapping[str, Any]], dict[str, Any] | None]] = {
    "fail": _fail,
    "load": _load,
    "storm": _storm,
    "cost": _cost,
    "flush": _flush,
}


def main(names: Sequence[str]) -> None:
    """Runs the agents until standard input ends."""
    _note_acknowledgements()
    workers = [Worker(*name.split("/")) for name in names]
    for worker in workers:
        worker.agent.start()
    if not all(worker.agent.wait_ready(_READY_SECONDS) for worker in workers):
        sys.exit("an agent did not become ready")
    print(json.dumps({"ready": len(workers)}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = _DO[command["do"]](workers, command)
        if answer is not None:
            print(json.dumps(answer), flush=True)
    asyncio.run(_stop(workers))


async def _stop(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(asyncio.to_thread(worker.agent.stop) for worker in workers))


if __name__ == "__main__":
    main(sys.argv[1:])
