"""One agent acts, others of its kind stand by for it: a lease says who, and whoever cannot renew it stops by itself.

The lease is a key that its holder writes again and again, each time only over its own last writing. Who stands by takes
it over when it has not changed for the length of the lease by its own clock; the holder refuses all work a good while
before that by *its* own clock, which a process that was stopped cannot argue with. No clocks are compared.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from mendbus import codec
from mendbus.bus import Bus, StoredMessage
from mendbus.contracts.errors import BusError, Refused, WrongSequence
from mendbus.contracts.messages import AgentRef, Probe, ProbeResult
from mendbus.contracts.subjects import Subjects
from mendbus.sdk.commands import Done, Order, StrategyError
from mendbus.sdk.lease import Lease, Member, boot_seconds
from mendbus.sdk.loop import Caller
from mendbus.sdk.probes import Probes

log = logging.getLogger("mendbus.sdk")

LEASE_SECONDS: Final = 1.0
_MARGIN: Final = 0.8
"""The part of the lease for which its holder acts."""
_LATER: Final = 1.5
"""Leases that others wait at the very start, so that the one they stand by for comes first."""
_BARRED_LEASES: Final = 20
"""So long one does not try again that could not take over."""
_BUCKET: Final = "leases"
_KEPT_SECONDS: Final = 3600.0
"""How long what is written is kept, so that those who never come back leave nothing behind."""


class Standby:
    """The part of one agent in this. `of`: key of the agent that is stood by for, which may be its own.

    `active` and `fence` may be asked from any thread.
    """

    def __init__(
        self,
        of: str,
        agent: AgentRef,
        subjects: Subjects,
        caller: Caller,
        probes: Probes,
        load: Callable[[], float],
        took_over: Callable[[str], None],
        now: Callable[[], int],
        *,
        activate: Callable[[], Any] | None = None,
        deactivate: Callable[[], Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self.of = of
        self._agent = agent
        self._stream = subjects.bucket_stream(_BUCKET)
        self._subject = subjects.key(_BUCKET, "pair", *of.split("/"))
        self._caller = caller
        self._probes = probes
        self._load = load
        self._took_over = took_over
        self._now = now
        self._activate = activate
        self._deactivate = deactivate
        self._seconds = lease_seconds
        self._clock = clock
        self.bus: Bus | None = None
        """The connection, while there is one; set by whoever has it."""
        self._followed: Bus | None = None
        self._lease: Lease | None = None
        self._fence = 0
        self._changed_at = 0.0
        self._members: dict[str, Member] = {}
        self._healthy = False
        self._announced_at = -lease_seconds
        self._until = 0.0
        self._serving = False
        self._handing_to: str | None = None
        self._stopped = False
        self._barred_until = 0.0
        self._woken = asyncio.Event()
        self._renew_now = asyncio.Event()
        self._resting = asyncio.Event()
        self._resting.set()

    @property
    def primary(self) -> bool:
        """Whether this is the one that the others stand by for."""
        return self.of == self._agent.key

    @property
    def active(self) -> bool:
        """Whether this agent may act now; False as soon as its lease has run out, whatever else it is doing."""
        return self._serving and self._clock() < self._until

    @property
    def fence(self) -> int:
        """A number that grows with every takeover: what is written elsewhere under a lower one is to be refused."""
        return self._fence

    def refusal(self) -> str | None:
        """Why no work is taken; None while it is."""
        if self.active:
            return None
        holder = self._lease.holder if self._lease is not None else ""
        who = holder if holder != self._agent.key else "nobody for sure"
        return f"it stands by for {self.of}, which {who or 'nobody'} is now"

    # -- what is heard

    async def _follow(self, bus: Bus) -> None:
        if self._followed is not bus:
            _ = await bus.follow(self._stream, f"{self._subject}.>", self._hear, last_per_subject=True)
            self._followed, self._changed_at = bus, self._clock()

    async def _hear(self, message: StoredMessage) -> None:
        words = message.subject.removeprefix(f"{self._subject}.").split(".")
        with contextlib.suppress(Refused):
            match words:
                case ["lease"]:
                    self._take_in(Lease.read(message))
                case ["wanted"]:
                    body = codec.unpack(message.body)
                    if self._serving and body.get("fence") == self.fence and body.get("to") != self._agent.key:
                        self._handing_to = str(body.get("to"))
                case ["member", kind, agent]:
                    body = codec.unpack(message.body)
                    load = body.get("load")
                    known = float(load) if isinstance(load, int | float) else 0.0
                    age = max(0, self._now() - message.time_unix_nano) / 1e9
                    self._members[f"{kind}/{agent}"] = Member(body.get("healthy") is True, known, self._clock() - age)
                case _:
                    pass
        self._woken.set()

    def _take_in(self, lease: Lease) -> None:
        # What is read again after a gap is no sign of life.
        if self._lease is None or lease.sequence != self._lease.sequence:
            self._lease = lease
            self._changed_at = self._clock()

    # -- whose turn it is

    async def tend(self) -> None:
        """Takes its turns, one after the other."""
        while True:
            bus = self.bus
            if bus is not None and bus.connected:
                try:
                    await self._follow(bus)
                    await self._announce(bus)
                    if self._may_take() and await self._acquire(bus):
                        if self._stopped:
                            await self._hand_on(self._best(None) or "")
                        else:
                            await self._turn()
                        continue
                except (BusError, Refused) as error:
                    log.warning("%s cannot stand by for %s: %s", self._agent.key, self.of, error)
            await self._wait(self._seconds / 4)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                _ = await self._woken.wait()
        self._woken.clear()

    async def _announce(self, bus: Bus) -> None:
        if self._clock() - self._announced_at < self._seconds / 2:
            return
        self._announced_at = self._clock()
        self._healthy = (await self._well()).healthy and self._clock() >= self._barred_until
        body = codec.pack({"healthy": self._healthy, "load": self._load()})
        kind, agent = self._agent.kind, self._agent.id
        _ = await bus.store(f"{self._subject}.member.{kind}.{agent}", body, ttl=_KEPT_SECONDS, timeout=self._seconds)

    async def _well(self) -> ProbeResult:
        """Whether this agent itself is fit to act."""
        deadline = self._now() + int(self._seconds * 1e9)
        return await self._probes.of_its_own(Probe(deadline_unix_nano=deadline))

    def _may_take(self) -> bool:
        lease, silent = self._lease, self._clock() - self._changed_at
        if not self._healthy or self._stopped or self._clock() < self._barred_until:
            return False
        if lease is None:
            # Nothing was written, or it was lost with the server: whoever held it has stopped after this time.
            return silent >= self._seconds * (1.0 if self.primary else _LATER)
        return silent >= self._seconds or (not lease.holder and lease.to in ("", self._agent.key))

    async def _acquire(self, bus: Bus) -> bool:
        before = self._lease
        fence = max(self._now() // 10**6, 0 if before is None else before.fence + 1)
        mine = Lease(0, self._agent.key, str(self._agent.instance), fence, serving=False)
        if not await self._write(bus, mine, 0 if before is None else before.sequence):
            return False
        self._fence = fence
        if before is not None and before.holder not in ("", self._agent.key):
            self._took_over(before.holder)
        return True

    async def _write(self, bus: Bus, lease: Lease, expected: int) -> bool:
        """Whether it could be written over exactly that writing. Raises `BusError`, and then it may have been."""
        sent = self._clock()
        try:
            stored = await bus.store(
                f"{self._subject}.lease",
                lease.body(),
                expected_last=expected,
                ttl=_KEPT_SECONDS,
                timeout=self._seconds / 2,
            )
        except WrongSequence:
            found = await bus.last(self._stream, f"{self._subject}.lease", timeout=self._seconds / 2)
            if found is None:
                self._lease = None
            else:
                self._take_in(Lease.read(found))
            return False
        self._take_in(replace(lease, sequence=stored.sequence))
        self._until = sent + self._seconds * _MARGIN if lease.holder else 0.0
        return True

    # -- acting

    async def _turn(self) -> None:
        """From the lease in hand to its end: lost, or handed on."""
        self._handing_to = None
        self._resting.clear()
        try:
            await self._act()
        finally:
            self._resting.set()

    async def _act(self) -> None:
        log.warning("%s acts as %s now, fence %d", self._agent.key, self.of, self.fence)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew(), name="lease")
            renewing.add_done_callback(lambda _: self._woken.set())
            try:
                await self._told(self._activate)
                self._serving = True
                self._renew_now.set()
                while not renewing.done() and self._handing_to is None:
                    await self._wait(self._seconds / 4)
            except Exception:
                log.exception("%s could not take over as %s", self._agent.key, self.of)
                self._healthy, self._barred_until = False, self._clock() + _BARRED_LEASES * self._seconds
                self._handing_to = self._best(None) or ""
            finally:
                self._serving = False
            try:
                await self._told(self._deactivate)
            except Exception:
                log.exception("%s could not be told that it stands by", self._agent.key)
            held = not renewing.done()
            _ = renewing.cancel()
        log.warning("%s stands by for %s", self._agent.key, self.of)
        if held:
            await self._hand_on(self._handing_to or "")

    async def _told(self, callback: Callable[[], Any] | None) -> None:
        if callback is not None:
            _ = await self._caller.call(callback)

    async def _renew(self) -> None:
        """Returns when the lease is lost."""
        fence = self.fence
        while True:
            bus, lease = self.bus, self._lease
            if lease is None or (lease.instance, lease.fence) != (self._agent.instance, fence):
                return
            if bus is not None and bus.connected:
                # One whose answer was lost is read back, so it is written over the next time.
                with contextlib.suppress(BusError, Refused):
                    _ = await self._write(bus, replace(lease, serving=self._serving), lease.sequence)
            if self._clock() >= self._until:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds / 8):
                    _ = await self._renew_now.wait()
            self._renew_now.clear()

    async def _hand_on(self, to: str) -> None:
        bus, lease = self.bus, self._lease
        if bus is None or lease is None or lease.instance != self._agent.instance:
            return
        free = Lease(0, "", "", lease.fence, serving=False, to=to)
        if not await self._write(bus, free, lease.sequence):
            # A renewal was under way.
            lease = self._lease
            if lease is not None and lease.instance == self._agent.instance:
                _ = await self._write(bus, free, lease.sequence)

    async def stop(self) -> None:
        """Hands on to the best there is, as the agent is about to end; takes no turn any more."""
        self._stopped = True
        self._handing_to = self._best(None) or ""
        self._woken.set()
        _ = await self._resting.wait()

    # -- the strategy

    def _best(self, wanted: str | None) -> str | None:
        """The healthiest of those that were heard lately, or the one that is wanted, if it is among them."""
        recent = self._clock() - 2 * self._seconds
        fit = {key: member for key, member in self._members.items() if member.healthy and member.heard >= recent}
        _ = fit.pop(self._agent.key, None)
        if wanted is not None:
            key = wanted if "/" in wanted else f"{self._agent.kind}/{wanted}"
            return key if key in fit else None
        return min(fit, key=lambda key: (fit[key].load, key), default=None)

    async def handle(self, order: Order) -> Done:
        """`apply`: another takes over from this agent; `undo` and `restore`: this one takes over again."""
        if order.command.action != "apply":
            return await self._back(order)
        if not self._serving:
            self._check_served(order)
            return Done(f"{self._holder()} acts as {self.of} already")
        wanted = order.command.parameters.get("to")
        to = self._best(wanted if isinstance(wanted, str) else None)
        if to is None:
            raise StrategyError("no_standby", f"no healthy {wanted or 'standby'} of {self.of} is to be heard")
        self._handing_to = to
        self._woken.set()
        await self._until_served(order, to)
        return Done(f"{to} acts as {self.of}, fence {self._lease.fence if self._lease else self.fence}")

    async def _back(self, order: Order) -> Done:
        if self._serving:
            return Done(f"{self._agent.key} acts as {self.of}")
        result = await self._well()
        if not result.healthy:
            raise StrategyError("unhealthy", f"this agent is not fit to act again: {result.detail}")
        bus, lease = self.bus, self._lease
        if bus is not None and lease is not None and lease.holder:
            body = codec.pack({"to": self._agent.key, "fence": lease.fence})
            _ = await bus.store(f"{self._subject}.wanted", body, ttl=_KEPT_SECONDS, timeout=self._seconds)
        await self._until_served(order, self._agent.key)
        return Done(f"{self._agent.key} acts as {self.of} again")

    async def _until_served(self, order: Order, by: str) -> None:
        while self._holder() != by:
            if order.left() <= 0:
                raise StrategyError("no_takeover", f"{by} has not taken over as {self.of} in time")
            await asyncio.sleep(min(0.005, self._seconds / 50))

    def _check_served(self, order: Order) -> None:
        if self._holder() is None:
            raise StrategyError("no_takeover", f"nobody acts as {self.of} now")

    def _holder(self) -> str | None:
        """Who acts now, as far as is known: somebody whose lease is fresh and who says so."""
        lease = self._lease
        fresh = lease is not None and self._clock() - self._changed_at < self._seconds
        return lease.holder if lease is not None and fresh and lease.holder and lease.serving else None

    def elsewhere(self) -> tuple[bool, str] | None:
        """What a probe of the one that is stood by for must say while another acts: whether that one's lease is fresh.

        None: a probe is about this agent itself.
        """
        if not self.primary or self._serving:
            return None
        holder = self._holder()
        return holder is not None, f"{holder or 'nobody'} acts as {self.of}"
