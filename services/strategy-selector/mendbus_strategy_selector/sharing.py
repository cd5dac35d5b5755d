"""Has the server refuse the errors of agents that hold too much of ERRORS, and of nobody else; see `shares`."""

import logging

from mendbus import instruments, streams
from mendbus.bus import Usage
from mendbus.contracts.subjects import LANES, URGENT
from mendbus.runtime import Runtime
from mendbus_strategy_selector import shares
from mendbus_strategy_selector.shares import Held

log = logging.getLogger("mendbus")

_SAMPLES = 8


class Sharing:
    """What the owner of partition 0 knows of it. The limit itself is a setting of the stream."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._bus = runtime.bus
        self._stream = runtime.subjects.stream("ERRORS")
        self._refused: frozenset[str] = frozenset()
        self._most = -1
        """0: no limit; -1: it is not known what the owner before has set."""
        self._seen = 0
        runtime.meter.observe(instruments.AGENTS_REFUSED, lambda: {(agent,): 1.0 for agent in self._refused})

    @property
    def pressed(self) -> bool:
        """Whether somebody is refused."""
        return bool(self._refused)

    def end(self) -> None:
        """Somebody else looks after it from now on."""
        self._refused = frozenset()

    async def look(self) -> None:
        """Looks who holds too much; removes what is counted of it, and refuses more where that is not enough."""
        usage = await self._bus.usage(self._stream)
        self._seen = min(self._seen, usage.bytes)
        if usage.max_bytes < 0 or (
            self._most == 0 and not shares.worth_a_look(usage.bytes, self._seen, usage.max_bytes)
        ):
            return
        self._seen = usage.bytes
        counts = await self._bus.subjects(self._stream, f"{self._runtime.subjects.root}.errors.>")
        held, sizes = {one.agent: one for one in shares.by_agent(counts)}, dict[str, float]()
        for one in shares.suspects(list(held.values()), usage.max_bytes):
            size = await self._mean_size(one, usage)
            if shares.too_much(one.count * size, usage.max_bytes, refused=one.agent in self._refused):
                held[one.agent] = left = await self._without_counted(one)
                sizes[one.agent] = left.count * size
        await self._refuse(held, sizes, usage.max_bytes)

    async def _mean_size(self, held: Held, usage: Usage) -> float:
        """Bytes of one of the agent's errors, on the average of some from all over the stream."""
        span, found = usage.last_sequence + 1 - usage.first_sequence, list[int]()
        pattern = _everything_of(held)
        for number in range(_SAMPLES):
            start = usage.first_sequence + span * number // _SAMPLES
            message = await self._bus.first(self._stream, pattern, start)
            if message is not None:
                headers = sum(len(name) + len(value) for name, value in message.headers.items())
                found.append(len(message.subject) + len(message.body) + headers)
        return sum(found) / len(found) if found else 0.0

    async def _without_counted(self, held: Held) -> Held:
        """What is left of an agent's errors once those that are counted are removed, however young they are."""
        left: dict[str, int] = {}
        for subject, count in held.counts.items():
            partition, severity = subject.split(".")[-4:-2]
            lane = LANES[0] if severity in URGENT else LANES[-1]
            spec = streams.lane_consumer(self._runtime.subjects, int(partition), lane)
            floor = await self._bus.ack_floor(spec)
            left[subject] = max(0, count - await self._bus.purge(self._stream, floor + 1, subject))
        return Held(held.agent, left)

    async def _refuse(self, held: dict[str, Held], sizes: dict[str, float], max_bytes: int) -> None:
        refused = frozenset(
            agent for agent, size in sizes.items() if shares.too_much(size, max_bytes, refused=agent in self._refused)
        )
        most = 0
        if refused:
            highest = max(one.highest for one in held.values())
            others = max((one.highest for one in held.values() if one.agent not in refused), default=0)
            most = shares.most_of_a_subject(max(0, self._most), highest, others, max_bytes)
        if most != self._most:
            replicas = self._runtime.settings.stream_replicas
            spec = streams.errors_stream(self._runtime.subjects, max_bytes, replicas, most)
            for drift in await self._bus.ensure([spec], []):
                log.warning("%s", drift)
            self._most = most
        for agent in sorted(refused - self._refused):
            log.warning(
                "%s fills ERRORS: %.0f MiB of its errors are not counted yet, and it may hold %.0f. Until they are, "
                "the server refuses it more. If it is not known why, cut it off: mendbus nats-config remove agent/%s",
                agent, sizes[agent] / (1 << 20), max_bytes * shares.SHARE / (1 << 20), agent,
            )  # fmt: skip
        for agent in sorted(self._refused - refused):
            log.info("%s may store errors again", agent)
        self._refused = refused


def _everything_of(held: Held) -> str:
    tokens = next(iter(held.counts)).split(".")
    return ".".join((*tokens[:-4], "*", "*", *tokens[-2:]))
