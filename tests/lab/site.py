"""A site: the folder in which an agent works, with its configuration and its state. Each agent has two, `a` and `b`.

Files right in the folder and in `state` may change and make up a checkpoint; what is in `state/objects` is written once
under the digest of its content.
"""

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

CONFIG = "config.json"
FORMAT = 1
"""Of the files of the state; one that names none has it."""
_LINE_BYTES = 1 << 24


class StateFormatError(Exception):
    """A file of the state is in a format that this version does not know."""


class UpstreamError(Exception):
    """An agent that this one depends on answered that it failed."""


Warn = Callable[[Exception, str], None]
"""Takes what went wrong and could be dealt with, and what was done about it."""


class Site:
    """What the work of an agent sees of the world."""

    def __init__(self, folder: Path, warn: Warn = lambda _error, _message: None) -> None:
        self._warn = warn
        self.folder = folder
        self.state = folder / "state"
        self.objects = self.state / "objects"
        self.objects.mkdir(parents=True, exist_ok=True)
        self.config: dict[str, Any] = json.loads((folder / CONFIG).read_text())

    def upstream(self, kind: str) -> "Upstream":
        """The agent of a kind that this one depends on, as the configuration has it. Raises `KeyError`."""
        return Upstream(kind, self.config["upstreams"][kind], self._warn)

    def read(self, name: str) -> Any:
        """A JSON file of the state. Raises `FileNotFoundError`, `json.JSONDecodeError`, `StateFormatError`."""
        found = json.loads((self.state / name).read_text())
        if isinstance(found, dict) and (form := found.get("format", FORMAT)) != FORMAT:
            msg = f"state/{name} has format {form}, written by another version; this version reads format {FORMAT}"
            raise StateFormatError(msg)
        return found

    def write(self, name: str, value: Any) -> None:
        """Replaces a JSON file of the state, so that nobody ever reads half of it. Raises `OSError`."""
        replace(self.state / name, json.dumps(value).encode())


class Upstream:
    """Asks another agent over its work port: one connection for each question, as a simple client does.

    Where the configuration says `retries`, a connection that fails is made again so many times, with a warning.
    """

    def __init__(self, kind: str, where: Mapping[str, Any], warn: Warn) -> None:
        self._warn = warn
        self._kind = kind
        self._where = where

    def ask(self, operation: str, *arguments: Any) -> Any:
        """Has the agent do an operation.

        Raises `OSError` (refused, timed out, no such host, a certificate that is not trusted) and `UpstreamError`.
        """
        question = {"do": "call", "operation": operation, "arguments": arguments, "token": self._where.get("token")}
        timeout = float(self._where.get("timeout", 1.0))
        address = str(self._where["host"]), int(self._where["port"])
        answer = self._answer(address, question, timeout, int(self._where.get("retries", 0)))
        if "error" in answer:
            msg = f"{self._kind} could not {operation}: {answer['error']}: {answer['message']}"
            raise UpstreamError(msg)
        return answer["value"]

    def _answer(
        self, address: tuple[str, int], question: Mapping[str, Any], timeout: float, retries: int
    ) -> dict[str, Any]:
        try:
            with socket.create_connection(address, timeout) as plain, self._secured(plain) as connection:
                return talk(connection, question, timeout)
        except (ConnectionError, ssl.SSLEOFError) as error:
            if not retries:
                raise
            self._warn(error, f"{self._kind} is asked again to {question['operation']}: {error}")
        return self._answer(address, question, timeout, retries - 1)

    def _secured(self, plain: socket.socket) -> AbstractContextManager[socket.socket]:
        """The connection under TLS, where the configuration says so. Raises `OSError`."""
        if "tls" not in self._where:
            return plain
        context = ssl.create_default_context(cafile=self._where["tls"]["authority"])
        return context.wrap_socket(plain, server_hostname=self._where["tls"]["name"])


def talk(connection: socket.socket, question: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """One question and its answer. Raises `OSError`, `TimeoutError` after so many seconds altogether."""
    deadline = time.monotonic() + timeout
    connection.sendall(json.dumps(question).encode() + b"\n")
    received = bytearray()
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        chunk = connection.recv(_LINE_BYTES)
        if not chunk:
            raise ConnectionResetError("the connection was closed before an answer came")
        received += chunk
    found: dict[str, Any] = json.loads(received)
    return found


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever reads half of it. Raises `OSError`."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def snapshot(folder: Path) -> bytes:
    """What may change in a site, as a checkpoint holds it."""
    files = [file for place in (folder, folder / "state") for file in sorted(place.iterdir()) if _lasting(file)]
    return json.dumps({str(file.relative_to(folder)): file.read_text("latin-1") for file in files}).encode()


def restore(folder: Path, content: bytes) -> None:
    """Sets a site back to a checkpoint. Raises `OSError`."""
    for name, text in json.loads(content).items():
        replace(folder / name, text.encode("latin-1"))


def replicate(source: Path, target: Path) -> None:
    """Brings another site's state up to this one's; its configuration is its own. Raises `OSError`."""
    objects, copies = source / "state" / "objects", target / "state" / "objects"
    copies.mkdir(parents=True, exist_ok=True)
    for name in set(os.listdir(objects)) - set(os.listdir(copies)):
        if not name.startswith("."):  # one that is being written
            (copies / name).hardlink_to(objects / name)
    for file in (source / "state").iterdir():
        if _lasting(file):
            replace(target / "state" / file.name, file.read_bytes())


def _lasting(file: Path) -> bool:
    """Whether it is a file that is there to stay: what is half written has a name with a dot in front."""
    return not file.name.startswith(".") and file.is_file()
