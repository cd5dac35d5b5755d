"""Health samples of this process: what can honestly be known of it, and what its user says. Missing stays missing."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import psutil

from mendbus.contracts.messages import AgentRef, HealthSample
from mendbus.contracts.vocabulary import METRICS
from mendbus.sdk.host import Host, bounds
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operations
from mendbus.sdk.texts import SHORT, cut

log = logging.getLogger("mendbus.sdk")

_METRICS: Final = frozenset[str](METRICS)
_MOST_GAUGES: Final = 64


class Sampler:
    """Takes samples. `reported` gives the failures reported so far, `now` nanoseconds since 1970.

    Per process the system tells no network traffic, so `network_bytes_per_s` is there only if the user gives it; that
    of all who share the network is the gauge `host_network_bytes_per_s`. Temperature and power are the machine's, where
    it tells them. Limits that the user does not set are those that the system sets.
    """

    def __init__(
        self,
        agent: AgentRef,
        interval_ms: int,
        limits: Mapping[str, float],
        operations: Operations,
        caller: Caller,
        reported: Callable[[], int],
        outbox: Callable[[], int],
        now: Callable[[], int],
    ) -> None:
        self._agent = agent
        self._interval_ms = interval_ms
        self._limits = bounds() | dict(limits)
        self._host = Host()
        self._operations = operations
        self._caller = caller
        self._reported = reported
        self._outbox = outbox
        self._now = now
        self._given: dict[str, float] = {}
        self._providers: dict[Callable[[], Any], asyncio.Task[None] | None] = {}
        self._failing: set[Callable[[], Any]] = set()
        self._process = psutil.Process()
        self._sequence = 0
        self._before: tuple[float, int] | None = None
        self._asked_user_loop: tuple[float, asyncio.Task[bool]] | None = None
        self._last_lag = 0.0
        self.latest: dict[str, float] = {}

    def set(self, name: str, value: float | None) -> None:
        """A number of the user's, from now on; None takes it away. Any thread."""
        if value is None:
            _ = self._given.pop(name, None)
        else:
            self._given[cut(name, SHORT)] = float(value)

    def add_provider(self, provider: Callable[[], Any]) -> None:
        """A callable that returns numbers by name, asked at each sample and never waited for."""
        self._providers[provider] = None

    def sample(self, lag_seconds: float, spawn: Callable[[Any, str], "asyncio.Task[Any]"]) -> HealthSample:
        """The next sample; `lag_seconds`: how late the agent's own loop was."""
        time = asyncio.get_running_loop().time()
        given = {name: value for name, value in list(self._given.items()) if math.isfinite(value)}
        of_host, host_gauges = self._host.look(time)
        of_process, gauges = self._of_process()
        metrics = {**of_host, **of_process, **self._of_work(time)}
        metrics |= {name: value for name, value in given.items() if name in _METRICS}
        gauges |= {"loop_lag_ms": round(lag_seconds * 1000, 3), "outbox_events": float(self._outbox()), **host_gauges}
        gauges |= self._user_loop_lag(time, spawn)
        gauges |= {name: value for name, value in given.items() if name not in _METRICS}
        self._ask_providers(spawn)
        self.latest = metrics
        sample = HealthSample(
            agent=self._agent,
            time_unix_nano=self._now(),
            sequence=self._sequence,
            interval_ms=self._interval_ms,
            metrics=metrics,
            gauges=dict(list(gauges.items())[:_MOST_GAUGES]),
            limits=self._limits,
        )
        self._sequence += 1
        return sample

    def _of_process(self) -> tuple[dict[str, float], dict[str, float]]:
        metrics: dict[str, float] = {}
        gauges: dict[str, float] = {}
        with contextlib.suppress(psutil.Error):
            # The first reading has nothing to compare with and says 0, which would be a lie.
            cpu = self._process.cpu_percent()
            if self._before is not None:
                metrics["cpu_percent"] = cpu
            metrics["memory_bytes"] = float(self._process.memory_info().rss)
        with contextlib.suppress(psutil.Error, AttributeError, OSError):
            gauges["descriptors"] = float(self._process.num_fds())
        return metrics, gauges

    def _of_work(self, time: float) -> dict[str, float]:
        reported, runs = self._reported(), self._operations.take_runs()
        before, self._before = self._before, (time, reported)
        if before is None or time <= before[0]:
            return {}
        seconds = time - before[0]
        metrics = {"errors_per_s": (reported - before[1]) / seconds}
        if self._operations.runnable():
            metrics["throughput_per_s"] = runs.succeeded / seconds
        ended = runs.succeeded + runs.failed
        if ended:
            metrics["response_time_ms"] = runs.seconds / ended * 1000
            metrics["availability_ratio"] = runs.succeeded / ended
        return metrics

    def _user_loop_lag(self, time: float, spawn: Callable[[Any, str], "asyncio.Task[Any]"]) -> dict[str, float]:
        """How long the user's loop took, or has been taking, to answer the question put to it last."""
        if self._caller.user_loop is None:
            return {}
        asked = self._asked_user_loop
        lag: dict[str, float] = {}
        if asked is not None:
            lag = {"user_loop_lag_ms": self._last_lag if asked[1].done() else round((time - asked[0]) * 1000, 3)}
        if asked is None or asked[1].done():
            self._asked_user_loop = (time, spawn(self._ask_user_loop(time), "user loop lag"))
        return lag

    async def _ask_user_loop(self, asked: float) -> bool:
        answers = await self._caller.user_loop_answers()
        self._last_lag = round((asyncio.get_running_loop().time() - asked) * 1000, 3)
        return answers

    def _ask_providers(self, spawn: Callable[[Any, str], "asyncio.Task[Any]"]) -> None:
        for provider, task in list(self._providers.items()):
            if task is None or task.done():
                self._providers[provider] = spawn(self._ask(provider), "metrics provider")

    async def _ask(self, provider: Callable[[], Any]) -> None:
        try:
            numbers = await self._caller.call(provider)
            for name, value in cast("Mapping[str, float | None]", numbers or {}).items():
                self.set(name, value)
        except Exception:
            if provider not in self._failing:
                log.exception(
                    "a provider of metrics failed; it is asked again, and its further failures are not logged"
                )
                self._failing.add(provider)
        else:
            self._failing.discard(provider)
