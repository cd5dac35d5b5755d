"""Runs one program inside limits and leaves nothing of it behind: the process between the executor and the program.

Run by path as `python -I -S sandbox_runner.py`, nothing but the standard library. The first line of standard input says
what to run, as JSON; one line of JSON on standard output says what came of it. The end of standard input means that the
executor is gone or does not want it any more: everything is killed. Orphans of the program come to this process, as it
is their reaper, so that those which daemonise are found and killed too.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

_KEPT = 4096
_CHUNK = 1 << 16
_LOOK_SECONDS = 0.02
_COUNT_SECONDS = 0.05
_SWEEP_SECONDS = 5.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38


class Output:
    """The first and the last 4 KiB of what was written, and how much it was."""

    def __init__(self) -> None:
        self.head, self.tail, self.size = b"", b"", 0

    def add(self, chunk: bytes) -> None:
        """Takes more of it."""
        self.size += len(chunk)
        room = _KEPT - len(self.head)
        self.head += chunk[:room]
        self.tail = (self.tail + chunk[room:])[-_KEPT:]


def descendants() -> list[int]:
    """Every living process below this one, orphans included."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    children.setdefault(int(parent), []).append(int(name))
    found, heads = list[int](), [os.getpid()]
    while heads:
        below = children.get(heads.pop(), [])
        found += below
        heads += below
    return found


def threads_of_user() -> int:
    """How many threads this user has: the system counts them all against RLIMIT_NPROC."""
    total, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                total += len(os.listdir(f"/proc/{name}/task"))
    return total


def limiter(limits: dict[str, int], prctl: Callable[..., int]) -> Callable[[], None]:
    """What the program's process runs between fork and exec."""
    cpu = limits["cpu_seconds"]
    bounds = (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, *[threads_of_user() + limits["processes"]] * 2),
    )
    parent = os.getpid()

    def limit() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        os.umask(0o077)
        for which, soft, hard in bounds:
            most = resource.getrlimit(which)[1]
            if most != resource.RLIM_INFINITY:
                soft, hard = min(soft, most), min(hard, most)
            resource.setrlimit(which, (soft, hard))

    return limit


class Run:
    """One program under way."""

    def __init__(self, process: int, pipe: int, spec: "dict[str, float]", most: int) -> None:
        self._process, self._pipe, self._most = process, pipe, most
        self._deadline = time.monotonic() + spec["wall_seconds"]
        self._grace = spec["grace_seconds"]
        self._asked: float | None = None
        self._counted = 0.0
        self.output = Output()
        self.status: int | None = None
        self.why: str | None = None
        self.stragglers = 0

    def watch(self) -> None:
        """Returns when the program has ended, was killed, or must be."""
        streams = [self._pipe, sys.stdin.fileno()]
        while True:
            ready, _, _ = select.select(streams, [], [], _LOOK_SECONDS)
            if self._pipe in ready and not self._read():
                streams.remove(self._pipe)
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 1):
                self.why = "abandoned"
                return
            self.reap()
            if self.status is not None or self._over():
                return

    def _over(self) -> bool:
        now = time.monotonic()
        if self._asked is not None:
            return now >= self._asked + self._grace
        if now >= self._deadline:
            self.why, self._asked = "timeout", now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process, signal.SIGTERM)
        elif now >= self._counted + _COUNT_SECONDS:
            self._counted = now
            if len(descendants()) > self._most:
                self.why = "too_many_processes"
                return True
        return False

    def reap(self) -> bool:
        """Takes the status of whatever ended; whether anything below this process is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if not process:
                    return True
                if process == self._process:
                    self.status = os.waitstatus_to_exitcode(status)
        return False

    def sweep(self) -> bool:
        """Kills everything below this process; whether that came about. Stopped first: what is stopped cannot fork."""
        known: set[int] = set()
        end = time.monotonic() + _SWEEP_SECONDS
        while time.monotonic() < end and (left := set(descendants()) - known):
            for process in left:
                kill(process, signal.SIGSTOP)
            known |= left
        self.stragglers = len(known - {self._process})
        while self.reap() and time.monotonic() < end:
            for process in descendants():
                kill(process, signal.SIGKILL)
            time.sleep(0.002)
        return not descendants()

    def drain(self) -> None:
        """Reads what was written and not read yet."""
        while select.select([self._pipe], [], [], 0)[0] and self._read():
            pass

    def _read(self) -> bool:
        chunk = os.read(self._pipe, _CHUNK)
        self.output.add(chunk)
        return bool(chunk)


def kill(process: int, number: int) -> None:
    """Sends a signal to what may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def run(spec: "dict[str, object]", work: str) -> "dict[str, object]":
    """Runs the program in its working folder; what came of it."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    limits: dict[str, int] = spec["limits"]  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    environment: dict[str, str] = spec["environment"]  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    argv: list[str] = spec["argv"]  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    times: dict[str, float] = spec["times"]  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    reading, writing = os.pipe()
    begun = time.monotonic()
    try:
        child = subprocess.Popen(
            argv,
            cwd=work,
            env={**environment, "HOME": work, "TMPDIR": work},
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            preexec_fn=limiter(limits, prctl),  # noqa: PLW1509 - this process has one thread
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"why": "not_started", "error": f"{argv[0]}: {error}"}
    finally:
        os.close(writing)
    under_way = Run(child.pid, reading, times, limits["processes"])
    under_way.watch()
    clean = under_way.sweep()
    under_way.drain()
    output = under_way.output
    return {
        "why": under_way.why,
        "status": under_way.status,
        "clean": clean,
        "stragglers": under_way.stragglers,
        "output_bytes": output.size,
        "head": output.head.decode("utf-8", "replace"),
        "tail": output.tail.decode("utf-8", "replace"),
        "seconds": round(time.monotonic() - begun, 4),
    }


def main() -> None:
    """Runs what the first line says."""
    fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    line = b""
    while not line.endswith(b"\n"):
        # Byte for byte from the system: what Python read ahead, `select` would not see.
        byte = os.read(sys.stdin.fileno(), _CHUNK)
        if not byte:
            return
        line += byte
    work = tempfile.mkdtemp(prefix="mendbus-command-")
    try:
        result = run(json.loads(line), work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
