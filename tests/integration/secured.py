"""A server that knows its users, and a folder with their credentials."""

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from mendbus import streams
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.subjects import Subjects
from mendbus.security import installation
from mendbus.security.access import Access, access
from mendbus.security.installation import Installation
from mendbus.security.roles import Level
from mendbus.server import NatsServer
from mendbus.settings import Settings

AGENTS = ("runtime/r1", "runtime/r2")
OPERATORS: dict[str, Level] = {"looks": "viewer", "orders": "operator"}


@dataclass
class Secured:
    """The server, who may use it, and how they connect."""

    server: NatsServer
    users: Installation
    subjects: Subjects
    connections: list[NatsBus] = field(default_factory=list[NatsBus])

    @property
    def settings(self) -> Settings:
        """As of whoever lives on this machine."""
        files = installation.settings_of(self.users.folder)
        return Settings(nats_url=self.server.url, trace=False, canary_seconds=0).model_copy(update=files)

    def access(self, user: str) -> Access:
        """What a user shows."""
        found = access(self.settings, user)
        assert found is not None
        return found

    async def connect(self, user: str, *, connect_timeout: float = 5.0) -> NatsBus:
        """A connection of a user's."""
        bus = await connect(self.server.url, name=user, access=self.access(user), connect_timeout=connect_timeout)
        self.connections.append(bus)
        return bus

    async def stop(self) -> None:
        """Closes the connections and ends the server."""
        for bus in self.connections:
            await bus.close()
        self.server.stop()

    def reload(self) -> None:
        """Writes what has changed, and has the server read it."""
        self.users.render()
        os.kill(self.server.pid, signal.SIGHUP)

    def environment(self) -> dict[str, str]:
        """For SDK agents and processes."""
        files = installation.settings_of(self.users.folder)
        return {"NATS_URL": self.server.url} | {f"MENDBUS_{name.upper()}": str(file) for name, file in files.items()}


async def start(folder: Path) -> Secured:
    """A server with two agents, three operators and all streams."""
    subjects = Subjects()
    users = Installation.create(folder / "secure", subjects)
    for agent in AGENTS:
        _ = users.add(f"agent/{agent}")
    for name, level in OPERATORS.items():
        _ = users.add(f"operator/{name}", level)
    users.render()
    server = await NatsServer.launch(folder / "nats", extra='include "../secure/nats-secure.conf"')
    found = Secured(server, users, subjects)
    bus = await found.connect("operator/admin")
    _ = await streams.ensure(bus, subjects, 64 << 20)
    return found
