"""Checkpoints: taken at once, stored in the background, restored with their digest checked."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mendbus import streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import AgentRef, RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.sdk import checkpoints as module
from mendbus.sdk.checkpoints import Checkpoints, check_restore
from mendbus.sdk.commands import Done, Order, StrategyError
from mendbus.sdk.loop import Caller
from mendbus.testing import eventually

BUCKET = Subjects().bucket("checkpoints")


class Setup:
    """An agent's checkpoints over a bus; the state is `content` and `version`."""

    def __init__(self, bus: Bus) -> None:
        self.content = b"first"
        self.version: str | None = None
        self.bus = bus
        self.checkpoints = Checkpoints(BUCKET, "runtime", "r1", Caller(), time.time_ns)
        self.checkpoints.bus = bus
        self.checkpoints.register(self.snapshot, self.restore)
        self.woken = asyncio.Event()
        self.checkpoints.wake = self.woken.set

    def snapshot(self) -> bytes:
        return self.content

    def restore(self, content: bytes, version: str | None) -> None:
        self.content, self.version = content, version

    def take(self, content: bytes, version: str | None = None, *, good: bool = True) -> str:
        self.content = content
        return self.checkpoints.take(version, good=good, wait=lambda _: None)

    async def order(self, action: str = "apply", incident_id: str = "i1", **changes: Any) -> Done:
        command = RecoveryCommand(
            command_id="c1",
            incident_id=incident_id,
            attempt=1,
            agent=AgentRef(kind="runtime", id="r1"),
            action=action,  # type: ignore[arg-type]
            strategy="rollback",
            parameters=changes.pop("parameters", {}),
            timeout_ms=1000,
            deadline_unix_nano=1,
            fence=1,
            **changes,
        )
        order = Order(command, asyncio.get_running_loop().time() + 1)
        return await (self.checkpoints.apply(order) if action == "apply" else self.checkpoints.undo(order))

    async def stored(self) -> list[str]:
        """Ids in the bucket once everything is there."""
        uploading = asyncio.create_task(self.checkpoints.upload(self.bus, self.woken))
        await eventually(lambda: self.checkpoints.uploading == 0)
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
        return sorted(info.name.removeprefix("runtime/r1/") for info in await self.bus.list_objects(BUCKET))


@pytest.fixture
async def memory() -> AsyncIterator[Bus]:
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, Subjects(), 1 << 28)
    yield bus
    await bus.close()


@pytest.fixture
def setup(memory: Bus) -> Setup:
    return Setup(memory)


async def test_rollback_restores_the_last_good_one_and_undo_goes_forward(setup: Setup) -> None:
    """Apply restores content and version of the last good checkpoint; undo brings back the state before it."""
    with pytest.raises(StrategyError, match="no_checkpoint"):
        await setup.order()
    good = setup.take(b"good", "v1")
    setup.take(b"bad", "v2", good=False)
    assert setup.checkpoints.last_good == good
    setup.content = b"broken"
    done = await setup.order()
    assert (setup.content, setup.version) == (b"good", "v1")
    assert done.undo_token is not None
    setup.content = b"worse"
    await setup.order("undo")
    assert setup.content == b"broken"
    await setup.order("undo", parameters={"undo_token": good})
    assert setup.content == b"good"
    await setup.order("undo", incident_id="i2", checkpoint_id=done.undo_token)
    assert setup.content == b"broken"
    with pytest.raises(StrategyError, match="nothing_to_undo"):
        await setup.order("undo", incident_id="unheard-of")


async def test_a_checkpoint_by_id_or_by_version(setup: Setup) -> None:
    """A named checkpoint is restored good or not, a version by its newest good one, from memory or the bucket."""
    first = setup.take(b"one", "v1")
    setup.take(b"one again", "v1")
    bad = setup.take(b"two", "v2", good=False)
    setup.take(b"three", "v3")
    await setup.order(parameters={"checkpoint_id": first})
    assert setup.content == b"one"
    await setup.stored()
    await setup.order(parameters={"checkpoint_id": bad})
    assert (setup.content, setup.version) == (b"two", "v2")
    await setup.order(parameters={"version": "v1"})
    assert setup.content == b"one again"
    with pytest.raises(StrategyError, match="no good checkpoint of version 'v2'"):
        await setup.order(parameters={"version": "v2"})
    with pytest.raises(StrategyError, match="no checkpoint 'unheard-of'"):
        await setup.order(parameters={"checkpoint_id": "unheard-of"})
    setup.checkpoints.bus = None
    with pytest.raises(StrategyError, match="no_bucket"):
        await setup.order(parameters={"checkpoint_id": "unheard-of"})


