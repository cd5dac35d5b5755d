"""What happens, as it happens."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from mendbus import codec
from mendbus.bus import Message
from mendbus.cli.connect import connected
from mendbus.cli.listing import standing
from mendbus.cli.output import clean, line, ms, say
from mendbus.contracts.errors import Refused
from mendbus.contracts.fields import WireModel
from mendbus.contracts.messages import Alert, HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.settings import Settings

_ENDING = (signal.SIGINT, signal.SIGTERM)
FAMILIES: dict[str, type[WireModel]] = {"outcome": RecoveryOutcome, "alert": Alert, "status": HealthStatus}


async def follow(settings: Settings, *, as_json: bool, now: Callable[[], int] = time.time_ns) -> None:
    """Prints outcomes, alerts and statuses until SIGINT or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with connected(settings) as bus:
        for family, model in FAMILIES.items():

            async def receive(message: Message, family: str = family, model: type[WireModel] = model) -> None:
                try:
                    told = codec.decode(model, message.body, MAX_SERVICE_BODY)
                except Refused as refused:
                    sys.stderr.write(f"not shown, {clean(message.subject)}: {refused}\n")
                    return
                if as_json:
                    line({"family": family, "message": told.model_dump(exclude_none=True)})
                else:
                    say(f"{_time(now())}  {family:<7}  {clean(sentence(told))}")

            await bus.subscribe(settings.subjects.everyone(family), receive)
        await bus.barrier()
        sys.stderr.write(f"watching {settings.root} on {settings.nats_url}; Ctrl-C ends\n")
        sys.stderr.flush()
        for number in _ENDING:
            loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in _ENDING:
                loop.remove_signal_handler(number)


def _time(unix_nano: int) -> str:
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def sentence(told: WireModel) -> str:
    """A message in one line."""
    match told:
        case RecoveryOutcome():
            times = told.times
            taken = ms(times.verified - times.reported) if times.verified and times.reported else ""
            strategy = f"by {told.strategy}" if told.strategy else ""
            count = f"x{told.error_count}" if told.error_count > 1 else ""
            why = f"- {told.reason}" if told.reason else ""
            words = (told.agent.key, standing(told), strategy, taken, count, told.incident_id, why)
        case Alert():
            about = told.agent.key if told.agent and told.agent.key not in told.summary else ""
            hint = f"- {told.hint}" if told.hint else ""
            words = (told.severity, told.state, about, told.summary, hint, told.incident_id or "")
        case HealthStatus():
            before = f"(was {told.previous})" if told.previous else ""
            words = (told.agent.key, told.status, f"{told.score:.0f} %", before, f"- {told.reason}")
        case _:
            words = (str(told),)
    return " ".join(word for word in words if word)
