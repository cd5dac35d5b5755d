"""The process that does the real work of a lab agent. `python -m tests.lab.worker KIND`.

JSON lines: requests on standard input, answers in whatever order they are ready on standard output. The main thread
reads and answers to `ping`; operations run in threads, as many at a time as the level says. It ends with its standard
input.
"""

import base64
import errno
import importlib
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.lab import site
from tests.lab.credentials import obey_permissions
from tests.lab.site import Site, StateFormatError
from tests.lab.work import UnknownNameError, Work, WrongAnswerError

_THREADS = 16
_GRAVE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EIO)
)


def grave(error: Exception) -> bool:
    """Whether more than one operation has failed: what this process works with, or on, is spoilt or used up."""
    if isinstance(error, OSError):
        return error.errno in _GRAVE
    return isinstance(error, MemoryError | json.JSONDecodeError | StateFormatError | WrongAnswerError)


class Lanes:
    """Runs calls in threads, at most `limit` at a time; what must wait, waits in order."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self.done = 0
        self.waiting: deque[Callable[[], None]] = deque()
        self.changed = threading.Condition()
        for number in range(_THREADS):
            threading.Thread(target=self._run, name=f"lane {number}", daemon=True).start()

    def put(self, job: Callable[[], None]) -> None:
        """Has a job done as soon as there is a lane."""
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()

    def set(self, limit: int) -> None:
        """Sets how many run at a time."""
        with self.changed:
            self.limit = max(1, min(limit, _THREADS))
            self.changed.notify_all()

    def _run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting and self.busy < self.limit)
                job = self.waiting.popleft()
                self.busy += 1
            try:
                job()
            finally:
                with self.changed:
                    self.busy -= 1
                    self.done += 1
                    self.changed.notify()


class Worker:
    """Answers requests."""

    def __init__(self, kind: str, answers: Any) -> None:
        self.kind = kind
        self.work: Work | None = None
        self._unopened: Exception = RuntimeError("this worker has taken up no work")
        self.lanes = Lanes(4)
        self._answers = answers
        self._turn = threading.Lock()

    def take(self, request: dict[str, Any]) -> None:
        """Has a request answered, now or later."""
        number, do = request.pop("id"), request.pop("do")
        if do in ("call", "probe"):
            self.lanes.put(lambda: self._answer(number, getattr(self, f"do_{do}"), request))
        else:
            self._answer(number, getattr(self, f"do_{do}"), request)

    def _answer(self, number: int, function: Callable[..., Any], request: Mapping[str, Any]) -> None:
        try:
            answer: dict[str, Any] = {"id": number, "value": function(**request)}
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            answer = {"id": number, "error": type(error).__name__, "message": str(error), "trace": trace}
            answer["callers"] = isinstance(error, UnknownNameError)
            answer["grave"] = error is self._unopened or grave(error)
        self._say(answer)

    def _say(self, what: dict[str, Any]) -> None:
        with self._turn:
            self._answers.write(json.dumps(what) + "\n")
            self._answers.flush()

    def _warn(self, error: Exception, message: str) -> None:
        self._say({"id": -1, "warning": {"name": type(error).__name__, "message": message}})

    def do_ping(self) -> dict[str, Any]:
        """How it is doing."""
        lanes = self.lanes
        return {"queue": len(lanes.waiting), "busy": lanes.busy, "limit": lanes.limit, "done": lanes.done}

    def do_open(self, folder: str) -> None:
        """Takes up the work in a site. When it cannot, all work raises why: there is none to go on with."""
        try:
            self.work = self._open(Path(folder))
        except Exception as error:
            self.work, self._unopened = None, error
            raise

    def _open(self, folder: Path) -> Work:
        here = Site(folder, self._warn)
        module = importlib.import_module(f"tests.lab.work.{self.kind}")
        work: Work = module.make(here)
        self.lanes.set(int(here.config.get("workers", 4)))
        for name, number in here.config.get("limits", {}).items():
            what = {"memory": resource.RLIMIT_AS, "descriptors": resource.RLIMIT_NOFILE}[name]
            resource.setrlimit(what, (int(number), resource.getrlimit(what)[1]))
        return work

    def do_call(self, operation: str, arguments: list[Any], way: str = "") -> Any:
        """Does an operation, in its usual way or another."""
        work = self._working()
        function = work.ways[operation, way][0] if way else work.operations[operation]
        return function(*arguments)

    def do_probe(self, operation: str, way: str = "") -> Any:
        """Exercises an operation, in its usual way or another. Raises what it raises."""
        work = self._working()
        return (work.ways[operation, way][1] if way else work.probes[operation])()

    def do_set(self, workers: int = 0, feature: str = "", on: bool = True) -> None:
        """Sets the level, or a feature."""
        if workers:
            self.lanes.set(workers)
        if feature:
            self._working().features[feature] = on

    def do_level(self) -> int:
        """How many operations run at a time."""
        return self.lanes.limit

    def do_snapshot(self) -> str:
        """What a checkpoint holds. Raises `RuntimeError` when the configuration is not the one that is in use."""
        work = self._working()
        content = work.snapshot() if work.snapshot else site.snapshot(work.site.folder)
        if json.loads(json.loads(content)[site.CONFIG]) != work.site.config:
            raise RuntimeError("the configuration has changed since the work was taken up")
        return base64.b64encode(content).decode()

    def do_inside(self, fault: str, **parameters: Any) -> Any:
        """Brings a fault, `module.function` of `tests.lab.faults`, into this process."""
        module, _, function = fault.partition(".")
        return getattr(importlib.import_module(f"tests.lab.faults.{module}"), function)(self, **parameters)

    def _working(self) -> Work:
        if self.work is None:
            raise self._unopened.with_traceback(None)
        return self.work


def main() -> None:
    """Serves until standard input ends."""
    obey_permissions()
    # What the work prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(sys.argv[1], answers)
    importlib.import_module(f"tests.lab.work.{worker.kind}")
    answers.write(json.dumps({"id": 0, "value": {"pid": os.getpid(), "warm": time.time_ns()}}) + "\n")
    answers.flush()
    for line in sys.stdin:
        worker.take(json.loads(line))


if __name__ == "__main__":
    main()
