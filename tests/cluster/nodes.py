"""Three nats-servers of one cluster on this machine, with a link for every way between them and for their clients."""

import asyncio
import errno
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.cluster.plan import NODES, SMALL_NODE
from tests.lab.faults.storage import may_mount
from tests.lab.links import Link, Weather

from mendbus.server import NatsServer, syncs_always
from mendbus.testing import eventually

SMALL_MEGABYTES: Final = 384
_WHOLE_SECONDS: Final = 90.0
_CONFIG: Final = """\
cluster {{
  name: mendbus
  host: 127.0.0.1
  port: {port}
  # Nobody learns of a way around the links: what is told of this node leads nowhere.
  advertise: "127.0.0.1:9"
  no_advertise: true
  pool_size: -1
  routes: [{routes}]
}}
"""


class Cluster:
    """The nodes and their links. Clients use `url`, which leads to each node by its link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes: list[NatsServer] = []
        self.may_fill = may_mount()
        """Whether a node has a disk small enough to be filled: a file system in memory, which takes the right to
        mount one, and where nothing is synced to anything."""
        self._clients: list[Link] = []
        self._routes: dict[tuple[int, int], Link] = {}
        self._small = folder / f"n{SMALL_NODE + 1}"

    @property
    def url(self) -> str:
        """Addresses of all nodes, by their links."""
        return ",".join(f"nats://127.0.0.1:{link.port}" for link in self._clients)

    async def start(self) -> None:
        """Starts all, and waits until they are one."""
        if self.may_fill:
            self._small.mkdir(parents=True)
            size = f"size={SMALL_MEGABYTES}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self._small)], check=True)
        ports = _free_ports(NODES)
        for one in range(NODES):
            other = (one + 1) % NODES
            # Each knows the way to the next, one way between any two; what goes over it goes both ways.
            link = self._routes[one, other] = Link(ports[other])
            await link.start()
        for number in range(NODES):
            routes = ", ".join(
                f'"nats://127.0.0.1:{link.port}"' for (one, _), link in self._routes.items() if one == number
            )
            extra = _CONFIG.format(port=ports[number], routes=routes)
            self.nodes.append(NatsServer(self._folder / f"n{number + 1}", extra=extra, name=f"n{number + 1}"))
        await asyncio.gather(*(node.begin_async(30.0) for node in self.nodes))
        for node in self.nodes:
            link = Link(int(node.url.rpartition(":")[2]))
            await link.start()
            self._clients.append(link)
        await self.whole()

    async def stop(self) -> None:
        """Ends everything."""
        for node in self.nodes:
            if node.running:
                os.kill(node.pid, signal.SIGCONT)
            node.kill()
        for link in (*self._clients, *self._routes.values()):
            await link.stop()
        if self.may_fill:
            subprocess.run(["umount", str(self._small)], check=False)

    async def whole(self, timeout: float = _WHOLE_SECONDS) -> None:
        """Returns when every node says that it has all that it should have. Raises `AssertionError`."""

        async def all_healthy() -> bool:
            words = await asyncio.gather(*(asyncio.to_thread(_health, node.monitor_url) for node in self.nodes))
            assert not any(words), dict(zip([node.data_dir.name for node in self.nodes], words, strict=True))
            return True

        await eventually(all_healthy, timeout, every=0.2)

    async def synced(self) -> bool:
        """Whether every node syncs each write before it answers."""
        return all([await syncs_always(node.monitor_url) for node in self.nodes])

    def kill(self, *numbers: int) -> None:
        """SIGKILL, all at once."""
        for number in numbers:
            os.kill(self.nodes[number].pid, signal.SIGKILL)
        for number in numbers:
            self.nodes[number].kill()

    async def begin(self, *numbers: int) -> None:
        """Starts nodes that have ended."""
        await asyncio.gather(*(self.nodes[number].begin_async(30.0) for number in numbers))

    def signal(self, number: int, what: int) -> None:
        """Sends a node a signal."""
        os.kill(self.nodes[number].pid, what)

    async def routes(self, number: int, weather: Weather) -> None:
        """What happens between this node and the others."""
        for pair, link in self._routes.items():
            if number in pair:
                await link.set(weather)

    async def clients(self, number: int, weather: Weather) -> None:
        """What happens between this node and its clients."""
        await self._clients[number].set(weather)

    def fill(self) -> None:
        """Takes what room there is on the small node's disk."""
        block = bytes(1 << 20)
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    _ = file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Gives it back."""
        with suppress(FileNotFoundError):
            self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self._small / "ballast"


def _health(monitor: str) -> str:
    """What is wrong with a node, in its own words."""
    try:
        with urllib.request.urlopen(f"{monitor}/healthz", timeout=2.0) as answer:
            _ = answer.read()
    except urllib.error.HTTPError as error:
        return error.read().decode("utf-8", "replace")[:300]
    except OSError as error:
        return str(error)
    return ""


def _free_ports(number: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
