"""One owned partition: rebuild the state, fence the one before off, then pull, group, recover, until fenced oneself."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, get_args

from mendbus import streams
from mendbus.bus import Consumption, Delivery
from mendbus.contracts import canary
from mendbus.contracts.errors import BusClosed, BusError
from mendbus.contracts.journal import Claimed, Operated
from mendbus.contracts.messages import Control, SettledQuery, SettledReply
from mendbus.fingerprint import Fingerprints
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_strategy_selector.aftercare import Aftercare
from mendbus_strategy_selector.control_journal import keep_latch
from mendbus_strategy_selector.heads import Heads
from mendbus_strategy_selector.housekeeping import keep_room, keep_shares
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.incidents import is_grave
from mendbus_strategy_selector.intake import Intake, Taken
from mendbus_strategy_selector.journal import Journal, Position
from mendbus_strategy_selector.keeping import keep
from mendbus_strategy_selector.parking import Parking
from mendbus_strategy_selector.pauses import Pause
from mendbus_strategy_selector.rates import Rates
from mendbus_strategy_selector.recovery import Recoveries
from mendbus_strategy_selector.settled import answer_settled
from mendbus_strategy_selector.snapshot import restore
from mendbus_strategy_selector.state import Lane, PartitionState
from mendbus_strategy_selector.steps import Context, Steps
from mendbus_strategy_selector.telling import Teller
from mendbus_strategy_selector.tidying import Tidying

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_BATCH = 250
OPEN_AT_MOST = 2000
"""Open incidents of a partition above which no more errors are pulled; they wait in the stream."""
_CHORES_SECONDS = 0.5
_UNSYNCED_NANO = 10 * _NANO
"""How old an outcome is at least that a killed server has on disk: RECOVERIES is acknowledged before it is written."""

Job = Callable[[], Awaitable[None]]
_Commit = tuple[asyncio.Future[Position] | None, Taken, Sequence[Delivery]]


class Partition:
    """A partition while this process owns it."""

    def __init__(self, runtime: Runtime, context: Context, number: int, on_ready: Callable[[], None]) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self._on_ready = on_ready
        self._runtime = runtime
        self._context = context
        self._jobs: dict[str, deque[Job]] = {}
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._unoccupied = asyncio.Event()
        self._unoccupied.set()
        self._dirty: dict[str, Incident] = {}
        self._commits: asyncio.Queue[_Commit] = asyncio.Queue()
        self._stopping = False
        self._unsynced_since = 0
        """Since when outcomes may not have been on the server's disk; 0: all are, or will be."""
        self._state = PartitionState()
        self._consumptions: list[Consumption] = []
        self._held = 0
        self._behind: dict[Lane, int] = {}

    async def run(self) -> None:
        """Owns the partition until cancelled. Raises `Fenced` (in a group) when somebody else took it over."""
        owner = f"{self._runtime.service}/{self._runtime.instance}"
        await self._rebuild(owner)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._start("journal", self._journal.run())
                self._start("teller", self._teller.run())
                await self._journal.append(Claimed(owner=owner))
                await self._consume()
                self._start("acknowledge", self._acknowledge())
                self._start("settle", self._aftercare.run())
                self._start("tell late", self._keep_telling())
                self._start("tidy", self._keep_tidy())
                self._start("watch", self._journal.watch())
                if self.number == 0:
                    self._start_for_all()
                self._resume()
                self.ready.set()
                self._on_ready()
        finally:
            self.ready.clear()
            for consumption in self._consumptions:
                await consumption.stop()

    async def _rebuild(self, owner: str) -> None:
        """The state that the owner before has left, and all that works on it; nothing of it is at work yet."""
        runtime, context = self._runtime, self._context
        self._state, position = await restore(runtime.bus, runtime.subjects, self.number)
        self._journal = Journal(runtime.bus, runtime.subjects, self.number, owner, position, runtime.now)
        self._teller = Teller(runtime.bus, runtime.subjects)
        rates = Rates(runtime.now)
        self._steps = Steps(context, self._state, self._journal, self._teller)
        self._recoveries = Recoveries(self._steps, rates)
        self._aftercare = Aftercare(self._steps, self._judge)
        self._parking = Parking(self._steps)
        self._intake = Intake(
            runtime.bus,
            runtime.subjects,
            runtime.service,
            context.policies,
            context.tracer,
            self._state,
            Fingerprints(),
            rates,
            runtime.now,
            runtime.meter,
        )
        self._heads = Heads(runtime.bus, runtime.subjects, str(self.number))
        self._tidying = Tidying(runtime, context.policies, self.number, self._state, self._journal)
        for incident in self._state.incidents.values():
            if incident.phase == "open":
                grave = is_grave(incident.error.severity)
                context.overview.incidents.know(incident.id, incident.agent.key, incident.opened_unix_nano, grave=grave)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._group.create_task(work, name=f"{name} {self.number}")

    async def _consume(self) -> None:
        for lane in get_args(Lane):
            spec = streams.lane_consumer(self._runtime.subjects, self.number, lane)
            consumption = await self._runtime.bus.consume(spec)
            self._consumptions.append(consumption)
            self._group.create_task(self._pull(lane, consumption), name=f"pull {self.number} {lane}")

    def _start_for_all(self) -> None:
        """What one owner does for all partitions."""
        runtime, overview = self._runtime, self._context.overview
        lessons = keep(runtime.bus, runtime.subjects, overview.lessons)
        self._group.create_task(keep_room(runtime), name="keep room")
        self._group.create_task(keep_shares(runtime), name="keep shares")
        self._group.create_task(lessons, name="keep lessons")
        self._group.create_task(keep_latch(runtime, overview), name="keep latch")

    async def drain(self) -> None:
        """Pulls no more, finishes the recoveries under way that can be, tells everything, leaves a snapshot."""
        self._stopping = True
        for consumption in self._consumptions:
            await consumption.stop()
        await self._unoccupied.wait()
        await self._journal.finish()
        await self._commits.join()
        await self._teller.finish()
        try:
            await self._tidying.snapshot()
        except BusError as error:
            log.warning("partition %d leaves no last snapshot, its next owner reads more: %s", self.number, error)

    # Pulling

    async def _pull(self, lane: Lane, consumption: Consumption) -> None:
        while not self._stopping:
            await self._room.wait()
            try:
                deliveries = await consumption.take(_BATCH)
            except BusClosed:
                return
            self._held += len(deliveries)
            self._behind[lane] = deliveries[-1].pending
            taken = await self._intake.take(lane, deliveries)
            # Written with the decision that follows, as a rule: one record for both.
            commit = self._journal.append(*taken.entries, lazy=True) if taken.entries else None
            self._begin(taken)
            self._commits.put_nowait((commit, taken, deliveries))

    async def _acknowledge(self) -> None:
        """Acknowledges errors once the record that counts them is on disk, and settles those that came late."""
        while True:
            commit, taken, deliveries = await self._commits.get()
            if commit is not None:
                await commit
                await self._told(taken)
            for delivery in deliveries:
                await delivery.ack()
            self._held -= len(deliveries)
            self._commits.task_done()

    def _begin(self, taken: Taken) -> None:
        """Recoveries may ask while their first record is being written; they command nothing before the next one."""
        for incident, span in taken.opened:
            self._enqueue(incident, lambda i=incident, s=span: self._recover(i, s))
        for incident, fresh in taken.recounted.values():
            self._dirty[incident.id] = incident
            if fresh:
                self._aftercare.repeated(incident)

    async def _told(self, taken: Taken) -> None:
        for incident_id, event_ids in taken.late.items():
            incident = self._state.incidents.get(incident_id)
            if incident is not None and incident.standing is not None:
                await self._teller.settle(incident.agent, event_ids, incident.standing, incident_id)
        for outcome in taken.rejected:
            self._teller.tell(outcome)

    # Recovering: one job at a time for each agent

    def _enqueue(self, incident: Incident, job: Job) -> None:
        key = incident.agent.key
        self._unoccupied.clear()
        waiting = self._jobs.get(key)
        if waiting is None:
            self._jobs[key] = waiting = deque((job,))
            self._group.create_task(self._work(key, waiting), name=f"recover {key}")
        elif is_grave(incident.error.severity):
            waiting.appendleft(job)
        else:
            waiting.append(job)
        self._make_room(1)

    async def _work(self, key: str, waiting: deque[Job]) -> None:
        try:
            while waiting:
                await waiting.popleft()()
                self._make_room(-1)
        finally:
            # Whoever waits for an executor that has gone is cancelled while this drains.
            del self._jobs[key]
            if not self._jobs:
                self._unoccupied.set()

    def _make_room(self, change: int) -> None:
        self._waiting += change
        if self._waiting < OPEN_AT_MOST:
            self._room.set()
        else:
            self._room.clear()

    async def _recover(self, incident: Incident, span: Span) -> None:
        await self._recoveries.recover(incident, span)
        self._watch(incident)

    async def _relapse(self, incident: Incident) -> None:
        await self._recoveries.relapse(incident, self._span("process relapse", incident))
        self._watch(incident)

    def _span(self, name: str, incident: Incident) -> Span:
        return self._steps.span(name, "internal", None, incident)

    async def _take_up(self, incident: Incident) -> None:
        """Goes on with a parked incident."""
        if self._parking.late(incident):
            await self._parking.give_up(incident)
        elif incident.phase == "parked":
            await self._recoveries.recover(incident, self._span("process parked", incident))
        self._watch(incident)

    def _take_up_due(self) -> None:
        for incident in self._parking.due():
            self._enqueue(incident, lambda i=incident: self._take_up(i))

    async def _await_upstream(self, incident: Incident, upstream: str) -> None:
        found = self._context.overview.incidents.get(upstream)
        if found is not None:
            await found.ended.wait()
        self._enqueue(incident, lambda: self._recover(incident, self._span("process symptom", incident)))

    def _watch(self, incident: Incident) -> None:
        incident.fold()
        self._parking.watch(incident)
        if incident.phase == "open" and incident.symptom_of is not None:
            waiting = self._await_upstream(incident, incident.symptom_of)
            self._group.create_task(waiting, name=f"symptom {incident.id}")
        elif incident.phase == "settling" and incident.repeated and incident.symptom_of is None:
            self._enqueue(incident, lambda: self._relapse(incident))
        elif incident.phase == "settling":
            self._aftercare.watch(incident)
        elif incident.held_until_unix_nano:
            self._group.create_task(self._hold(incident), name=f"hold {incident.id}")

    def _judge(self, incident: Incident) -> None:
        self._group.create_task(self._settle(incident), name=f"settle {incident.id}")

    async def _settle(self, incident: Incident) -> None:
        if await self._aftercare.settle(incident):
            self._watch(incident)
        else:
            self._enqueue(incident, lambda: self._relapse(incident))

    async def _hold(self, incident: Incident) -> None:
        seconds = (incident.held_until_unix_nano - self._runtime.now()) / _NANO
        await asyncio.sleep(max(0.0, seconds))
        self._enqueue(incident, lambda: self._lift(incident))

    async def _lift(self, incident: Incident) -> None:
        if not await self._aftercare.lift(incident):
            self._watch(incident)

    def _resume(self) -> None:
        """Takes up what the owner before left: open recoveries, settle windows, strategies in force."""
        incidents = list(self._state.incidents.values())
        # Outcomes are told in order: only the newest can be on disk and untold. The many that were parked long ago are.
        newest = max((incident.outcome_unix_nano for incident in incidents), default=0)
        untold = newest - int(streams.DUPLICATE_WINDOW * _NANO)
        self._unsynced_since = max(0, newest - _UNSYNCED_NANO)
        for incident in incidents:
            # One that has left its details to the journal was told before, and is told again from there if need be.
            if not incident.slim and (incident.phase != "parked" or incident.outcome_unix_nano >= untold):
                outcome = incident.details.outcome
                if outcome is not None:
                    self._teller.tell(outcome)
            if incident.untold:
                self._dirty[incident.id] = incident
            if incident.phase == "open":
                span = self._context.tracer.start(
                    "process error",
                    "consumer",
                    incident.traceparent,
                    {"mendbus.incident.id": incident.id, "mendbus.resumed": True},
                )
                self._enqueue(incident, lambda i=incident, s=span: self._recover(i, s))
            elif incident.pending is not None and incident.phase == "closed":
                self._enqueue(incident, lambda i=incident: self._lift(i))
            elif incident.pending is not None or incident.repeated:
                self._enqueue(incident, lambda i=incident: self._relapse(i))
            else:
                self._watch(incident)

    # Chores

    # Two tasks: a snapshot may have to wait for the server, and telling must not.

    async def _keep_telling(self) -> None:
        bus = self._runtime.bus
        reconnects, reached = bus.reconnects, self._runtime.now()
        while True:
            await asyncio.sleep(_CHORES_SECONDS)
            if bus.reconnects != reconnects:
                reconnects = bus.reconnects
                self._unsynced_since = self._unsynced_since or reached - _UNSYNCED_NANO
            if self._unsynced_since:
                await self._tell_again(self._unsynced_since)
            elif bus.connected:
                reached = self._runtime.now()
            await self._tell_late()
            self._take_up_due()
            self._tidying.forget(self._teller)

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(_CHORES_SECONDS)
            await self._heads.publish(self._journal.position, self._runtime.now())
            await self._tidying.tidy_when_due()

    async def _tell_again(self, since_unix_nano: int) -> None:
        try:
            async for outcome in self._journal.outcomes(since_unix_nano):
                self._teller.tell(outcome)
        except BusError as error:
            log.warning("outcomes that may be lost are told again a little later: %s", error)
        else:
            self._unsynced_since = 0

    async def _tell_late(self) -> None:
        for incident in list(self._dirty.values()):
            if not incident.untold:
                del self._dirty[incident.id]
            elif incident.pending is None:
                try:
                    await self._steps.tell_late(incident)
                except BusError as error:
                    log.warning("late errors of %s are not told yet: %s", incident.id, error)
                incident.fold()

    @property
    def lag(self) -> int:
        """Stored errors that are not counted on disk yet: those pulled, and those behind the last one when it came."""
        return self._held + sum(self._behind.values())

    @property
    def open_incidents(self) -> int:
        """Incidents without an outcome, but for the canary's."""
        return self._state.open.total() - self._state.open[canary.KEY]

    def pauses(self, now: int) -> list[Pause]:
        """Pauses of single agents."""
        return self._state.pauses.in_force(now)

    async def write(self, entry: Operated) -> None:
        """Takes an operator's action in; returns when it is on disk."""
        await self._steps.write(entry)

    async def operate(self, control: Control, incident_id: str) -> str:
        """Does what a person decided about an incident, and says so. Raises `ValueError` when it cannot be done."""
        done = await self._parking.operate(control, incident_id)
        self._take_up_due()
        return done

    async def settled(self, kind: str, agent_id: str, query: SettledQuery) -> SettledReply:
        """What became of an agent's events."""
        runtime = self._runtime
        return await answer_settled(runtime.bus, runtime.subjects, self._state, kind, agent_id, query)
