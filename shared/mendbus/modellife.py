"""The life of a model in a running service: what is in use, what is in trial beside it, and who wins.

The service counts the trial, wherever it learns the truth. A model that shows lift is promoted; the one it replaced
goes on in trial, so that a loss turns it back. Of several replicas that come to a verdict the first one's counts.
"""

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from mendbus.contracts.errors import MendbusError, ModelRefused
from mendbus.lift import Trial
from mendbus.modelstore import ModelStore, Overtaken, State, moment

log = logging.getLogger("mendbus")

LOOK_SECONDS: Final = 2.0
"""How often whoever uses models asks the store what is wanted."""
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


class Following(ABC):
    """Follows the store: what it asks for is loaded, and a verdict on what is loaded is written there."""

    def __init__(self, store: ModelStore, seen: int) -> None:
        """`seen`: the sequence of the state that is in effect already, -1 where none is."""
        self._store = store
        self._seen = seen
        self._told = ""

    async def follow(self) -> None:
        """Looks every `LOOK_SECONDS`, until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Acts on the verdict of a trial, then loads what the store asks for; what is refused changes nothing.

        A store out of reach is asked again at the next look, and told of once.
        """
        try:
            state = await self._store.state()
            if state.sequence == self._seen:
                decided = await self._judge(state)
                if decided is None:
                    self._told = ""
                    return
                state = decided
            try:
                await self._load(state)
            except ModelRefused as refused:
                log.error("models: %s", refused)
            self._seen, self._told = state.sequence, ""
        except Overtaken as overtaken:
            log.info("models: %s", overtaken)
        except MendbusError as error:
            if str(error) != self._told:
                log.error("models: %s; what is in use goes on", error)
            self._told = str(error)

    @abstractmethod
    async def _judge(self, state: State) -> State | None:
        """Writes the verdict of the trial of this state, if there is one; returns what is decided, None: nothing."""

    @abstractmethod
    async def _load(self, state: State) -> None:
        """Loads what a state asks for. Raises `ModelRefused`, and `MendbusError` for what may be there later."""


class Life(Following, Generic[M]):
    """What is promoted in the store is used from the next request on; lift and loss are written there."""

    def __init__(
        self, store: ModelStore, pair: Pair[M], opened: Callable[[bytes | None], M], now: Callable[[], int]
    ) -> None:
        """`opened`: loads a packed model, or that of the package. `now`: nanoseconds since 1970."""
        super().__init__(store, 0)
        self._pair = pair
        self._opened = opened
        self._now = now

    async def _judge(self, state: State) -> State | None:
        pair, trial = self._pair, self._pair.trial
        verdict = trial.verdict if trial else None
        if trial is None or verdict is None or state.shadow is None:
            return None
        if (pair.used_name, pair.tried_name) != (state.active, state.shadow):
            return None
        at = moment(self._now())
        counts = f"{trial.better} to {trial.worse} of {trial.asked}"
        if verdict == "lift":
            decided = await self._store.promote(state.shadow, at, f"trial: {counts}", state)
            log.info("model %s is promoted: better than %s, %s", _shown(state.shadow), _shown(state.active), counts)
        else:
            decided = await self._store.shadow(None, at, f"trial: {counts}", state)
            log.info(
                "the trial of model %s ends: worse than %s, %s", _shown(state.shadow), _shown(state.active), counts
            )
        return decided

    async def _load(self, state: State) -> None:
        pair, store = self._pair, self._store
        loaded = {pair.used_name: pair.used, pair.tried_name: pair.tried}
        wanted = (state.active,) if state.shadow is None else (state.active, state.shadow)
        # Nothing is opened before all of it is here: a store out of reach is asked again and again.
        contents = {name: await store.content(name) for name in wanted if loaded.get(name) is None}
        opened: dict[str | None, M] = {}
        try:
            for name, content in contents.items():
                # Loading takes a tenth of a second: other requests are answered meanwhile.
                opened[name] = await asyncio.to_thread(self._open, content)
        except BaseException:
            for model in opened.values():
                model.close()
            raise
        old = (pair.used, pair.tried)
        found = {**loaded, **opened}
        pair.used, pair.used_name = found[state.active], state.active
        pair.tried, pair.tried_name = found[state.shadow] if state.shadow is not None else None, state.shadow
        pair.trial = None if pair.tried is None else Trial()
        for model in old:
            if model is not None and model not in (pair.used, pair.tried):
                # Giving the memory of some thousand trees back takes its time too.
                await asyncio.to_thread(model.close)

    def _open(self, content: bytes | None) -> M:
        """Opens a model in a thread that lets the loop's thread in often."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return self._opened(content)
        finally:
            sys.setswitchinterval(before)


def _shown(name: str) -> str:
    return name or "packaged"
