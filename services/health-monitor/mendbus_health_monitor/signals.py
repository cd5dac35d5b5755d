"""Takes samples in, looks at each agent every few seconds, reads how full Mendbus itself is, and answers about both."""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mendbus import streams
from mendbus.bus import StoredMessage, Usage
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import AgentGoodbye, AgentHello, Control, ControlResult, HealthSample
from mendbus.contracts.subjects import HEADER_ID, LANES, MAX_BODY, PARTITIONS
from mendbus.features.samples import Order, sensible
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_health_monitor.findings import DESCRIPTORS, Finding
from mendbus_health_monitor.own_capacity import READ_SECONDS, OwnCapacity, Reading
from mendbus_health_monitor.running_out import Resource, of_kind
from mendbus_health_monitor.watch import Watch

log = logging.getLogger("mendbus")

MAX_AGENTS: Final = 1000
"""Agents under watch, each some 80 kB. Further ones are not, until one of these has been silent for `QUIET_SECONDS`: if
each newcomer took another's place, nobody would be watched for long enough to be known.
"""
QUIET_SECONDS: Final = 60.0
"""Silence after which nothing is told of an agent any more; at least five of its intervals."""
PAGE: Final = 500
"""Rows in one answer, but always all of one agent; `next` in it is the `after` of the next question."""

_LOOK_SECONDS: Final = 1.0
_QUIET_INTERVALS: Final = 5
_SET_BACK_NANO: Final = 10_000_000_000
"""A clock that was set back further than this makes rows before it useless."""
_NANO: Final = 1_000_000_000
_MILLI: Final = 1_000_000

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class _Agent:
    watch: Watch
    instance: str | None
    interval_ms: int
    order: Order = field(default_factory=Order)
    heard_unix_nano: int = 0
    due: bool = False


@dataclass(frozen=True, slots=True)
class _Greeted:
    """What an agent said of itself when it came."""

    instance: str | None
    limits: Mapping[str, float]


