"""Joins what predictions were worth to the bus: they are heard, compared with what this monitor sees, and asked for."""

from typing import Final

from mendbus import instruments
from mendbus.bus import Message
from mendbus.contracts.canary import is_canary
from mendbus.contracts.messages import Control, ControlResult, FailurePredicted, HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_BODY
from mendbus.foretold import acted, is_failure
from mendbus.metrics import Reading
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.foresight import Foresight

_LOOK_NANO: Final = 250_000_000
_GONE: Final = ("unknown", "failed", "retired")


class Predictions:
    """What predictions were worth in the running service, since its start."""

    def __init__(self, runtime: Runtime, agents: Agents) -> None:
        self._runtime = runtime
        self._agents = agents
        self._foresight = Foresight(runtime.now())
        self._looked = runtime.now()

    async def start(self) -> None:
        """Begins to listen and answer."""
        runtime, subjects, foresight = self._runtime, self._runtime.subjects, self._foresight
        await runtime.listen(subjects.everyone("prediction"), FailurePredicted, self._hear, dead=False)
        await runtime.serve("predictions", subjects.control("predictions"), Control, self._answer, limit=MAX_BODY)
        runtime.meter.observe(instruments.PREDICTIONS, foresight.results)
        runtime.meter.observe(instruments.FORETOLD, lambda: {(of,): n for of, n in foresight.failures.items()})
        runtime.meter.observe(instruments.CALIBRATION_ERROR, self._calibration)
        runtime.meter.observe(instruments.WATCHED_TIME, lambda: foresight.watched_seconds)

    def tell(self, status: HealthStatus) -> None:
        """A change that this monitor itself has seen."""
        if is_canary(status.agent):
            return
        if is_failure(status):
            self._foresight.fail(status.agent.key, status.time_unix_nano)
        elif status.status == "retired":
            self._foresight.leave(status.agent.key, status.time_unix_nano)

    def outcome(self, outcome: RecoveryOutcome) -> None:
        """How an incident stands: whether somebody acted upon a prediction."""
        between = acted(outcome)
        if between is not None:
            self._foresight.act(outcome.agent.key, *between)

    def look(self, *, blind: bool) -> None:
        """Judges what is due; call it all the time. `blind`: since the last call nobody could look."""
        now = self._runtime.now()
        if blind:
            self._foresight.blind(self._looked, now)
        if blind or not 0 <= now - self._looked < _LOOK_NANO:
            self._looked = now
            alive = sum(count for (status,), count in self._agents.by_status().items() if status not in _GONE)
            for seconds in self._foresight.look(0 if blind else alive, now):
                self._runtime.meter.record(instruments.FORETOLD_BY, seconds)

    def _calibration(self) -> Reading:
        error = self._foresight.calibration()
        return {} if error is None else {(): error}

    async def _hear(self, predicted: FailurePredicted, _: Message) -> None:
        if not is_canary(predicted.agent):
            watched = self._agents.get(predicted.agent.key)
            self._foresight.predict(predicted, watched.status if watched else None, self._runtime.now())

    async def _answer(self, _: Control, __: Span) -> ControlResult:
        return self._runtime.result(data=self._foresight.row())
