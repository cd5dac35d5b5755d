"""A lean agent that does one small job ten times a second, and in which the lab's growing faults can be brought.

`python -m tests.lab.victim ID FOLDER PORT`: an agent of the SDK in one process, without a worker beside it, so that
many of them live side by side and nothing that goes wrong in one is felt by another. Each job computes a little, writes
to a file and asks whoever listens on PORT. It says on standard output, as JSON lines, when it is ready, when a resource
ran out (`over`) and when whoever waits for its jobs noticed (`noticed`), and brings in what standard input tells
(`{"fault": ..., "takes": ..., "reach": ...}`; with an empty fault, that one begins elsewhere).
"""

import errno
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
from tests.lab.faults import drift
from tests.lab.judging import PATIENCE_SECONDS, noticed
from tests.lab.users import Use
from tests.lab.worker import Lanes

from mendbus import Agent

KIND = "build_pipeline"
"""Whose patience its users have."""
DISK_BYTES = 64 << 20
"""The largest that its file may get."""
QUEUE = 100
"""Jobs that may wait."""
_PERIOD = 0.1
_LANES = 4
_UPSTREAM_SECONDS = 2.0
_OUT = frozenset((errno.EMFILE, errno.EFBIG, errno.ENOMEM))


class Victim:
    """The agent's work; `do_call` and `lanes` are what faults take hold of."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.lanes = Lanes(_LANES)
        self._port = port
        self._uses: deque[Use] = deque(maxlen=20)
        self._told: set[str] = set()

    @property
    def file(self) -> Path:
        """What jobs write to."""
        return self.folder / "journal"

    def do_call(self) -> str:
        """One job. Raises whatever is in its way."""
        digest = hashlib.sha256(b"\0" * 65536).hexdigest()
        with self.file.open("ab") as file:
            _ = file.write(digest.encode() + b"\n")
        with socket.create_connection(("127.0.0.1", self._port), _UPSTREAM_SECONDS) as upstream:
            upstream.sendall(digest[:16].encode() + b"\n")
            if not upstream.recv(64):
                raise ConnectionResetError("the upstream hung up")
        return digest

    def tell(self, what: str, **more: Any) -> None:
        """Says that something is so, once."""
        if what not in self._told:
            self._told.add(what)
            print(json.dumps({"what": what, "at": time.time(), **more}), flush=True)

    def forget(self) -> None:
        """What was noticed until now was something else."""
        self._uses.clear()
        self._told.discard("noticed")

    def job(self, work: Any, asked: float) -> None:
        """Does one job that was asked for at a time (monotonic), and looks at what came of it."""
        wrong = ""
        try:
            _ = work()
        except Exception as error:
            wrong = type(error).__name__
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in _OUT:
                self.tell("over", why=wrong)
        self._uses.append(Use(asked, time.monotonic() - asked, wrong))
        if noticed(list(self._uses), KIND) is not None:
            self.tell("noticed", why=wrong or "too slow")

    def _call(self) -> str:
        # By name, because a fault may have taken its place.
        return self.do_call()

    def live(self, agent: Agent) -> None:
        """Works until the process ends."""
        work = agent.operation("work")(self._call)
        due = time.monotonic()
        while True:
            asked = time.monotonic()
            self.lanes.put(lambda asked=asked: self.job(work, asked))
            agent.gauge("queue_depth", float(len(self.lanes.waiting)))
            agent.gauge("disk_percent", 100.0 * self.file.stat().st_size / DISK_BYTES if self.file.exists() else 0.0)
            if len(self.lanes.waiting) >= QUEUE:
                self.tell("over", why="queue")
            due = max(due + _PERIOD, asked)
            time.sleep(due - asked)


def disk(victim: Any, takes: float, reach: float) -> None:
    """Writes more and more to the file that jobs write to, up to the most that the kernel lets it have."""
    begun, chunk = time.monotonic(), b"\1" * (1 << 18)

    def run() -> None:
        while True:
            due = min(reach, (time.monotonic() - begun) / takes) * DISK_BYTES
            try:
                with victim.file.open("ab") as file:
                    while file.tell() < due:
                        _ = file.write(chunk)
            except OSError:
                return
            time.sleep(_PERIOD)

    threading.Thread(target=run, name="disk", daemon=True).start()


def main() -> None:
    """Works until its standard input ends."""
    name, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    drift.prepare(None)
    _ = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    process = psutil.Process()
    limits = {
        "memory_bytes": float(process.memory_info().rss + drift.LEAK_BYTES),
        "descriptors": float(process.num_fds() + drift.DESCRIPTORS),
        "queue_depth": float(QUEUE),
    }
    victim = Victim(folder, port)
    with Agent(KIND, name, limits=limits) as agent:
        threading.Thread(target=victim.live, args=(agent,), name="work", daemon=True).start()
        victim.tell("ready", known=agent.wait_ready(60.0))
        for line in sys.stdin:
            asked = json.loads(line)
            victim.forget()
            if not asked["fault"]:
                continue
            bring = disk if asked["fault"] == "disk" else getattr(drift, asked["fault"])
            more = {"longest": drift.SCAN_PATIENCES * PATIENCE_SECONDS[KIND]} if asked["fault"] == "scan" else {}
            bring(victim, asked["takes"], asked["reach"], **more)
        # What was used up may be what an end in good order needs.
        os._exit(0)


if __name__ == "__main__":
    main()