class Signals:
    """What the metrics of all agents, and of Mendbus itself, give to know."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self._greeted: OrderedDict[str, _Greeted] = OrderedDict()
        """By agent, whoever greeted longest ago first."""
        self._recoveries = 0
        self._counted = 0
        """Stream sequence of the last outcome that was counted, or that was there before the start."""
        self._full = False
        specs = streams.streams(runtime.subjects, -1)
        self._streams = {spec.name.removeprefix(f"{runtime.subjects.prefix}_"): spec.name for spec in specs}
        refuses = frozenset(name for name, spec in zip(self._streams, specs, strict=True) if spec.discard == "new")
        self.own = OwnCapacity(runtime.settings.sustainable_recoveries, refuses)

    async def start(self) -> None:
        """Begins to look and answer; what is heard is given to it. Raises `BusError` when there is no RECOVERIES.

        Call it before outcomes are followed: those that are there now are not counted.
        """
        runtime, subjects = self._runtime, self._runtime.subjects
        self._counted = (await runtime.bus.usage(self._streams["RECOVERIES"])).last_sequence
        await runtime.serve("signals", subjects.control("signals"), Control, self._tell_signals, limit=MAX_BODY)
        await runtime.serve("capacity", subjects.control("capacity"), Control, self._tell_capacity, limit=MAX_BODY)
        runtime.spawn(self._look(), "look at signals")
        runtime.spawn(self._read(), "read own capacity")

    def findings(self) -> list[Finding]:
        """All that stands now, agents in the order of their keys, then Mendbus itself (`mendbus/...`)."""
        of_agents = [finding for _, agent in sorted(self._agents.items()) for finding in agent.watch.findings]
        return of_agents + self.own.findings()

    def hear(self, sample: HealthSample) -> None:
        """Takes a sample in. One that is doubled or late is passed over; a new process begins anew."""
        now, key, instance = self._runtime.now(), sample.agent.key, sample.agent.instance
        agent = self._agents.get(key)
        known = agent is not None and (agent.instance, agent.interval_ms) == (instance, sample.interval_ms)
        if agent is None and not self._room(now):
            return
        if agent is None or not known or now < agent.heard_unix_nano - _SET_BACK_NANO:
            fresh = _Agent(Watch(key, sample.interval_ms), instance, sample.interval_ms)
            if agent is not None:
                fresh.order = agent.order
            if fresh.order.place(sample) in ("doubled", "late"):
                return
            agent = self._agents[key] = fresh
        elif agent.order.place(sample) in ("doubled", "late"):
            return
        self._agents.move_to_end(key)
        agent.heard_unix_nano = now
        values: dict[str, float] = {**sensible(sample.metrics)}
        descriptors = sample.gauges.get(DESCRIPTORS)
        if descriptors is not None and descriptors >= 0.0:
            values[DESCRIPTORS] = descriptors
        greeted = self._greeted.get(key)
        limits = {**(greeted.limits if greeted else {}), **sample.limits}
        agent.due = agent.watch.add(values, limits, now) or agent.due

    def greet(self, hello: AgentHello) -> None:
        """An agent's hello that is kept: its limits. Of too many, those of whoever came longest ago are forgotten."""
        self._greeted[hello.agent.key] = _Greeted(hello.agent.instance, hello.limits)
        self._greeted.move_to_end(hello.agent.key)
        if len(self._greeted) > MAX_AGENTS:
            # Those under watch keep theirs: they are fewer, so that there is another one.
            del self._greeted[next(key for key in self._greeted if key not in self._agents)]

    def leave(self, goodbye: AgentGoodbye) -> None:
        """An agent leaves; an older process of it may, which changes nothing."""
        key, instance = goodbye.agent.key, goodbye.agent.instance
        agent, greeted = self._agents.get(key), self._greeted.get(key)
        if agent is not None and instance in (None, agent.instance):
            del self._agents[key]
        if greeted is not None and instance in (None, greeted.instance):
            del self._greeted[key]

    def count(self, stored: StoredMessage) -> None:
        """An outcome as it is stored. The first one of an incident is a recovery; one that comes twice counts once."""
        if stored.sequence > self._counted:
            self._counted = stored.sequence
            # Its id tells it from all later ones, so that no body need be read.
            self._recoveries += stored.headers.get(HEADER_ID, "").endswith("-0")

    def _room(self, now: int) -> bool:
        """Whether one more may be watched; lets go of the one that was heard least lately, if it is silent."""
        if len(self._agents) < MAX_AGENTS:
            return True
        key, oldest = next(iter(self._agents.items()))
        if now - oldest.heard_unix_nano <= self._patience(oldest):
            if not self._full:
                log.warning("%d agents are watched for trends and capacity, others are not: it is the most", MAX_AGENTS)
            self._full = True
            return False
        del self._agents[key]
        _ = self._greeted.pop(key, None)
        self._full = False
        return True

    @staticmethod
    def _patience(agent: _Agent) -> float:
        return max(QUIET_SECONDS * _NANO, _QUIET_INTERVALS * agent.interval_ms * _MILLI)

    def look(self, key: str) -> None:
        """Looks at one agent, if that is due; lets go of one that has been silent for long."""
        agent, now = self._agents.get(key), self._runtime.now()
        if agent is None:
            return
        if now - agent.heard_unix_nano > self._patience(agent):
            agent.watch.rest()
        elif agent.due:
            agent.due = False
            agent.watch.look(now)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for key in list(self._agents):
                self.look(key)
                # Between two agents everything else has its turn: a look takes milliseconds.
                await asyncio.sleep(0)

    # -- Mendbus itself

    async def _read(self) -> None:
        while True:
            try:
                self.own.add(await self._reading())
            except BusError as error:
                log.warning("how full the streams are cannot be read, it is tried again: %s", error)
            await asyncio.sleep(READ_SECONDS)

    async def _reading(self) -> Reading:
        bus, subjects = self._runtime.bus, self._runtime.subjects
        held: dict[str, Usage] = {}
        for name, stream in self._streams.items():
            held[name] = await bus.usage(stream)
        floors = [
            await bus.ack_floor(streams.lane_consumer(subjects, partition, lane))
            for partition in range(PARTITIONS)
            for lane in LANES
        ]
        recoveries, self._recoveries = self._recoveries, 0
        # A stream that was made anew counts from one again.
        self._counted = min(self._counted, held["RECOVERIES"].last_sequence)
        # Floors are asked for after the end, so that what came between counts as acknowledged at the most.
        waiting = max(0, held["ERRORS"].last_sequence - min(floors))
        return Reading(self._runtime.now(), recoveries, waiting, held)

    # -- answers

    async def _tell_signals(self, control: Control, _: Span) -> ControlResult:
        keys = self._keys(control)
        told, more = self._page(keys, self._finding_rows)
        data: dict[str, Any] = {"findings": told, **more}
        if control.agent is None and control.kind is None and not more:
            data["findings"] = told + [found.row() for found in self.own.findings()]
        if control.agent is not None and control.agent.key in self._agents:
            watch = self._agents[control.agent.key].watch
            data["resources"] = [found.row() for found in watch.resources]
            data["scores"] = watch.running_scores
        return self._runtime.result(data=data)

    async def _tell_capacity(self, control: Control, _: Span) -> ControlResult:
        keys = self._keys(control)
        told, more = self._page(keys, self._resource_rows)
        data: dict[str, Any] = {"agents": told, **more}
        if not more and control.agent is None:
            data["kinds"] = self._kinds(control.kind)
            data["mendbus"] = self.own.row()
        return self._runtime.result(data=data)

    def _finding_rows(self, key: str) -> Rows:
        return [found.row() for found in self._agents[key].watch.findings]

    def _resource_rows(self, key: str) -> Rows:
        return [found.row() for found in self._agents[key].watch.resources]

    def _kinds(self, kind: str | None) -> list[dict[str, Any]]:
        sorts: defaultdict[tuple[str, str], list[Resource]] = defaultdict(list)
        for key, agent in self._agents.items():
            of = key.partition("/")[0]
            if kind in (None, of):
                for found in agent.watch.resources:
                    sorts[of, found.metric].append(found)
        return [of_kind(of, metric, found) for (of, metric), found in sorted(sorts.items())]

    def _keys(self, control: Control) -> list[str]:
        after = control.arguments.get("after", "")
        kind = control.agent.kind if control.agent else control.kind
        return sorted(
            key
            for key in self._agents
            if (not isinstance(after, str) or key > after)
            and (kind is None or key.startswith(f"{kind}/"))
            and (control.agent is None or key == control.agent.key)
        )

    def _page(
        self, keys: list[str], rows_of: Callable[[str], list[dict[str, Any]]]
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        rows: Rows = []
        for place, key in enumerate(keys):
            rows += rows_of(key)
            if len(rows) >= PAGE and place + 1 < len(keys):
                return rows, {"next": key}
        return rows, {}
