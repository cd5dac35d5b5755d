"""Asking the other services: a short wait, one more try, then the answer is that there is none."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.asks import Assess, Assessment, AttemptResult, Classification, Classify, Execute
from mendbus.contracts.errors import BusError, NoResponders, Refused
from mendbus.contracts.messages import ErrorReported, RecoveryCommand
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.redacted import redact_detail
from mendbus.runtime import Readiness
from mendbus.telemetry import Span
from mendbus_strategy_selector.policies import Policies

log = logging.getLogger("mendbus")

R = TypeVar("R", bound=BaseModel)

SHORT_ASKS = 32
"""Questions to classifier and predictor under way at once: more would only wait there, and run into the time-out."""
ATTEMPTS_UNDER_WAY = 16
"""Attempts handed to the executor at once, as many as one carries out in parallel; mere probes are not among them."""
_GRACE_SECONDS = 0.1
_EXECUTOR_PAUSE_SECONDS = 0.25
_EXECUTOR_ASKS = 3
_NO_AGENT_PAUSE_SECONDS = 0.05
_NO_AGENT_LONGEST_SECONDS = 0.4

UNKNOWN_MODEL = "none"
NO_EXECUTOR = "no_executor"
"""Code of an attempt that no executor answered: what became of it is not known."""


class Asks:
    """The strategy-selector's side of the conversation with classifier, predictor and executor."""

    def __init__(
        self, bus: Bus, subjects: Subjects, policies: Policies, readiness: Readiness, now: Callable[[], int]
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._policies = policies
        self._readiness = readiness
        self._now = now
        self._short = asyncio.Semaphore(SHORT_ASKS)
        self._attempts = asyncio.Semaphore(ATTEMPTS_UNDER_WAY)
        self._probes = asyncio.Semaphore(ATTEMPTS_UNDER_WAY)
        self._leaving = False

    def leave(self) -> None:
        """From now on nobody waits for an executor: who has to is cancelled, and goes on at the next owner."""
        self._leaving = True

    async def classify(self, error: ErrorReported, fingerprint: str, span: Span) -> Classification:
        """Category, severity and confidence; without a classifier `unknown`, and the agent's own severity."""
        question = Classify(error=error, fingerprint=fingerprint)
        answer = await self._short_ask(self._subjects.classify, question, Classification, span)
        return answer or Classification(
            category=error.category or "unknown",
            severity=error.severity or "error",
            confidence=0.0,
            model=UNKNOWN_MODEL,
        )

    async def assess(self, question: Assess, span: Span) -> Assessment | None:
        """What the predictor says, or None without one."""
        return await self._short_ask(self._subjects.assess, question, Assessment, span)

    async def _short_ask(self, subject: str, question: BaseModel, kind: type[R], span: Span) -> R | None:
        body, headers = codec.encode(question), codec.headers(span.traceparent)
        timeout = self._policies.current.ask_timeout_ms / 1000
        async with self._short:
            for _ in range(2):
                try:
                    reply = await self._bus.request(subject, body, headers, timeout=timeout)
                    return codec.decode(kind, reply.body, MAX_SERVICE_BODY)
                except NoResponders:
                    return None
                except (BusError, Refused) as error:
                    log.debug("no use from %s: %s", subject, error)
        return None

    async def execute(self, attempt: Execute, span: Span) -> AttemptResult:
        """Has one attempt carried out. Without any executor it waits for one, however long that takes.

        Raises `CancelledError` instead of waiting once this process leaves: nobody was given the command.
        An executor that does not answer in time is asked again under the same command id, which the agent does once.
        An agent that is out of reach is waited for until the attempt's time is over.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        patience = attempt.timeout_ms / 1000
        unanswered, pause = 0, _NO_AGENT_PAUSE_SECONDS
        while True:
            result = await self._ask_executor(attempt, span)
            if result is None:
                unanswered += 1
                if unanswered >= _EXECUTOR_ASKS:
                    return _failed(attempt, NO_EXECUTOR, f"no executor answered {unanswered} times")
            elif result.code == "no_agent" and clock() - begun < patience:
                await asyncio.sleep(pause)
                pause = min(_NO_AGENT_LONGEST_SECONDS, pause * 2)
            else:
                return result
            attempt = self._renewed(attempt)

    async def _ask_executor(self, attempt: Execute, span: Span) -> AttemptResult | None:
        timeout = attempt.timeout_ms / 1000 + _GRACE_SECONDS
        under_way = self._probes if attempt.command is None else self._attempts
        while True:
            try:
                async with under_way:
                    reply = await self._bus.request(
                        self._subjects.execute, codec.encode(attempt), codec.headers(span.traceparent), timeout=timeout
                    )
                self._readiness.set("executor", True)
                result = codec.decode(AttemptResult, reply.body, MAX_SERVICE_BODY)
                detail = redact_detail(result.detail, self._policies.current.redaction)
                return result if detail == result.detail else result.model_copy(update={"detail": detail})
            except NoResponders:
                self._readiness.set("executor", False, "no executor answers: nothing is executed, incidents wait")
                if self._leaving:
                    raise asyncio.CancelledError from None
                await asyncio.sleep(_EXECUTOR_PAUSE_SECONDS)
                attempt = self._renewed(attempt)
            except (BusError, Refused) as error:
                extra = {**span.logged, "incident_id": attempt.incident_id}
                log.warning("no answer to an attempt for %s: %s", attempt.incident_id, error, extra=extra)
                return None

    def _renewed(self, attempt: Execute) -> Execute:
        """The same command with the time it needs from now: waiting for an executor must not expire it."""
        command: RecoveryCommand | None = attempt.command
        if command is None:
            return attempt
        deadline = self._now() + command.timeout_ms * 1_000_000
        return attempt.model_copy(update={"command": command.model_copy(update={"deadline_unix_nano": deadline})})


def _failed(attempt: Execute, code: str, detail: str) -> AttemptResult:
    command_id = attempt.command.command_id if attempt.command else None
    return AttemptResult(
        incident_id=attempt.incident_id,
        command_id=command_id,
        status="failed",
        code=code,
        detail=detail,
        verified=False,
    )
