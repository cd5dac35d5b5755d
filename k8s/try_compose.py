"""Tries `docker-compose.yml` for real: starts it, has an agent in a container recovered, kills, stops, takes it down.

`python k8s/try_compose.py` needs Docker with compose, and ports 4222, 7701, 8222, 4318 and 16686 of loopback; about
a minute. With `--no-build` it takes the images that are there; with `--secure` everybody has credentials of his own, as
`mendbus nats-config export` writes them (as root, which gives them to the containers' group). Its containers, network
and volume belong to a project of their own and are gone afterwards.
"""

import asyncio
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, cast
from urllib.request import urlopen

import nats
import nats.errors

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final = "mendbus-try"
GROUP: Final = 10001
"""Of the containers' user, who reads its credentials."""
AGENT: Final = "build-1"
"""The agent of kind `build_pipeline` that `docker-compose.yml` knows."""
SERVICES: Final = ("classifier", "predictor", "strategy-selector", "executor", "health-monitor")

_connect = cast("Callable[..., Awaitable[Any]]", nats.connect)

# An agent whose operation fails once; it says how often the operation ran and what was settled.
_AGENT: Final = """
import builtins, json, sys, time
from mendbus import Agent
agent, calls = Agent("build_pipeline", sys.argv[1]), []

@agent.operation("fetch", probe=lambda: len(calls) > 1)
def fetch():
    calls.append(1)
    if len(calls) == 1:
        raise getattr(builtins, sys.argv[2])("the registry cannot be reached")

with agent:
    ready, started = agent.wait_ready(15), time.monotonic()
    try:
        fetch()
    except OSError:
        print("reported", file=sys.stderr, flush=True)
    while not agent.stats().settled and time.monotonic() < started + 30:
        time.sleep(0.01)
    took = round(time.monotonic() - started, 3)
    print(json.dumps({"ready": ready, "calls": len(calls), "settled": agent.stats().settled, "seconds": took}))
"""


def run(*command: str, check: bool = True) -> str:
    """What a command printed. Raises `CalledProcessError`."""
    return subprocess.run(
        command, cwd=ROOT, check=check, stdout=subprocess.PIPE, text=True, timeout=1800
    ).stdout.strip()


def say(text: str) -> None:
    """Tells how far it has come."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def compose_command() -> list[str]:
    """The compose plugin, or the older program of its own. Raises `SystemExit` where neither is."""
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return [*plugin, "--project-name", PROJECT]
    if shutil.which("docker-compose"):
        return ["docker-compose", "--project-name", PROJECT]
    raise SystemExit("Docker with compose is needed: install docker and its compose plugin")


def wait_until(what: str, true: Any, seconds: float = 60.0) -> None:
    """Waits for a condition. Raises `SystemExit` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)


def credentials(folder: Path) -> Path:
    """Users, and the file that gives each container its own; readable by the containers' group alone."""
    keys, out = folder / "keys", folder / "out"
    program = str(Path(sys.executable).with_name("mendbus"))
    for words in (
        ("init", "--folder", str(keys), "--host", "nats"),
        ("add", f"agent/build_pipeline/{AGENT}", "--folder", str(keys)),
        ("export", str(out), "--folder", str(keys)),
    ):
        _ = run(program, "nats-config", *words)
    folder.chmod(0o755)
    for path in (out, *out.rglob("*")):
        os.chown(path, -1, GROUP)
        path.chmod(0o750 if path.is_dir() else 0o640)
    return out / "docker-compose.secure.yml"


