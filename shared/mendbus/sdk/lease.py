"""What agents that stand by for each other write for the others to read, and the clock they go by."""

import time
from dataclasses import dataclass

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import Refused


def boot_seconds() -> float:
    """Seconds since the machine started, those included in which it or this process slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Lease:
    """The last writing of the key. `holder`: key of an agent, empty when it was handed on to `to`."""

    sequence: int
    holder: str
    instance: str
    fence: int
    serving: bool
    to: str = ""

    def body(self) -> bytes:
        """As it is stored."""
        fields = ("holder", "instance", "fence", "serving", "to")
        return codec.pack({name: getattr(self, name) for name in fields})

    @classmethod
    def read(cls, message: StoredMessage) -> "Lease":
        """Raises `Refused`."""
        body = codec.unpack(message.body)
        texts = [str(body.get(name) or "") for name in ("holder", "instance", "to")]
        fence = body.get("fence")
        if not isinstance(fence, int):
            raise Refused("bad_lease", f"the lease {message.subject} has no fence")
        return cls(message.sequence, texts[0], texts[1], fence, body.get("serving") is True, texts[2])


@dataclass(frozen=True, slots=True)
class Member:
    """One who stands by; `heard`: when, in seconds since boot. `load`: per cent of a core."""

    healthy: bool
    load: float
    heard: float
