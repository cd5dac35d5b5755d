"""What a running service stands on: its word on an order."""

from tests.support import memory_runtime

from mendbus.runtime import Drain, Runtime, Service


async def start(_: Runtime) -> Drain:
    async def drain() -> None:
        return

    return drain


async def test_what_a_service_did_fits_the_wire() -> None:
    """It names who did it; a detail that is too long is cut where a character ends, an empty one is left out."""
    async with memory_runtime(Service("executor", "does nothing", start)) as runtime:
        refused = runtime.result(ok=False, detail="a" + "ä" * 600)
        assert (refused.ok, refused.service, refused.instance) == (False, "executor", "test")
        assert refused.detail == "a" + "ä" * 499
        done = runtime.result(data={"rows": []})
        assert (done.ok, done.detail, done.data) == (True, None, {"rows": []})
