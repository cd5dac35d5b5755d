"""What a warm standby does for an agent before there is one: its thread and, on that, its connection to NATS."""

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final

from mendbus.contracts.errors import BusError, MendbusError, SettingsError
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    AgentRef,
    CommandResult,
    HealthSample,
    HelloReply,
    PeerNotice,
    Probe,
    ProbeResult,
    RecoveryCommand,
)
from mendbus.sdk.loop import LoopThread
from mendbus.sdk.pauses import BackOff
from mendbus.security.access import access
from mendbus.settings import Settings, from_environment
from mendbus.telemetry import open_tracer

if TYPE_CHECKING:
    from mendbus.bus.nats import Early

_WAIT_SECONDS: Final = 2.0
_MODELS: Final = (
    AgentGoodbye,
    AgentHello,
    AgentRef,
    CommandResult,
    HealthSample,
    HelloReply,
    PeerNotice,
    Probe,
    ProbeResult,
    RecoveryCommand,
)
"""What an agent reads and writes in its first moments: each costs milliseconds when it is used for the first time."""


class Ahead:
    """A thread with an open connection that is silent: nothing is sent, nothing is listened to."""

    def __init__(self, settings: Settings) -> None:
        self.nats_url = settings.nats_url
        self._settings = settings
        self.thread = LoopThread()
        self._early: Early | None = None
        self._tried = threading.Event()

    def begin(self) -> None:
        """Starts the thread; returns when it is connected, or has not become so in two seconds and goes on trying."""
        self.thread.begin(self._connect)
        _ = self._tried.wait(_WAIT_SECONDS)

    async def _connect(self) -> None:
        import mendbus.bus.nats as nats_bus

        if self._settings.otlp_endpoint:
            # The first one loads the HTTP client and whatever describes this host; nothing is sent without a span.
            with contextlib.suppress(SettingsError):
                await open_tracer("standby", self._settings).close()
        named = self._settings.nats_credentials
        if named is not None and named.is_dir():
            # Whose credentials of all those it will need is not known yet: it connects when it knows.
            self._tried.set()
            return
        back_off = BackOff(0.1, 2.0)
        while self._early is None:
            try:
                self._early = await nats_bus.connect_early(
                    self.nats_url, name=f"standby {os.getpid()}", access=access(self._settings, "")
                )
            except BusError:
                await asyncio.sleep(back_off.next())
        self._tried.set()

    def connection(self) -> "Early | None":
        """The connection, once; None where there is none, or not now. On the thread."""
        early, self._early = self._early, None
        return early

    async def close(self) -> None:
        """Closes what was not taken. On the thread."""
        if self._early is not None:
            await self._early.close()


_ready: Ahead | None = None
"""What the first agent of this process takes: made by the launcher, which knows nothing of the agent to come."""


def build_models() -> None:
    """Has what an agent reads and writes ready, before there is any hurry."""
    for model in _MODELS:
        _ = model.model_rebuild()


def prepare() -> None:
    """Connects as the environment says; for the launcher of a standby. Does nothing where the settings are wrong."""
    for model in _MODELS:
        _ = model.model_rebuild()
    global _ready  # noqa: PLW0603
    try:
        _ready = Ahead(from_environment())
    except MendbusError:
        return
    _ready.begin()


def take(nats_url: str) -> Ahead | None:
    """What was prepared for this address, once; what was prepared for another is closed."""
    global _ready
    found, _ready = _ready, None
    if found is not None and found.nats_url != nats_url:
        found.thread.start("mendbus", found.close)
        return None
    return found
