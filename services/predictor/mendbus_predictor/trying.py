"""Joins a trial to the bus: which agents failed, and what somebody did about predictions."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mendbus import codec
from mendbus.bus import Handler, Message, Subscription
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.foreseen import PREDICTED
from mendbus.contracts.messages import HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.foretold import acted
from mendbus.modellife import LOOK_SECONDS
from mendbus.runtime import Runtime
from mendbus_predictor.rivals import Rivals

log = logging.getLogger("mendbus")

_MARK: Final = PREDICTED.encode()
"""Of all outcomes only those are unpacked that have it."""


async def follow(runtime: Runtime, rivals: Callable[[], Rivals | None]) -> None:
    """Begins to tell the rivals, while there are any. Raises `BusError` where nothing can be heard."""

    async def status(status: HealthStatus, _: Message) -> None:
        trying = rivals()
        if trying is not None:
            trying.hear(status, runtime.now())

    async def outcome(message: Message) -> None:
        trying = rivals()
        if trying is None or _MARK not in message.body:
            return
        try:
            found = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            # The health-monitor keeps it.
            log.debug("what came on %s is no outcome: %s", message.subject, refused)
            return
        between = acted(found)
        if between is not None:
            trying.act(found.agent.key, *between)

    await runtime.listen(runtime.subjects.everyone("status"), HealthStatus, status, dead=False)
    runtime.spawn(_attend(runtime, rivals, outcome), "outcomes during a trial")


async def _attend(runtime: Runtime, rivals: Callable[[], Rivals | None], outcome: Handler) -> None:
    """Outcomes are many: they are only heard while a model is in trial."""
    heard: Subscription | None = None
    while True:
        try:
            if rivals() is not None and heard is None:
                heard = await runtime.bus.subscribe(runtime.subjects.everyone("outcome"), outcome)
            elif rivals() is None and heard is not None:
                await heard.stop()
                heard = None
        except BusError as error:
            log.warning("outcomes cannot be heard for the trial, it is tried again: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
