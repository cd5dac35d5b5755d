"""One process of a supervised command: missed at once when it dies, known by its heartbeats, ended as a group."""

import asyncio
import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from mendbus.sdk.heartbeat import HEARTBEAT, HEARTBEAT_MS
from mendbus.server import die_with_parent

STANDBY: Final = "MENDBUS_STANDBY_FD"
_LINES: Final = 20
_LINE_BYTES: Final = 400
_LAST_WORDS_SECONDS: Final = 0.1
_CHUNK: Final = 1 << 16


class Process:
    """A running process, in a session of its own. `status`: as `subprocess` has it, negative for a signal.

    A `standby` waits until `go`. `beats` counts the writes to its heartbeat descriptor; `last_beat` is the loop's time
    of the last one, or of its start.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", heart: int, leash: socket.socket | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._heart = heart
        self._leash = leash
        self.pid = child.pid
        self.beats = 0
        self.last_beat = self._loop.time()
        self.beat = asyncio.Event()
        self.warm: asyncio.Future[bool] = self._loop.create_future()
        """Whether it waits warm; done with False when it is no standby or died before it was."""
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._lines: collections.deque[bytes] = collections.deque(maxlen=_LINES)
        self._silent = asyncio.Event()
        self._pidfd = os.pidfd_open(child.pid)
        self._loop.add_reader(self._pidfd, self._on_death)
        self._loop.add_reader(heart, self._on_beat)
        if leash is None:
            self.warm.set_result(False)
        else:
            self._loop.add_reader(leash, self._on_warm)
        threading.Thread(target=self._tee, name=f"stderr of {child.pid}", daemon=True).start()

    @classmethod
    def start(cls, argv: Sequence[str], environment: Mapping[str, str], heartbeat_ms: int, *, standby: bool) -> Self:
        """Starts it. Raises `OSError` when there is no such program."""
        heart, beating = os.pipe()
        os.set_blocking(heart, False)
        os.set_blocking(beating, False)
        more = {HEARTBEAT: str(beating), HEARTBEAT_MS: str(heartbeat_ms)}
        ours, theirs = socket.socketpair() if standby else (None, None)
        if ours is not None and theirs is not None:
            ours.setblocking(False)
            more[STANDBY] = str(theirs.fileno())
        try:
            child = subprocess.Popen(
                argv,
                env={**environment, **more},
                stderr=subprocess.PIPE,
                pass_fds=(beating,) if theirs is None else (beating, theirs.fileno()),
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - looked up before the fork
            )
        except BaseException:
            os.close(heart)
            if ours is not None:
                ours.close()
            raise
        finally:
            os.close(beating)
            if theirs is not None:
                theirs.close()
        return cls(child, heart, ours)

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.ended.result() if self.ended.done() else None

    @property
    def stopped(self) -> bool:
        """Whether the system holds it stopped, as after SIGSTOP."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            return False
        return fields.split()[:1] == ["T"]

    def last_lines(self) -> list[str]:
        """The last lines it wrote to standard error."""
        return [line.decode("utf-8", "replace") for line in list(self._lines)]

    async def last_words(self) -> list[str]:
        """The same, once it has said its last (a process of its own may hold standard error for longer)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                _ = await self._silent.wait()
        return self.last_lines()

    def go(self) -> None:
        """Lets a standby go. Raises `OSError` when it is gone."""
        if self._leash is None:
            return
        leash = self._leash
        self._close_leash()
        with leash:
            leash.setblocking(True)
            leash.sendall(b"g")
        self.last_beat = self._loop.time()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to all of its process group, while it lives."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def stop(self, grace_seconds: float) -> int:
        """Ends the group: SIGTERM, and SIGKILL after the grace; its exit status."""
        if grace_seconds > 0 and not self.ended.done():
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            _ = await asyncio.wait((self.ended,), timeout=grace_seconds)
        self.signal(signal.SIGKILL)
        return await self.ended

    def _on_death(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._loop.remove_reader(self._heart)
        os.close(self._heart)
        if self._leash is not None:
            leash = self._leash
            self._close_leash()
            leash.close()
        if not self.warm.done():
            self.warm.set_result(False)
        # What outlives its leader must not work beside its successor; until it is reaped, the number is its own.
        self.signal(signal.SIGKILL)
        self.ended.set_result(self._child.wait())

    def _on_beat(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(self._heart, _CHUNK):
                # The end of the pipe: it closed its end, and is held to no heartbeat any more but to its life.
                self._loop.remove_reader(self._heart)
                return
            self.beats += 1
            self.last_beat = self._loop.time()
            self.beat.set()

    def _on_warm(self) -> None:
        leash = self._leash
        if leash is not None:
            self._loop.remove_reader(leash)
            with contextlib.suppress(OSError):
                if leash.recv(1) and not self.warm.done():
                    self.warm.set_result(True)

    def _close_leash(self) -> None:
        if self._leash is not None:
            self._loop.remove_reader(self._leash)
            self._leash = None

    def _tee(self) -> None:
        """Passes standard error on and keeps its end; in a thread, for our own standard error may block."""
        pipe = self._child.stderr
        rest = b""
        while pipe is not None and (chunk := os.read(pipe.fileno(), _CHUNK)):
            *lines, rest = (rest + chunk).split(b"\n")
            self._lines.extend(line[:_LINE_BYTES] for line in lines)
            rest = rest[:_LINE_BYTES]
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
        if rest:
            self._lines.append(rest)
        if pipe is not None:
            pipe.close()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._silent.set)
