"""Checkpoints of an agent's state: kept in memory and in the object bucket `checkpoints`, restored by `rollback`."""

import asyncio
import hashlib
import inspect
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from mendbus.bus import Bus, ObjectInfo
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.sdk.commands import Done, Order, StrategyError
from mendbus.sdk.loop import Caller, is_async

log = logging.getLogger("mendbus.sdk")

KEPT: Final = 10
"""Checkpoints kept in the bucket; the last good one beside them, should it be older."""
_KEPT_BEFORE: Final = 2
"""States before a rollback that are held in memory, to go forward to again."""
_MILLISECOND_NS: Final = 10**6
_UPLOAD_SECONDS: Final = 30.0
_UPLOAD_LATER_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = (0.2, 10.0)


@dataclass(slots=True, frozen=True)
class Checkpoint:
    """A state; `sha256` (hex) of its content."""

    id: str
    version: str | None
    good: bool
    content: bytes
    sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """As it stands beside the object."""
        known = {"good": "true" if self.good else "false", "sha256": self.sha256}
        return known if self.version is None else known | {"version": self.version}


@dataclass(slots=True, frozen=True)
class _Known:
    """What is known of a checkpoint whose content is in the bucket."""

    version: str | None
    good: bool


class Checkpoints:
    """The checkpoints of one agent: `take` from any thread, the rest on the agent's own."""

    def __init__(self, bucket: str, kind: str, agent: str, caller: Caller, now: Callable[[], int]) -> None:
        self._bucket = bucket
        self._prefix = f"{kind}/{agent}/"
        self._caller = caller
        self._now = now
        self._lock = threading.Lock()
        self._snapshot: Callable[[], Any] | None = None
        self._restore: Callable[..., Any] | None = None
        self._version: str | None = None
        self._last_good: Checkpoint | None = None
        self._before: OrderedDict[str, Checkpoint] = OrderedDict()
        self._before_of: OrderedDict[str, str] = OrderedDict()
        self._known: dict[str, _Known] = {}
        self._listed = False
        self._latest_ns = 0
        self._uploads: deque[Checkpoint] = deque(maxlen=KEPT)
        self.bus: Bus | None = None
        self.wake: Callable[[], None] = lambda: None

    def register(self, snapshot: Callable[[], Any], restore: Callable[..., Any]) -> None:
        """How the state is read (bytes) and set (bytes, version)."""
        self._snapshot, self._restore = snapshot, restore

    @property
    def registered(self) -> bool:
        """Whether there is a state to speak of."""
        return self._snapshot is not None

    @property
    def last_good(self) -> str | None:
        """The id of the last good checkpoint of this process."""
        return self._last_good.id if self._last_good else None

    @property
    def uploading(self) -> int:
        """Checkpoints that are not in the bucket yet."""
        return len(self._uploads)

    def take(self, version: str | None, *, good: bool, wait: Callable[[Any], Any]) -> str:
        """Takes a checkpoint now and keeps it in the background; its id. `wait` runs an asynchronous snapshot.

        Raises `RuntimeError` when no state is registered, and whatever the snapshot raises.
        """
        snapshot = self._snapshot
        if snapshot is None:
            msg = "there is no state to take a checkpoint of: call agent.state(snapshot=..., restore=...) first"
            raise RuntimeError(msg)
        content = wait(self._caller.call(snapshot)) if is_async(snapshot) else snapshot()
        checkpoint = self._made(content, version, good=good)
        with self._lock:
            self._version = version
            if good:
                self._last_good = checkpoint
            self._uploads.append(checkpoint)
        self.wake()
        return checkpoint.id

    def _made(self, content: object, version: str | None, *, good: bool) -> Checkpoint:
        if not isinstance(content, (bytes, bytearray, memoryview)):
            msg = f"a snapshot must be bytes, got {type(content).__name__}"
            raise TypeError(msg)
        kept = bytes(cast("bytes", content))
        with self._lock:
            # Ids tell the order in which checkpoints were taken, and are exact to the millisecond only.
            self._latest_ns = max(self._now(), self._latest_ns + _MILLISECOND_NS)
            event = new_id(self._latest_ns)
        return Checkpoint(event, version, good, kept, hashlib.sha256(kept).hexdigest())

    # -- the bucket

    async def upload(self, bus: Bus, woken: asyncio.Event) -> None:
        """Puts checkpoints into the bucket for as long as the connection lives, and removes old ones."""
        pause = _RETRY_SECONDS[0]
        while True:
            if not self._uploads:
                woken.clear()
                if not self._uploads:
                    _ = await woken.wait()
                continue
            checkpoint = self._uploads[0]
            try:
                async with asyncio.timeout(_UPLOAD_SECONDS):
                    _ = await bus.put_object(
                        self._bucket, self._prefix + checkpoint.id, checkpoint.content, checkpoint.metadata
                    )
                    with self._lock:
                        if self._uploads and self._uploads[0] is checkpoint:
                            _ = self._uploads.popleft()
                    self._known[checkpoint.id] = _Known(checkpoint.version, checkpoint.good)
                    await self._prune(bus)
                pause = _RETRY_SECONDS[0]
            except (BusError, TimeoutError) as error:
                log.warning("checkpoint %s is not in the bucket yet: %s", checkpoint.id, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS[1])

    async def _prune(self, bus: Bus) -> None:
        await self._list(bus)
        ids = sorted(self._known)
        good = next((event for event in reversed(ids) if self._known[event].good), None)
        for old in ids[:-KEPT]:
            if old != good:
                await bus.delete_object(self._bucket, self._prefix + old)
                del self._known[old]

    async def _list(self, bus: Bus) -> None:
        """Learns once what earlier processes of this agent left."""
        if self._listed:
            return
        for info in await bus.list_objects(self._bucket):
            if info.name.startswith(self._prefix):
                _ = self._known.setdefault(info.name.removeprefix(self._prefix), _known_of(info))
        self._listed = True

    # -- the strategy

    async def apply(self, order: Order) -> Done:
        """Restores a checkpoint, having taken one of the state as it is; its id is the undo token."""
        snapshot = self._snapshot
        if snapshot is None:
            raise StrategyError("no_state", "this agent registered no state")
        wanted = _text(order.command.parameters.get("checkpoint_id"))
        target = await self._find(wanted, _text(order.command.parameters.get("version")))
        token, note = None, ""
        try:
            before = self._made(await self._caller.call(snapshot), self._version, good=False)
        except Exception as error:
            note = f"; the state before could not be kept: {error!r}"
        else:
            token = before.id
            self._remember(before, order.command.incident_id)
        await self._set(target)
        # Storing a large state keeps the loop busy: the answer to the command goes first.
        _ = asyncio.get_running_loop().call_later(_UPLOAD_LATER_SECONDS, self.wake)
        return Done(f"restored checkpoint {target.id}, version {target.version}{note}", token)

    async def undo(self, order: Order) -> Done:
        """Goes forward to the state before: by the undo token, else by the incident that rolled back."""
        token = (
            _text(order.command.parameters.get("undo_token"))
            or (order.command.checkpoint_id if order.command.checkpoint_id in self._before else None)
            or self._before_of.get(order.command.incident_id)
        )
        if token is None:
            raise StrategyError("nothing_to_undo", f"no rollback is known of incident {order.command.incident_id}")
        target = self._before.get(token) or await self._find(token, None)
        await self._set(target)
        return Done(f"went forward to the state before, {target.id}")

    def _remember(self, before: Checkpoint, incident: str) -> None:
        self._before[before.id] = before
        self._before_of[incident] = before.id
        while len(self._before) > _KEPT_BEFORE:
            _ = self._before.popitem(last=False)
        while len(self._before_of) > KEPT:
            _ = self._before_of.popitem(last=False)
        with self._lock:
            self._uploads.append(before)

    async def _find(self, wanted: str | None, version: str | None) -> Checkpoint:
        cached = self._last_good
        if cached is not None and wanted in (None, cached.id) and version in (None, cached.version):
            return cached
        for waiting in reversed(list(self._uploads)):
            if waiting.id == wanted or (wanted is None and waiting.good and waiting.version == version):
                return waiting
        bus = self.bus
        if bus is None:
            raise StrategyError("no_bucket", "the bucket of checkpoints is out of reach")
        if wanted is None:
            wanted = await self._newest_good(bus, version)
        found = await bus.get_object(self._bucket, self._prefix + wanted)
        if found is None:
            raise StrategyError("no_checkpoint", f"there is no checkpoint {wanted!r}")
        info, content = found
        known = _known_of(info)
        return Checkpoint(wanted, known.version, known.good, content, info.metadata.get("sha256", info.sha256))

    async def _newest_good(self, bus: Bus, version: str | None) -> str:
        await self._list(bus)
        for event in sorted(self._known, reverse=True):
            known = self._known[event]
            if known.good and version in (None, known.version):
                return event
        wanted = "good checkpoint" if version is None else f"good checkpoint of version {version!r}"
        raise StrategyError("no_checkpoint", f"there is no {wanted}")

    async def _set(self, target: Checkpoint) -> None:
        if hashlib.sha256(target.content).hexdigest() != target.sha256:
            raise StrategyError("digest", f"the content of checkpoint {target.id} does not match its digest")
        if self._restore is None:
            raise StrategyError("no_state", "this agent registered no state")
        _ = await self._caller.call(self._restore, target.content, target.version)
        self._version = target.version


def _known_of(info: ObjectInfo) -> _Known:
    return _Known(info.metadata.get("version"), info.metadata.get("good") == "true")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def check_restore(restore: Callable[..., Any]) -> None:
    """Raises `TypeError` unless the callable takes the content and the version."""
    try:
        _ = inspect.signature(restore).bind(b"", None)
    except ValueError:
        return
    except TypeError as error:
        msg = f"restore must take (content: bytes, version: str | None): {error}"
        raise TypeError(msg) from None
