"""What NATS itself does with a message, as spans of its recovery: an option, in a process of its own.

`python -m mendbus.hops [SUBJECT]` listens where the server tells of sampled messages (`msg_trace` of the account) and
sends spans where the services send theirs. See `shared/README.md`.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from mendbus.bus import Message
from mendbus.bus.nats import connect
from mendbus.contracts.errors import MendbusError, SettingsError
from mendbus.logs import configure_logging
from mendbus.security.access import access
from mendbus.security.credentials import ADMIN
from mendbus.service import exit_status, run_loop
from mendbus.settings import Settings, from_environment
from mendbus.telemetry import AttributeValue, Tracer, open_tracer, parent_of

log = logging.getLogger("mendbus.hops")

SUBJECT: Final = "hops"
"""Below the root: where the server is told to report to."""
MAX_EVENTS: Final = 64
"""Steps of one message that become spans; a message that goes to more receivers than that is cut."""
_NAMES: Final = {"in": "nats receive", "eg": "nats deliver", "js": "nats store", "sm": "nats map"}
_SECOND: Final = 1_000_000_000


class Hop(NamedTuple):
    """A step of a message within the server. Time in nanoseconds since 1970."""

    name: str
    time: int
    attributes: dict[str, AttributeValue]
    error: str | None


def hops(body: bytes) -> tuple[str, list[Hop]]:
    """The parent that a server's report names, and the steps it tells of, the first first.

    Raises `ValueError` for what is no report, or names no trace.
    """
    found: object = json.loads(body)
    try:
        report = cast("dict[str, Any]", found)
        headers = {name: str(values[0]) for name, values in report["request"]["header"].items()}
        events: list[dict[str, Any]] = report["events"][:MAX_EVENTS]
        steps = [_hop(event, str(report["server"]["name"])) for event in events if event["type"] in _NAMES]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no report of a message: {error!r}") from None
    parent = parent_of(headers)
    if parent is None or not steps:
        raise ValueError("a report of a message that is in no trace, or of no step")
    return parent, sorted(steps, key=lambda step: step.time)


def record(tracer: Tracer, parent: str, steps: Sequence[Hop]) -> None:
    """Spans of a report: one from its first step to its last, and in it one of no length for each later step."""
    first, last = steps[0], steps[-1]
    whole = tracer.start(first.name, "internal", parent, first.attributes, first.time)
    for step in steps[1:]:
        span = tracer.start(step.name, "internal", whole.traceparent, step.attributes, step.time)
        span.end(error=step.error, end_unix_nano=step.time)
    whole.end(error=first.error, end_unix_nano=last.time)


def _hop(event: dict[str, Any], server: str) -> Hop:
    told: dict[str, object] = {
        "messaging.destination.name": event.get("subject") or event.get("subj") or event.get("sub"),
        "messaging.client.id": event.get("name"),
        "messaging.consumer.group.name": event.get("queue"),
        "messaging.nats.stream": event.get("stream"),
    }
    attributes: dict[str, AttributeValue] = {"messaging.system": "nats", "server.address": server}
    attributes |= {key: str(value) for key, value in told.items() if value}
    error = event.get("error")
    return Hop(_NAMES[event["type"]], _nanoseconds(event["ts"]), attributes, str(error) if error else None)


def _nanoseconds(text: str) -> int:
    """RFC 3339 with up to nine digits, as the server writes it: in UTC."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * _SECOND + int(fraction.ljust(9, "0")[:9] or 0)


async def bridge(settings: Settings, subject: str, stop: asyncio.Event) -> None:
    """Turns reports into spans until `stop`. Raises `BusError` when the server is not there, `CredentialsError`."""
    tracer = open_tracer("nats", settings)
    user = access(settings, ADMIN)
    bus = await connect(settings.nats_url, name="hops", on_dead=lambda why: _ended(why, stop), access=user)

    async def take(message: Message) -> None:
        try:
            record(tracer, *hops(message.body))
        except ValueError as error:
            log.warning("passed over on %s: %s", message.subject, error)

    try:
        await bus.subscribe(subject, take)
        log.info("listening on %s", subject)
        await stop.wait()
    finally:
        await bus.close()
        await tracer.close()


def _ended(why: str, stop: asyncio.Event) -> None:
    log.error("the connection is dead: %s", why)
    stop.set()


async def _until_stopped(settings: Settings, subject: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await bridge(settings, subject, stop)


def main(arguments: Sequence[str]) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit status (2: wrong settings, 1: no server)."""
    try:
        settings = from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings, "hops")
    try:
        run_loop(_until_stopped(settings, arguments[0] if arguments else f"{settings.root}.{SUBJECT}"))
    except MendbusError as failure:
        return exit_status(failure, log.error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
