"""What a set of processes uses: private memory, descriptors, CPU; each under a name that outlives its restarts."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Use:
    """What one process used at a moment. `memory`: private (USS), bytes; `cpu`: cores since the last look.

    `cpu` is None at the first look at a process.
    """

    at: float
    pid: int
    memory: int
    descriptors: int
    threads: int
    cpu: float | None


class Watch:
    """Looks at processes by name. `pids`: which process has each name now."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._before: dict[int, tuple[float, float]] = {}
        self.seen: dict[str, list[Use]] = {}

    def look(self) -> None:
        """Notes what each process uses now; one that is gone is passed over."""
        for name, pid in self._pids().items():
            with suppress(psutil.Error, OSError):
                self.seen.setdefault(name, []).append(self._look(pid))

    def _look(self, pid: int) -> Use:
        process = psutil.Process(pid)
        with process.oneshot():
            now, spent = time.monotonic(), process.cpu_times()
            cpu = spent.user + spent.system
            before = self._before.get(pid)
            self._before[pid] = now, cpu
            cores = (cpu - before[1]) / (now - before[0]) if before and now > before[0] else None
            return Use(
                now,
                pid,
                process.memory_full_info().uss,
                process.num_fds(),
                process.num_threads(),
                None if cores is None else round(cores, 4),
            )


def end_in_order() -> None:
    """Has SIGTERM end this process as Ctrl-C does: with everything that it has started."""
    _ = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