async def test_a_new_process_finds_what_the_old_one_left(setup: Setup) -> None:
    """After a restart the last good checkpoint comes from the bucket, another agent's is left alone."""
    setup.take(b"kept", "v7")
    setup.take(b"bad", "v8", good=False)
    await setup.bus.put_object(BUCKET, "runtime/r2/zzz", b"not ours", {"good": "true"})
    await setup.stored()
    again = Setup(setup.bus)
    await again.order()
    assert (again.content, again.version) == (b"kept", "v7")


async def test_ten_are_kept_and_the_last_good_one(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older ones are removed from the bucket, but never the last good one."""
    monkeypatch.setattr(module, "KEPT", 3)
    old = setup.take(b"old")
    good = setup.take(b"good")
    await setup.stored()
    later = []
    for number in range(5):
        later.append(setup.take(b"%d" % number, good=False))
        await setup.stored()
    assert await setup.stored() == [good, *later[-3:]]
    assert old not in await setup.stored()


async def test_a_wrong_digest_is_refused(setup: Setup) -> None:
    """Content that does not match its digest is never restored."""
    event = setup.take(b"good")
    await setup.stored()
    await setup.bus.put_object(BUCKET, f"runtime/r1/{event}", b"tampered", {"good": "true", "sha256": "0" * 64})
    again = Setup(setup.bus)
    with pytest.raises(StrategyError, match="digest"):
        await again.order()
    assert again.content == b"first"


async def test_a_state_too_broken_to_read_is_rolled_back_all_the_same(setup: Setup) -> None:
    """When the state before cannot be kept the rollback goes on, without a way back."""
    setup.take(b"good")

    def broken() -> bytes:
        raise OSError("unreadable")

    setup.checkpoints.register(broken, setup.restore)
    done = await setup.order()
    assert setup.content == b"good"
    assert done.undo_token is None
    assert "unreadable" in (done.detail or "")


async def test_an_upload_is_repeated_until_it_succeeds(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket out of reach costs time, not the checkpoint."""
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0.01, 0.01))
    put, failures = setup.bus.put_object, [BusError("down"), BusError("down")]

    async def flaky(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await put(*arguments)

    setup.bus.put_object = flaky  # type: ignore[method-assign]
    event = setup.take(b"good")
    assert await setup.stored() == [event]


async def test_what_is_no_state_is_refused(setup: Setup) -> None:
    """Without a state there is nothing to take or restore; a snapshot is bytes; restore takes two arguments."""
    with pytest.raises(TypeError, match="must be bytes, got str"):
        setup.take("text")  # type: ignore[arg-type]
    check_restore(lambda _content, _version: None)
    check_restore(print)
    with pytest.raises(TypeError, match="restore must take"):
        check_restore(lambda: None)
    bare = Checkpoints(BUCKET, "runtime", "r1", Caller(), time.time_ns)
    assert not bare.registered
    assert bare.last_good is None
    with pytest.raises(RuntimeError, match="no state"):
        bare.take(None, good=True, wait=lambda _: None)
    bare_setup = Setup(setup.bus)
    bare_setup.checkpoints = bare
    with pytest.raises(StrategyError, match="no_state"):
        await bare_setup.order()


async def test_an_asynchronous_snapshot_is_waited_for(setup: Setup) -> None:
    """A snapshot that is a coroutine function is run by whoever can wait for it."""

    async def snapshot() -> bytes:
        return b"later"

    setup.checkpoints.register(snapshot, setup.restore)
    waited: list[Any] = []

    def wait(coroutine: Any) -> bytes:
        waited.append(coroutine)
        coroutine.close()
        return b"later"

    setup.checkpoints.take("v1", good=True, wait=wait)
    assert len(waited) == 1
    await setup.order()
    assert (setup.content, setup.version) == (b"later", "v1")
