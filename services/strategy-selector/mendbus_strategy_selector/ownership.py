"""Who tries to own which partition: every replica shows that it is alive, and the highest hash of those alive tries.

This decides who tries, never who may: that is the fence of the journal.
"""

import asyncio
import hashlib
import logging
from contextlib import suppress

from mendbus import streams
from mendbus.bus import Message
from mendbus.contracts.errors import BusError, NoResponders
from mendbus.contracts.messages import SettledQuery, SettledReply
from mendbus.contracts.subjects import PARTITIONS, partition_of
from mendbus.runtime import Runtime
from mendbus_strategy_selector.journal import Fenced
from mendbus_strategy_selector.partition import Partition
from mendbus_strategy_selector.pauses import Pause
from mendbus_strategy_selector.steps import Context

log = logging.getLogger("mendbus")

_SIGN_SECONDS = 0.25
_RETRY_SECONDS = 0.2
_BYE = b"bye"
_BUCKET = "leases"


class Ownership:
    """Runs the partitions that this replica should own, as replicas come and go."""

    def __init__(self, runtime: Runtime, context: Context) -> None:
        self._runtime = runtime
        self._context = context
        self._alive: dict[str, float] = {}
        self._owned: dict[int, tuple[Partition, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._settled_in = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Finds the other replicas, shows up, and takes over what is due; returns when that is owned."""
        runtime = self._runtime
        # One token: the leases of agents that stand by for each other are in the same bucket, below `pair.`.
        filter_ = runtime.subjects.key(_BUCKET, "*")
        runtime.subscriptions.append(await runtime.bus.subscribe(filter_, self._hear))
        present = await runtime.bus.subjects(runtime.subjects.bucket_stream(_BUCKET), filter_)
        clock = asyncio.get_running_loop().time
        self._alive = {subject.rsplit(".", 1)[1]: clock() for subject in present} | self._alive
        self._alive[runtime.instance] = clock()
        await self._sign()
        runtime.spawn(self._show(), "show")
        runtime.spawn(self._assign(), "assign")
        await self._settled_in.wait()

    async def drain(self) -> None:
        """Gives everything back: pulls no more, finishes what is under way, says goodbye to the other replicas."""
        self._stopping = True
        # All services may have been told to stop at once, as by Ctrl-C.
        self._context.asks.leave()
        owned = list(self._owned.values())
        await asyncio.gather(*(partition.drain() for partition, _ in owned if partition.ready.is_set()))
        for _, task in owned:
            task.cancel()
        with suppress(BusError):
            await self._runtime.bus.publish(self._key(), _BYE)

    async def settled(self, query: SettledQuery, message: Message) -> None:
        """Answers an agent, if its partition is owned here."""
        kind, agent_id = self._runtime.subjects.agent_of(message.subject)
        found = self.owned(partition_of(kind, agent_id))
        if found is None or not message.reply:
            return
        try:
            reply: SettledReply = await found.settled(kind, agent_id, query)
        except BusError as error:
            log.warning("%s gets no answer on its events: %s", f"{kind}/{agent_id}", error)
            return
        await self._runtime.reply(message, reply)

    def owned(self, number: int) -> Partition | None:
        """A partition, if it is owned here and at work."""
        found = self._owned.get(number)
        return found[0] if found is not None and found[0].ready.is_set() else None

    def numbers(self) -> list[int]:
        """The partitions at work here."""
        return sorted(number for number in self._owned if self.owned(number) is not None)

    @property
    def partitions(self) -> list[Partition]:
        """Those partitions."""
        return [partition for number in self.numbers() if (partition := self.owned(number)) is not None]

    def pauses(self, now: int) -> list[Pause]:
        """Pauses of single agents whose partitions are at work here."""
        return [pause for partition in self.partitions for pause in partition.pauses(now)]

    def _key(self) -> str:
        return self._runtime.subjects.key(_BUCKET, self._runtime.instance)

    async def _sign(self) -> None:
        try:
            await self._runtime.bus.store(self._key(), b"alive", ttl=streams.LEASE_SECONDS, timeout=1.0)
        except (NoResponders, BusError) as error:
            log.debug("no sign of life was given: %s", error)

    async def _show(self) -> None:
        while not self._stopping:
            await asyncio.sleep(_SIGN_SECONDS)
            await self._sign()

    async def _hear(self, message: Message) -> None:
        name = message.subject.rsplit(".", 1)[1]
        if message.body == _BYE:
            self._alive.pop(name, None)
        else:
            self._alive[name] = asyncio.get_running_loop().time()
        self._changed.set()

    def _members(self) -> list[str]:
        oldest = asyncio.get_running_loop().time() - streams.LEASE_SECONDS
        own = self._runtime.instance
        self._alive = {name: at for name, at in self._alive.items() if at >= oldest or name == own}
        return sorted(self._alive)

    def _due(self) -> set[int]:
        members = self._members()
        own = self._runtime.instance
        return {p for p in range(PARTITIONS) if max(members, key=lambda name: _rank(name, p)) == own}

    async def _assign(self) -> None:
        while not self._stopping:
            due = self._due()
            for number in due - set(self._owned):
                partition = Partition(self._runtime, self._context, number, self._changed.set)
                task = self._runtime.spawn(self._run(partition), f"partition {number}")
                self._owned[number] = partition, task
            for number in set(self._owned) - due:
                log.info("partition %d goes to another replica", number)
                self._owned.pop(number)[1].cancel()
            if all(partition.ready.is_set() for partition, _ in self._owned.values()):
                self._settled_in.set()
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _SIGN_SECONDS)

    async def _run(self, partition: Partition) -> None:
        try:
            await partition.run()
        except* Fenced as group:
            log.warning("gave a partition up: %s", group.exceptions[0])
        except* BusError as group:
            log.warning("partition %d is taken up again: %s", partition.number, group.exceptions[0])
        finally:
            owned = self._owned.get(partition.number)
            if owned is not None and owned[0] is partition:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(_RETRY_SECONDS)
                self._owned.pop(partition.number, None)
                self._changed.set()


def _rank(member: str, partition: int) -> bytes:
    """Rendezvous hashing: when a replica goes, only its partitions move."""
    return hashlib.sha256(f"{member}/{partition}".encode()).digest()
