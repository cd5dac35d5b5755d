"""The NATS services API (ADR-32) over any bus, so that `nats micro ls`, `info` and `stats` show the services.

nats-py's own `micro` drops requests that wait when a service stops, and knows nothing of the in-memory bus.
"""

import datetime as dt
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mendbus.bus import Bus, Message, Subscription


@dataclass(slots=True)
class EndpointStats:
    """Counters of one endpoint; times in nanoseconds."""

    name: str
    subject: str
    queue: str
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    processing_time: int = 0

    def done(self, started_ns: int, error: str = "") -> None:
        """Counts one request that began at `started_ns` (perf_counter)."""
        self.requests += 1
        self.processing_time += time.perf_counter_ns() - started_ns
        if error:
            self.errors += 1
            self.last_error = error


@dataclass(slots=True)
class Micro:
    """One service instance as the services API shows it."""

    name: str
    instance: str
    version: str
    description: str
    metadata: Mapping[str, str]
    endpoints: list[EndpointStats] = field(default_factory=list[EndpointStats])
    started: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z"))

    def _base(self, answer: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{answer}_response",
            "name": self.name,
            "id": self.instance,
            "version": self.version,
            "metadata": dict(self.metadata),
        }

    def ping(self) -> dict[str, Any]:
        """The answer to `$SRV.PING`."""
        return self._base("ping")

    def info(self) -> dict[str, Any]:
        """The answer to `$SRV.INFO`."""
        listed: list[dict[str, Any]] = [
            {"name": e.name, "subject": e.subject, "queue_group": e.queue, "metadata": {}} for e in self.endpoints
        ]
        return self._base("info") | {"description": self.description, "endpoints": listed}

    def stats(self) -> dict[str, Any]:
        """The answer to `$SRV.STATS`."""
        listed = [
            {
                "name": e.name,
                "subject": e.subject,
                "queue_group": e.queue,
                "num_requests": e.requests,
                "num_errors": e.errors,
                "last_error": e.last_error,
                "processing_time": e.processing_time,
                "average_processing_time": e.processing_time // max(1, e.requests),
            }
            for e in self.endpoints
        ]
        return self._base("stats") | {"started": self.started, "endpoints": listed}


async def announce(bus: Bus, micro: Micro) -> list[Subscription]:
    """Answers PING, INFO and STATS for everybody, for this name, and for this instance."""
    subscriptions: list[Subscription] = []
    for verb, answer in (("PING", micro.ping), ("INFO", micro.info), ("STATS", micro.stats)):

        async def reply(message: Message, answer: Any = answer) -> None:
            if message.reply:
                await bus.publish(message.reply, json.dumps(answer()).encode())

        tails = ("", f".{micro.name}", f".{micro.name}.{micro.instance}")
        subscriptions += [await bus.subscribe(f"$SRV.{verb}{tail}", reply) for tail in tails]
    return subscriptions
