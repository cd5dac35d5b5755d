"""The policy in force: read at the start, and again whenever its file changes."""

import asyncio
import logging
from pathlib import Path

from mendbus.contracts.errors import SettingsError
from mendbus.filestamp import Watched
from mendbus_strategy_selector.policy import Policy, load_policy

log = logging.getLogger("mendbus")

_LOOK_SECONDS = 1.0


class Policies:
    """Holds the current policy. Raises `SettingsError` when the first one is wrong; a later one is refused whole."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._watched = Watched(file)
        self.current: Policy = load_policy(file)
        self.problems: list[str] = []
        """What is wrong with the file as it is now, if it was refused."""

    async def watch(self) -> None:
        """Looks at the file every second, for ever."""
        while self._file is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Takes over a file that changed, or logs everything that is wrong with it and keeps the policy there is."""
        if not self._watched.changed():
            return
        try:
            policy = load_policy(self._file)
        except SettingsError as error:
            self.problems = error.problems
            log.error("the policy stays as it was (%s), the new one is refused: %s", self.current.digest, error)
            return
        self.problems = []
        if policy != self.current:
            log.info("the policy is %s now, it was %s", policy.digest, self.current.digest)
            self.current = policy
