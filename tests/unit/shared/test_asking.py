"""Requests whose answer does not come."""

import asyncio
import gc
from contextlib import suppress

from mendbus.bus.asking import Requests
from mendbus.contracts.errors import BusTimeout


async def test_a_timeout_leaves_no_garbage_for_the_collector() -> None:
    """When every other question times out, the objects of each are freed at once, and not by a pause later."""

    async def send(*_: object, **__: object) -> None:
        pass

    requests, now = Requests("_INBOX", send), asyncio.get_running_loop().time
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            # Not `pytest.raises`, which keeps what it caught.
            with suppress(BusTimeout):
                await requests.ask("nobody", b"", None, now(), 0.001)
        left = [item for item in gc.get_objects() if isinstance(item, TimeoutError)]
    finally:
        gc.enable()
    # The last one may still be on its way.
    assert len(left) <= 1