class Stack:
    """The running containers. `override`: a second file of compose, with which everybody has credentials."""

    def __init__(self, override: Path | None) -> None:
        files = () if override is None else ("--file", "docker-compose.yml", "--file", str(override))
        self._compose = [*compose_command(), *files]
        self._secure = override is not None

    def compose(self, *arguments: str, check: bool = True) -> str:
        """What compose printed. Raises `CalledProcessError`."""
        return run(*self._compose, *arguments, check=check)

    def state(self, service: str) -> dict[str, Any]:
        """State of the container of a service."""
        found: dict[str, Any] = json.loads(run("docker", "inspect", self.container(service)))[0]["State"]
        return found

    def container(self, service: str) -> str:
        """Id of the container of a service."""
        label = "label=com.docker.compose"
        query = (f"{label}.project={PROJECT}", f"{label}.service={service}", f"{label}.oneoff=False")
        found = run("docker", "ps", "--all", "--quiet", *(part for text in query for part in ("--filter", text)))
        return found.splitlines()[0]

    def healthy(self, *services: str) -> bool:
        """Whether all of these say that they are ready."""
        return all(self.state(service)["Health"]["Status"] == "healthy" for service in services)

    def agent(self, failure: str) -> subprocess.Popen[str]:
        """An agent in a container on the stack's network, whose operation fails once with an exception of this type.

        The same agent each time, since where everybody has credentials it is the one that has; so its failures differ.
        """
        service = "agent-build" if self._secure else "cli"
        return subprocess.Popen(
            [
                *self._compose,
                "run",
                "--rm",
                "--no-deps",
                "-T",
                "--entrypoint",
                "python",
                service,
                "-c",
                _AGENT,
                AGENT,
                failure,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


async def refusal() -> str:
    """What the published server answers who connects without credentials; empty: it lets him in."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        client = await _connect("tls://127.0.0.1:4222", tls=anyone, allow_reconnect=False, connect_timeout=5)
    except nats.errors.Error as error:
        return str(error)
    await client.close()
    return ""


def dashboard(token: str) -> int:
    """The status with which the published dashboard answers who shows this token."""
    connection = HTTPConnection("127.0.0.1", 7701, timeout=10)
    try:
        connection.request("GET", "/api/agents", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def traced() -> bool:
    """Whether the published Jaeger has spans of all five services."""
    try:
        with urlopen("http://127.0.0.1:16686/api/v3/services", timeout=5) as answer:
            return set(SERVICES) <= set(json.load(answer)["services"])
    except OSError:
        return False


def recovered(agent: subprocess.Popen[str], what: str) -> None:
    """Waits for an agent to end. Raises `SystemExit` unless its operation was run once more and settled."""
    told = agent.communicate(timeout=90)[0].strip()
    said: dict[str, Any] = json.loads(told.splitlines()[-1]) if told else {}
    say(f"{what}: {told or 'no word'}")
    if (said.get("calls"), said.get("settled")) != (2, 1):
        raise SystemExit(f"{what}: not recovered")


def main() -> int:
    """Returns the exit status."""
    if "--secure" not in sys.argv[1:]:
        return go_through(Stack(None))
    with tempfile.TemporaryDirectory(prefix="mendbus-try-") as folder:
        return go_through(Stack(credentials(Path(folder))), secure=True)


def go_through(stack: Stack, *, secure: bool = False) -> int:
    """Everything, once; returns the exit status."""
    token = secrets.token_hex(16)
    os.environ["MENDBUS_DASHBOARD_TOKEN"] = token
    try:
        if "--no-build" not in sys.argv[1:]:
            stack.compose("--profile", "cli", "build")
        started = time.monotonic()
        stack.compose("up", "--detach")
        wait_until("all ready", lambda: stack.healthy("nats", "jaeger", *SERVICES))
        say(f"all ready after {time.monotonic() - started:.1f} s")
        recovered(stack.agent("ConnectionResetError"), "an agent in a container")
        wait_until("spans of all five services in Jaeger", traced)
        told = dashboard(token), dashboard("wrong")
        say(f"the dashboard with its token and with another: {told}")
        if told != (200, 401):
            raise SystemExit("the dashboard: not shown to those with the token alone")
        if secure:
            told_nobody = asyncio.run(refusal())
            say(f"without credentials: {told_nobody}")
            if "authorization" not in told_nobody.lower():
                raise SystemExit("those without credentials: not refused for that")

        run("docker", "kill", stack.container("executor"))
        waiting = stack.agent("ConnectionRefusedError")
        time.sleep(5)  # the error is there long before the executor is
        stack.compose("up", "--detach", "executor")
        recovered(waiting, "reported while the executor was dead")

        run("docker", "kill", stack.container("strategy-selector"))
        waiting = stack.agent("BrokenPipeError")
        time.sleep(5)
        stack.compose("up", "--detach", "strategy-selector")
        recovered(waiting, "reported while the strategy-selector was dead")

        run("docker", "restart", "--time", "10", stack.container("nats"))
        wait_until("all ready after a restart of NATS", lambda: stack.healthy("nats", *SERVICES))
        recovered(stack.agent("TimeoutError"), "after a restart of NATS")

        stack.compose("stop")
        codes = {service: stack.state(service)["ExitCode"] for service in SERVICES}
        say(f"stopped with {codes}")
        return 1 if any(codes.values()) else 0
    finally:
        stack.compose("down", "--volumes", check=False)


if __name__ == "__main__":
    sys.exit(main())
