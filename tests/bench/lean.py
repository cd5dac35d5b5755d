"""Agents that only speak the wire contract, many on one connection: what they cost themselves stays out of the figure.

`python -m tests.bench.lean KIND/ID...` reads the commands `fail` and `flush` of `tests.bench.agents`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.harness import ProtocolAgent

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import HealthSample
from mendbus.contracts.subjects import Subjects
from mendbus.service import run_loop

_INTERVAL_MS = 500
_AT_ONCE = 20


async def main(names: Sequence[str]) -> None:
    """Runs the agents until standard input ends."""
    bus, subjects = await connect(os.environ["NATS_URL"], name="lean agents"), Subjects()
    pairs = [name.split("/") for name in names]
    agents = [ProtocolAgent(bus, subjects, kind, agent_id) for kind, agent_id in pairs]
    for agent in agents:
        await agent.start()
    for first in range(0, len(agents), _AT_ONCE):
        # Each hello is a synced write: a thousand at once would wait longer than a hello may.
        await asyncio.gather(*(agent.say_hello() for agent in agents[first : first + _AT_ONCE]))
    await bus.barrier()
    print(json.dumps({"ready": len(agents)}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(_sample(bus, subjects, agents))
        while line := await reader.readline():
            command = json.loads(line)
            if command["do"] == "fail":
                for number, word in command["what"]:
                    group.create_task(agents[int(number)].report(f"ConnectionRefused{word}"))
            else:
                print(json.dumps(_reported(agents)), flush=True)
        sampling.cancel()
    await bus.close()


def _reported(agents: Sequence[ProtocolAgent]) -> dict[str, Any]:
    reported = sum(sum(agent.reported.values()) for agent in agents)
    return {"flushed": True, "reported": reported, "shed": 0, "acknowledged": {}}


async def _sample(bus: Bus, subjects: Subjects, agents: Sequence[ProtocolAgent]) -> None:
    """Health samples of all agents at the default interval, one after the other."""
    sequence = 0
    while True:
        for agent in agents:
            sample = HealthSample(
                agent=agent.ref,
                time_unix_nano=time.time_ns(),
                sequence=sequence,
                interval_ms=_INTERVAL_MS,
                metrics={"cpu_percent": 5.0, "memory_bytes": 4e7, "errors_per_s": 0.0, "response_time_ms": 2.0},
            )
            with suppress(BusError):
                await bus.publish(subjects.health(agent.kind, agent.id), codec.encode(sample))
            await asyncio.sleep(_INTERVAL_MS / 1000 / len(agents))
        sequence += 1


if __name__ == "__main__":
    run_loop(main(sys.argv[1:]))
