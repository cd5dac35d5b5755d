"""The life of a model in a running service: what is in use, what is in trial beside it, and who wins.

The service counts the trial, wherever it learns the truth. A model that shows lift is promoted; the one it replaced
goes on in trial, so that a loss turns it back.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from mendbus.contracts.errors import MendbusError
from mendbus.lift import Trial
from mendbus.modelstore import LOOK_SECONDS, ModelStore, moment

log = logging.getLogger("mendbus")

"""Time between two looks at what is to be used."""

SWITCH_SECONDS: Final = 0.0002
"""Time that a model being loaded may keep the interpreter from those who are asked meanwhile."""


class Loaded(Protocol):
    """A model that is loaded."""

    name: str

    def close(self) -> None:
        """Gives its memory back."""
        ...


M = TypeVar("M", bound=Loaded)


@dataclass
class Pair(Generic[M]):
    """The model in use and the one in trial, with what the trial has shown; `None` in use: none may be used."""

    used: M | None = None
    tried: M | None = None
    used_name: str | None = None
    tried_name: str | None = None
    trial: Trial | None = None

    def close(self) -> None:
        """Gives the memory of both back."""
        for model in (self.used, self.tried):
            if model is not None:
                model.close()
        self.used = self.tried = None


class Life(Generic[M]):
    """Follows the store: what is promoted there is used from the next request on; lift and loss are written there."""

    def __init__(
        self, store: ModelStore, pair: Pair[M], opened: Callable[[Path | None], M], now: Callable[[], int]
    ) -> None:
        """`now`: nanoseconds since 1970."""
        self._store = store
        self._pair = pair
        self._opened = opened
        self._now = now
        self._seen = 0

    async def follow(self) -> None:
        """Looks every `LOOK_SECONDS`, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Acts on the verdict of a trial, then loads what the store asks for; what is refused changes nothing."""
        try:
            self._judge()
            stamp = self._store.stamp()
            if stamp != self._seen:
                self._seen = stamp
                await self._load()
        except (MendbusError, OSError) as error:
            log.error("models: %s", error)

    def _judge(self) -> None:
        pair, trial = self._pair, self._pair.trial
        verdict = trial.verdict if trial else None
        if trial is None or verdict is None or pair.tried_name is None:
            return
        at = moment(self._now())
        counts = f"{trial.better} to {trial.worse} of {trial.asked}"
        if verdict == "lift":
            log.info("model %s is promoted: better than %s, %s", pair.tried_name, pair.used_name, counts)
            self._store.promote(pair.tried_name, at, f"trial: {counts}")
        else:
            log.info("the trial of model %s ends: worse than %s, %s", pair.tried_name, pair.used_name, counts)
            self._store.shadow(None, at, f"trial: {counts}")
        pair.trial = None

    async def _load(self) -> None:
        state = self._store.state()
        used, tried = self._pair.used, self._pair.tried
        names = {self._pair.used_name: used, self._pair.tried_name: tried}
        # Loading takes a tenth of a second: other requests are answered meanwhile.
        new_used = await self._get(state.active, names)
        new_tried = None if state.shadow is None else await self._get(state.shadow, names)
        self._pair.used, self._pair.used_name = new_used, state.active
        self._pair.tried, self._pair.tried_name = new_tried, state.shadow
        self._pair.trial = None if new_tried is None else Trial()
        for model in (used, tried):
            if model is not None and model not in (new_used, new_tried):
                model.close()

    async def _get(self, name: str, loaded: dict[str | None, M | None]) -> M:
        model = loaded.get(name)
        return model or await asyncio.to_thread(self._open, self._store.folder(name))

    def _open(self, folder: Path | None) -> M:
        """Opens a model in a thread that lets the loop's thread in often."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return self._opened(folder)
        finally:
            sys.setswitchinterval(before)
