"""Streams on a real cluster of three nats-servers."""

import json
from pathlib import Path

import pytest
from tests.cluster.nodes import Cluster

from mendbus.bus import StreamSpec
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.server import NatsServer
from mendbus.testing import eventually

pytestmark = pytest.mark.timeout(120)

THREE = StreamSpec("R", ("r.>",), replicas=3)


async def test_what_is_acknowledged_outlives_the_loss_of_a_leader(tmp_path: Path) -> None:
    """A stream of three replicas is made as such, and has everything after its leader was killed with SIGKILL."""
    cluster = Cluster(tmp_path)
    try:
        await cluster.start()
        assert await cluster.synced()
        bus = await connect(cluster.url, name="test")
        assert await bus.ensure([THREE], []) == []
        acknowledged = [(await bus.store("r.x", b"%d" % number, timeout=10.0)).sequence for number in range(5)]
        info = json.loads((await bus.request("$JS.API.STREAM.INFO.R", b"", timeout=5.0)).body)
        assert info["config"]["num_replicas"] == 3
        cluster.kill(int(info["cluster"]["leader"][1:]) - 1)

        async def stored() -> int:
            try:
                return (await bus.store("r.x", b"after", id="after", timeout=2.0)).sequence
            except BusError:
                return 0

        last = await eventually(stored, 40.0)

        async def whole() -> bool:
            # Any replica may answer, also one that has not heard of the last write yet.
            return [message.sequence async for message in bus.read("R", "r.>")] == [*acknowledged, last]

        await eventually(whole, 20.0)
        await bus.close()
    finally:
        await cluster.stop()


async def test_one_server_alone_says_that_it_keeps_nothing_three_times(nats_server: NatsServer) -> None:
    """Three replicas on a server that is in no cluster are refused at once, with what to do."""
    bus = await connect(nats_server.url, name="test")
    with pytest.raises(BusError, match=r"is in no cluster .*MENDBUS_STREAM_REPLICAS"):
        _ = await bus.ensure([StreamSpec("R3", ("r3.>",), replicas=3)], [])
    await bus.close()


async def test_a_stream_that_somebody_gave_more_replicas_keeps_them(nats_server: NatsServer) -> None:
    """Who asks for one replica changes nothing; who asks for three where only one can be is told what differs."""
    bus = await connect(nats_server.url, name="test")
    assert await bus.ensure([StreamSpec("R1", ("r1.>",))], []) == []
    (drift,) = await bus.ensure([StreamSpec("R1", ("r1.>",), replicas=3)], [])
    assert "num_replicas is 1, wanted 3" in drift
    await bus.close()
