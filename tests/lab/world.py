"""A whole toolchain at work: six agents, the links between them, and the users of each."""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.harness import unmeasured
from tests.lab.credentials import SERVING, Keys
from tests.lab.kinds import KINDS, LEFT_OUT, ORDER
from tests.lab.links import Link, Weather
from tests.lab.sample import Project, make_project
from tests.lab.site import CONFIG
from tests.lab.users import AgentRefused, Connection, User, requests

log = logging.getLogger("mendbus.lab")

ID = "lab"
READY_SECONDS = 40.0
SITES = ("a", "b")
WORKERS = 4
SECURED = ("shader_pipeline", "versioning")
"""Who asks whom over TLS. Each site of the asker has a port of its own there, with a certificate of its own."""
_PRISTINE = "pristine"


@dataclass
class Member:
    """One agent of the toolchain: its process, its sites, its links."""

    kind: str
    folder: Path
    port: int
    nats: Link
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    """To those that it needs, by site and kind."""
    process: asyncio.subprocess.Process | None = None

    @property
    def key(self) -> str:
        """`kind/id`."""
        return f"{self.kind}/{ID}"

    async def ask(self, do: str, seconds: float = 5.0, **more: Any) -> Any:
        """Asks the agent itself, as the lab may. Raises `OSError`, `TimeoutError`, `AgentRefused`."""
        connection = Connection(self.port)
        try:
            return await connection.ask({"do": do} | more, seconds)
        finally:
            connection.close()

    async def inside(self, fault: str, **parameters: Any) -> Any:
        """Brings a fault, `module.function` of `tests.lab.faults`, into the worker that serves; None where that one
        was replaced, by whoever is so quick, before it could answer.
        """
        try:
            return await self.ask("inside", fault=fault, parameters=parameters)
        except AgentRefused as refused:
            if not str(refused).startswith("WorkerDied"):
                raise
            return None

    async def take_up(self) -> None:
        """Has the worker read its site's configuration and state anew, as after a deployment. Raises as `ask` does."""
        _ = await self.ask("take_up")

    async def worker(self) -> int:
        """The process that serves now; 0 for none."""
        return int((await self.ask("status"))["pid"])

    def config(self, site: str) -> dict[str, Any]:
        """The configuration of a site."""
        found: dict[str, Any] = json.loads((self.folder / site / CONFIG).read_text())
        return found

    def configure(self, site: str, config: Mapping[str, Any]) -> None:
        """Replaces the configuration of a site; the agent reads it when it next takes up work there."""
        (self.folder / site / CONFIG).write_text(json.dumps(config))


@dataclass
class World:
    """The toolchain. `users` by kind."""

    folder: Path
    project: Project
    members: dict[str, Member]
    environment: Mapping[str, str]
    keys: Keys
    users: dict[str, User] = field(default_factory=dict)

    async def renew(self, kind: str) -> None:
        """Sets one agent back to how it was when all were ready: processes, files and links. Raises `TimeoutError`."""
        member = self.members[kind]
        if member.process is not None:
            await _stop(member.process)
        for link in (member.nats, *member.links.values()):
            await link.set(Weather())
        for site in SITES:
            shutil.rmtree(member.folder / site)
        shutil.copytree(member.folder / _PRISTINE, member.folder, dirs_exist_ok=True)
        await _start(member, self.environment)
        await _fill(member, self.project)
        await until_ready(member)

    async def deploy(self, kind: str) -> None:
        """Has a new process take the place of an agent's, in good order. Raises `TimeoutError`."""
        member = self.members[kind]
        before = member.process
        if before is None:
            return
        await _start(member, self.environment, str(before.pid))
        async with asyncio.timeout(READY_SECONDS):
            _ = await before.wait()

    def wrong(self, kind: str, since: float) -> list[str]:
        """What the users of an agent found wrong since then (monotonic)."""
        return [use.wrong for use in self.users[kind].since(since) if use.wrong]


