"""Agents that send nothing but health samples, many on one connection, as an agent of the SDK would send them.

`python -m tests.bench.sampling FIRST NUMBER` speaks for the agents `runtime/hFIRST` and those after it until its
standard input ends.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import AgentRef, HealthSample
from mendbus.contracts.subjects import Subjects
from mendbus.service import run_loop

INTERVAL_MS = 500


async def main(first: int, number: int) -> None:
    """Runs the agents until standard input ends."""
    bus, subjects = await connect(os.environ["NATS_URL"], name="sampling agents"), Subjects()
    agents = [AgentRef(kind="runtime", id=f"h{one}", instance="boot") for one in range(first, first + number)]
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(_sample(bus, subjects, agents))
        print(json.dumps({"ready": number}), flush=True)
        await reader.read()
        sampling.cancel()
    await bus.close()


async def _sample(bus: Bus, subjects: Subjects, agents: list[AgentRef]) -> None:
    """Spread over the interval, as agents are that know nothing of each other; late rounds are not caught up with."""
    loop, sequence = asyncio.get_running_loop(), 0
    while True:
        begun = loop.time()
        for place, agent in enumerate(agents):
            with suppress(BusError):
                await bus.publish(subjects.health(agent.kind, agent.id), codec.encode(_of(agent, sequence)))
            await asyncio.sleep(begun + (place + 1) * INTERVAL_MS / 1000 / len(agents) - loop.time())
        sequence += 1


def _of(agent: AgentRef, sequence: int) -> HealthSample:
    """Eight metrics, of which six move; three gauges; two limits."""
    wave = (sequence * 7 + len(agent.id)) % 13
    return HealthSample(
        agent=agent,
        time_unix_nano=time.time_ns(),
        sequence=sequence,
        interval_ms=INTERVAL_MS,
        metrics={
            "cpu_percent": 3.1 + wave / 3,
            "memory_bytes": 41_234_432.0 + sequence * 4096,
            "disk_percent": 41.3,
            "errors_per_s": 0.0,
            "response_time_ms": 2.1234 + wave / 7,
            "throughput_per_s": 31.25 + wave,
            "availability_ratio": 1.0,
            "queue_depth": float(wave),
        },
        gauges={"loop_lag_ms": 0.3 + wave / 100, "outbox_events": 0.0, "descriptors": 12.0},
        limits={"memory_bytes": 1e9, "descriptors": 1024.0},
    )


if __name__ == "__main__":
    run_loop(main(int(sys.argv[1]), int(sys.argv[2])))
