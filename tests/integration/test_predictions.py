"""`mendbus predictions`: a monitor in memory hears predictions, sees an agent fail, and tells what they were worth."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support import Clock, ask, memory_runtime, talk_to, tell

from mendbus import codec, instruments
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.cli import predictions
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.foreseen import EXCEPTION, PREDICTED, SEVERITY
from mendbus.contracts.messages import (
    AgentGoodbye,
    Control,
    ControlResult,
    ErrorReported,
    FailurePredicted,
    HealthSample,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import Subjects
from mendbus.runtime import Runtime
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_health_monitor import build

SETTINGS = Settings(trace=False)
SUBJECTS = Subjects()
HORIZON_MS = 280
STEP = 0.29
"""Seconds after which the horizon is over; the monitor may have been so busy without having been blind."""


class Watched:
    """A running monitor whose clock passes when told to, and agents that it watches."""

    def __init__(self, runtime: Runtime, bus: Bus, clock: Clock) -> None:
        self.runtime, self.bus, self.clock = runtime, bus, clock
        self.sequence = 0

    async def told(self) -> dict[str, Any]:
        """What `control.predictions` answers."""
        question = Control(id="c1", time_unix_nano=1, verb="predictions", by="kim")
        return (await ask(self.bus, SUBJECTS.control("predictions"), question, ControlResult)).data

    async def live(self, *agents: str) -> None:
        """A sample of each."""
        for agent in agents:
            self.sequence += 1
            sample = HealthSample.model_validate(
                self._about(agent) | {"sequence": self.sequence, "interval_ms": 60_000, "metrics": {}}
            )
            await tell(self.bus, SUBJECTS.health("runtime", agent), sample)

    async def predict(self, agent: str) -> None:
        """A failure of it is predicted, and the monitor has heard it."""
        before = await self._heard()
        predicted = {"id": "p1", "probability": 0.9, "confidence": 0.5, "horizon_ms": HORIZON_MS, "model": "m1"}
        message = FailurePredicted.model_validate(self._about(agent) | predicted)
        await tell(self.bus, SUBJECTS.prediction("runtime", agent), message)

        async def heard() -> bool:
            return await self._heard() > before

        await eventually(heard)

    async def kill(self, agent: str) -> None:
        """It reports its own death."""
        died = {"id": "e1", "severity": "fatal", "exception": {"type": "Died", "message": "killed"}}
        await tell(
            self.bus, SUBJECTS.error("fatal", "runtime", agent), ErrorReported.model_validate(self._about(agent) | died)
        )

    async def goodbye(self, agent: str) -> None:
        """It leaves."""
        message = AgentGoodbye.model_validate(self._about(agent) | {"id": "g1"})
        await tell(self.bus, SUBJECTS.goodbye("runtime", agent), message)

    async def act(self, agent: str, *, attempts: bool) -> None:
        """An incident about the prediction has its outcome."""
        about, now = self._about(agent), self.clock()
        attempt = {
            "attempt": 1,
            "command_id": "c1",
            "strategy": "restart",
            "status": "done",
            "verified": True,
            "started_unix_nano": now,
            "ended_unix_nano": now,
        }
        error = {
            "id": "p1",
            "severity": SEVERITY,
            "exception": {"type": EXCEPTION, "message": "likely"},
            "attributes": {PREDICTED: True},
        }
        outcome = {
            "incident_id": f"i-{agent}",
            "sequence": 0,
            "agent": about["agent"],
            "fingerprint": "v1:0",
            "outcome": "recovered" if attempts else "no_action",
            "attempts": [attempt] if attempts else [],
            "error_count": 1,
            "event_count": 1,
            "trace_id": "",
            "error": about | error,
        }
        body = codec.encode(RecoveryOutcome.model_validate(outcome))
        await self.bus.store(SUBJECTS.outcome("runtime", agent), body)

    async def end(self) -> None:
        """The horizon passes while the monitor looks, then what else it waits for."""
        before = (await self.told())["agent_hours"]
        self.clock.pass_seconds(STEP)

        async def looked() -> bool:
            return (await self.told())["agent_hours"] > before

        await eventually(looked)
        self.clock.pass_seconds(3600)

        async def judged() -> bool:
            return (await self.told())["waiting"] == 0

        await eventually(judged)

    async def _heard(self) -> int:
        told = await self.told()
        return told["waiting"] + told["left_out"]["repeated"]

    def _about(self, agent: str) -> dict[str, Any]:
        return {"agent": {"kind": "runtime", "id": agent, "instance": "b1"}, "time_unix_nano": self.clock()}


@asynccontextmanager
async def watched() -> AsyncGenerator[Watched]:
    """A monitor, and three agents that are well."""
    clock, server = Clock(), MemoryServer()
    async with memory_runtime(build(), server, now=clock) as runtime:
        bus = server.connect("test")
        one = Watched(runtime, bus, clock)
        await one.live("a1", "a2", "a3")
        await eventually(lambda: sum(_statuses(runtime).values()) == 3)
        yield one
        await bus.close()


async def test_a_prediction_that_comes_true_is_precision_1_of_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent dies within the horizon: one of one came true and was foretold, as JSON, as text and as metrics."""
    async with watched() as one:
        talk_to(monkeypatch, one.bus, predictions)
        await predictions.show(SETTINGS, as_json=False)
        assert "precision       - of predictions" in capsys.readouterr().out
        for _ in range(2):
            await one.predict("a1")
        one.clock.pass_seconds(0.2)
        await one.kill("a1")
        await eventually(lambda: _statuses(one.runtime).get("failed") == 1)
        await one.end()
        await predictions.show(SETTINGS, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert (told["precision"]["hits"], told["precision"]["of"], told["precision"]["share"]) == (1, 1, 1.0)
        assert (told["recall"]["hits"], told["recall"]["of"]) == (1, 1)
        assert told["lead"]["n"] == 1
        assert told["lead"]["median_ms"] == pytest.approx(200, rel=0.02)
        assert told["left_out"]["repeated"] == 1
        await predictions.show(SETTINGS, as_json=False)
        shown = capsys.readouterr().out
        assert "precision       100.0% (21%-100%, 1 of 1) of predictions came true" in shown
        assert "m1" in shown
        series = {(row.instrument.name, row.values): row.value for row in one.runtime.meter.collect()}
        assert series["mendbus.prediction.outcomes", ("m1", "right")] == 1
        assert series["mendbus.prediction.failures", ("foretold",)] == 1
        assert series["mendbus.prediction.calibration_error", ()] == pytest.approx(0.1)


async def test_what_was_acted_upon_or_left_does_not_count_and_what_was_held_out_does() -> None:
    """An outcome with attempts takes its agent's prediction out, one without leaves it in; a goodbye is no failure."""
    async with watched() as one:
        for agent in ("a1", "a2", "a3"):
            await one.predict(agent)
        await one.act("a1", attempts=True)
        await one.act("a2", attempts=False)
        await one.goodbye("a3")
        await eventually(lambda: _statuses(one.runtime).get("retired") == 1)
        await one.end()
        told = await one.told()
        assert (told["precision"]["hits"], told["precision"]["of"]) == (0, 1)
        assert told["recall"]["of"] == 0
        assert told["left_out"] == {"acted_upon": 1, "unknown": 1, "late": 0, "repeated": 0}
        assert told["false_alarms"]["count"] == 1


async def test_time_in_which_the_monitor_was_away_is_nobody_s_failure_and_no_false_alarm() -> None:
    """The clock jumps over the horizon: neither right nor wrong, and no agent has failed."""
    async with watched() as one:
        await one.predict("a1")
        one.clock.pass_seconds(3600)

        async def judged() -> bool:
            return (await one.told())["left_out"]["unknown"] == 1

        await eventually(judged)
        told = await one.told()
        assert (told["precision"]["of"], told["recall"]["of"]) == (0, 0)
        assert told["agent_hours"] == 0


async def test_without_a_monitor_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: the error names the service that would."""
    bus = MemoryServer().connect("asker")
    talk_to(monkeypatch, bus, predictions)
    with pytest.raises(MendbusError, match="is a health-monitor running"):
        await predictions.show(SETTINGS, as_json=False)
    await bus.close()


def _statuses(runtime: Runtime) -> dict[str, float]:
    rows = [row for row in runtime.meter.collect() if row.instrument is instruments.AGENTS]
    return {row.values[0]: row.value for row in rows if isinstance(row.value, int | float)}