@asynccontextmanager
async def world(
    folder: Path,
    nats_url: str,
    *,
    lines: int = 2000,
    seed: int = 1,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """Starts the toolchain on a sample project, fills it, and has users use it. Raises `TimeoutError`."""
    project = make_project(lines, seed)
    keys = Keys.make(folder / "credentials")
    free = free_ports(len(KINDS) + len(SITES))
    ports = dict(zip(KINDS, free, strict=False))
    secured = dict(zip(SITES, free[len(KINDS) :], strict=True))
    async with AsyncExitStack() as stack:
        members: dict[str, Member] = {}
        for number, kind in enumerate(ORDER):
            members[kind] = await _set_up(stack, folder, kind, ports, secured, keys, nats_url, seed + number)
        made = World(folder, project, members, environment or {}, keys)
        for kind in ORDER:
            stack.push_async_callback(_end_of, members[kind])
            await _start(members[kind], made.environment)
            await _fill(members[kind], project)
        await asyncio.gather(*(until_ready(member) for member in members.values()))
        for member in members.values():
            for site in SITES:
                shutil.copytree(member.folder / site, member.folder / _PRISTINE / site)
        for kind, (request, interval) in requests(project).items():
            if kind in LEFT_OUT:
                log.warning("%s is left out: there is no %s on this machine", kind, LEFT_OUT[kind])
                continue
            user = made.users[kind] = User(ports[kind], request, interval)
            stack.callback(user.close)
            task = asyncio.create_task(user.run(), name=f"user of {kind}")
            stack.push_async_callback(_end, task)
        yield made


async def _set_up(
    stack: AsyncExitStack,
    folder: Path,
    kind: str,
    ports: Mapping[str, int],
    secured: Mapping[str, int],
    keys: Keys,
    nats_url: str,
    seed: int,
) -> Member:
    async def link(target: int) -> Link:
        made = Link(target, seed)
        await made.start()
        stack.push_async_callback(made.stop)
        return made

    server = urlsplit(nats_url)
    member = Member(kind, folder / kind, ports[kind], await link(server.port or 4222))
    for site in SITES:
        upstreams: dict[str, Any] = {}
        for needed in KINDS[kind].needs:
            tls = (kind, needed) == SECURED
            way = member.links[site, needed] = await link(secured[site] if tls else ports[needed])
            upstreams[needed] = {"host": "127.0.0.1", "port": way.port, "timeout": 1.0, "token": keys.token(member.key)}
            if tls:
                upstreams[needed]["tls"] = {"authority": str(keys.authority), "name": f"{needed}.lab"}
        (member.folder / site).mkdir(parents=True)
        member.configure(site, {"upstreams": upstreams, "workers": WORKERS, "limits": {}})
    shown = {
        secured[site]: str(keys.certificate(f"{kind}.lab", f"{kind}-{site}")) for site in SITES if kind == SECURED[1]
    }
    (member.folder / SERVING).write_text(json.dumps({"secret": str(keys.folder / "secret"), "certificates": shown}))
    return member


async def _start(member: Member, environment: Mapping[str, str], *more: str) -> None:
    with (member.folder / "agent.log").open("ab") as log:
        member.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.lab.agent", member.kind, ID, str(member.folder), str(member.port)),
            *more,
            env=unmeasured() | {"NATS_URL": f"nats://127.0.0.1:{member.nats.port}"} | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _end_of(member: Member) -> None:
    if member.process is not None:
        await _stop(member.process)


async def _fill(member: Member, project: Project) -> None:
    """Gives an agent what users will ask for, as soon as it works."""
    connection = Connection(member.port)
    first: dict[str, Sequence[Any]] = {
        "versioning": ("put", {**project.modules, **project.shaders}),
        "build_pipeline": ("build",),
        "runtime": ("reload",),
    }
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            # An operation that is called before there is a worker would be an error that the agent reports.
            if (await connection.ask({"do": "status"}))["pid"]:
                if member.kind in first:
                    _ = await connection.call(*first[member.kind], seconds=30.0)
                break
            await asyncio.sleep(0.05)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
    connection.close()


async def until_ready(member: Member) -> None:
    """Waits until an agent is known to Mendbus and has a good checkpoint. Raises `TimeoutError` with its log."""
    deadline = time.monotonic() + READY_SECONDS
    while not (await member.ask("status"))["ready"]:
        if time.monotonic() > deadline:
            log = (member.folder / "agent.log").read_text()[-2000:]
            raise TimeoutError(f"{member.key} is not ready after {READY_SECONDS:g} s; its log ends:\n{log}")
        await asyncio.sleep(0.05)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
        process.terminate()
    try:
        async with asyncio.timeout(8.0):
            _ = await process.wait()
    except TimeoutError:
        pass
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _ = await process.wait()


async def _end(task: asyncio.Task[None]) -> None:
    _ = task.cancel()
    _ = await asyncio.wait((task,))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago, no two the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
