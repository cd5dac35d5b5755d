"""The models of an installation: a folder for each, and which of them is in use, in trial, or was in use before.

`<root>/<service>/<model>/` holds a model; `<root>/<service>/state.json` says what is in use. The empty name is the
model that comes with the service's package.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from mendbus import models
from mendbus.contracts.errors import MendbusError

PACKAGED: Final = ""
"""Name of the model that comes with the package."""
LOOK_SECONDS: Final = 2.0
"""How often whoever uses models asks the store what is wanted."""
_STATE: Final = "state.json"
_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class State:
    """What is in use and what is in trial (None: nothing), and every change, the newest last."""

    active: str = PACKAGED
    shadow: str | None = None
    changes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


def moment(unix_nano: int) -> str:
    """How the store writes when something was changed; from nanoseconds since 1970."""
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).isoformat(timespec="seconds")


class ModelStore:
    """The models of one service below a root folder."""

    def __init__(self, root: Path, service: str) -> None:
        self._home = root / service
        self.service = service

    def stamp(self) -> int:
        """Changes whenever the state does; 0 where there is none. Cheap enough to be asked every second."""
        try:
            return (self._home / _STATE).stat().st_mtime_ns
        except OSError:
            return 0

    def state(self) -> State:
        """What is in use. Raises `MendbusError` where the file is damaged."""
        try:
            found = cast("dict[str, Any]", json.loads((self._home / _STATE).read_bytes()))
            return State(str(found["active"]), found["shadow"], list(found["changes"]))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MendbusError(f"{self._home / _STATE} cannot be read: {error!r}; remove it to start anew") from None

    def names(self) -> list[str]:
        """All models that are kept here."""
        if not self._home.is_dir():
            return []
        return sorted(path.name for path in self._home.iterdir() if (path / models.CARD).is_file())

    def folder(self, name: str) -> Path | None:
        """A model's folder; None for the packaged one. Raises `MendbusError` where there is no such model."""
        if name == PACKAGED:
            return None
        if name not in self.names():
            raise MendbusError(f"there is no model {name!r} of {self.service} below {self._home}")
        return self._home / name

    def add(self, folder: Path, now: str, by: str) -> str:
        """Takes a checked model in and puts it in trial; returns its name. Raises `ModelRefused`, `MendbusError`."""
        card, files = models.read_folder(folder)
        if card.service != self.service:
            raise MendbusError(f"{card.name} is a model of {card.service}, not of {self.service}")
        if card.name in self.names():
            raise MendbusError(f"there is a model {card.name!r} already: a new version needs a new name")
        draft = self._home / f".{card.name}"
        shutil.rmtree(draft, ignore_errors=True)
        models.write_folder(draft, card, files)
        draft.rename(self._home / card.name)
        self.shadow(card.name, now, by)
        return card.name

    def shadow(self, name: str | None, now: str, by: str) -> None:
        """Puts a model in trial beside the one in use, or ends the trial."""
        if name:
            self.folder(name)
        state = self.state()
        self._write(state, state.active, name, "trial" if name is not None else "trial ended", now, by)

    def promote(self, name: str, now: str, by: str) -> None:
        """Uses a model; the one used before goes on in trial, so that a loss is noticed."""
        self.folder(name)
        state = self.state()
        if name == state.active:
            raise MendbusError(f"{name or 'the packaged model'!r} is in use already")
        self._write(state, name, state.active, "promoted", now, by)

    def rollback(self, now: str, by: str) -> str:
        """Uses what was used before the last promotion; returns its name. Raises `MendbusError` where nothing was."""
        state = self.state()
        before = next((c["from"] for c in reversed(state.changes) if c["change"] == "promoted"), None)
        if before is None or before == state.active:
            raise MendbusError(f"no model of {self.service} was promoted, so that nothing can be rolled back")
        self._write(state, before, None, "rolled back", now, by)
        return before

    def _write(self, state: State, active: str, shadow: str | None, change: str, now: str, by: str) -> None:
        entry = {"at": now, "by": by, "change": change, "from": state.active, "to": shadow or active}
        if change != "trial":
            entry["to"] = active
        content = {"active": active, "shadow": shadow, "changes": [*state.changes, entry][-_KEPT:]}
        self._home.mkdir(parents=True, exist_ok=True)
        draft = self._home / f"{_STATE}.part"
        draft.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        os.replace(draft, self._home / _STATE)
