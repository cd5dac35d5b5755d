"""Which installation a command talks to, and the connection to it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mendbus.whereabouts import STATE_FILE

if TYPE_CHECKING:
    from mendbus.bus import Bus
    from mendbus.settings import Settings

CONNECT_SECONDS = 2.0

T = TypeVar("T")


def running(data_dir: Path) -> dict[str, Any] | None:
    """What a `mendbus up` with this data folder says about itself, or None where none is running."""
    try:
        state = cast("dict[str, Any]", json.loads((data_dir / STATE_FILE).read_bytes()))
        with contextlib.suppress(PermissionError):  # it runs as somebody else
            os.kill(int(state["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state


def settings_of(nats_url: str | None = None, root: str | None = None, data_dir: str | None = None) -> "Settings":
    """Settings from options, then the environment, then the `mendbus up` that runs with the data folder.

    Raises `SettingsError`.
    """
    from mendbus.settings import from_environment

    settings = from_environment(nats_url=nats_url, root=root, data_dir=data_dir)
    if nats_url is None and "NATS_URL" not in os.environ:
        state = running(settings.data_dir)
        if state is not None:
            reach: dict[str, Any] = {
                "nats_url": state["url"],
                "monitor_url": settings.monitor_url or state["monitor_url"],
            }
            secured = cast("dict[str, str] | None", state.get("secured"))
            if secured is not None and settings.nats_credentials is None:
                reach |= {name: Path(file) for name, file in secured.items()}
            settings = settings.model_copy(update=reach)
    return settings


@contextlib.asynccontextmanager
async def connected(settings: "Settings") -> "AsyncGenerator[Bus]":
    """A connection for the length of a block. Raises `BusError` when there is no server, or it has no streams."""
    import mendbus.bus.nats as nats_bus
    from mendbus.contracts.errors import BusError, NoResponders
    from mendbus.security.access import access
    from mendbus.security.credentials import ADMIN

    bus = await nats_bus.connect(
        settings.nats_url, name="mendbus-cli", connect_timeout=CONNECT_SECONDS, access=access(settings, ADMIN)
    )
    try:
        yield bus
    except NoResponders as error:
        raise BusError(
            f"{error}: {settings.nats_url} has no streams of {settings.root}, which services create when they start; "
            "`mendbus doctor` says what is missing"
        ) from None
    finally:
        with contextlib.suppress(BusError, TimeoutError):
            await asyncio.wait_for(bus.close(), CONNECT_SECONDS)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs the asynchronous part of a command."""
    return asyncio.run(work)
