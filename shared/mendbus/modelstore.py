"""The models of an installation, kept on the server: which there are, and which is in use, in trial, or was before.

The object bucket `models` has each model under `<service>/<model>`, packed; the key-value bucket `promotions` has under
`<service>` what is in use, written only over what was read. The empty name is the model of the service's package.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from mendbus import models
from mendbus.bus import Bus
from mendbus.contracts.errors import MendbusError, WrongSequence
from mendbus.contracts.subjects import Subjects

PACKAGED: Final = ""
"""Name of the model that comes with the package."""
MODELS: Final = "models"
PROMOTIONS: Final = "promotions"
_KEPT: Final = 50


class Overtaken(MendbusError):
    """Somebody else has changed what is in use since it was read; nothing was written."""


@dataclass(frozen=True, slots=True)
class State:
    """What is in use and what is in trial (None: nothing), and every change, the newest last.

    `sequence` differs as soon as the state does; 0 where nobody has decided anything.
    """

    active: str = PACKAGED
    shadow: str | None = None
    changes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    sequence: int = 0


def moment(unix_nano: int) -> str:
    """How the store writes when something was changed; from nanoseconds since 1970."""
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).isoformat(timespec="seconds")


class ModelStore:
    """The models of one service. What changes them is given the state that it was decided on, else takes the newest.

    All of it raises `BusError` where the server does not answer, or does not allow it.
    """

    def __init__(self, bus: Bus, subjects: Subjects, service: str) -> None:
        self._bus = bus
        self._bucket = subjects.bucket(MODELS)
        self._states = subjects.bucket_stream(PROMOTIONS)
        self._key = subjects.key(PROMOTIONS, service)
        self.service = service

    async def state(self) -> State:
        """What is in use: one short question. Raises `MendbusError` where the key is damaged."""
        kept = await self._bus.last(self._states, self._key)
        if kept is None:
            return State()
        if not kept.body:
            return State(sequence=kept.sequence)  # somebody has deleted the key
        try:
            found = cast("dict[str, Any]", json.loads(kept.body))
            return State(str(found["active"]), found["shadow"], list(found["changes"]), kept.sequence)
        except (ValueError, KeyError, TypeError) as error:
            raise MendbusError(f"{self._key} cannot be read: {error!r}; delete this key to start anew") from None

    async def names(self) -> list[str]:
        """All models of the service that are kept."""
        return sorted(await self._digests())

    async def content(self, name: str) -> bytes | None:
        """A model, packed, for `models.read`; None for the packaged one. Raises `MendbusError` where there is none."""
        if name == PACKAGED:
            return None
        found = await self._bus.get_object(self._bucket, self._path(name))
        if found is None:
            raise self._unknown(name)
        return found[1]

    async def put(self, folder: Path) -> str:
        """Takes a checked model in; returns its name. Raises `ModelRefused`, `MendbusError`."""
        card, files = models.read_folder(folder)
        if card.service != self.service:
            raise MendbusError(f"{card.name} is a model of {card.service}, not of {self.service}")
        content = models.pack(card, files)
        kept = (await self._digests()).get(card.name)
        if kept is None:
            await self._bus.put_object(self._bucket, self._path(card.name), content)
        elif kept != models.digest(content):
            raise MendbusError(f"there is another model {card.name!r} already: a new version needs a new name")
        return card.name

    async def add(self, folder: Path, now: str, by: str) -> str:
        """Takes a checked model in and puts it in trial; returns its name. Raises `ModelRefused`, `MendbusError`."""
        name = await self.put(folder)
        _ = await self.shadow(name, now, by)
        return name

    async def shadow(self, name: str | None, now: str, by: str, state: State | None = None) -> State:
        """Puts a model in trial beside the one in use, or ends the trial. Raises `Overtaken`."""
        await self._check(name)
        state = state or await self.state()
        return await self._write(state, state.active, name, "trial" if name is not None else "trial ended", now, by)

    async def promote(self, name: str, now: str, by: str, state: State | None = None) -> State:
        """Uses a model; the one used before goes on in trial, so that a loss is noticed. Raises `Overtaken`."""
        await self._check(name)
        state = state or await self.state()
        if name == state.active:
            raise MendbusError(f"{name or 'the packaged model'!r} is in use already")
        return await self._write(state, name, state.active, "promoted", now, by)

    async def rollback(self, now: str, by: str) -> str:
        """Uses what was used before the last promotion; returns its name. Raises `MendbusError` where nothing was."""
        state = await self.state()
        before = next((c["from"] for c in reversed(state.changes) if c["change"] == "promoted"), None)
        if before is None or before == state.active:
            raise MendbusError(f"no model of {self.service} was promoted, so that nothing can be rolled back")
        _ = await self._write(state, before, None, "rolled back", now, by)
        return before

    async def _write(self, state: State, active: str, shadow: str | None, change: str, now: str, by: str) -> State:
        entry = {"at": now, "by": by, "change": change, "from": state.active, "to": shadow or active}
        if change != "trial":
            entry["to"] = active
        changes = [*state.changes, entry][-_KEPT:]
        body = json.dumps({"active": active, "shadow": shadow, "changes": changes}, indent=1).encode()
        try:
            stored = await self._bus.store(self._key, body, expected_last=state.sequence)
        except WrongSequence:
            raise Overtaken(
                f"somebody else changed the models of {self.service} at the same time, and nothing was done; look what "
                f"is in use now (mendbus models list --service {self.service})"
            ) from None
        return State(active, shadow, changes, stored.sequence)

    async def _digests(self) -> dict[str, str]:
        first = self._path("")
        return {
            info.name.removeprefix(first): info.sha256
            for info in await self._bus.list_objects(self._bucket)
            if info.name.startswith(first)
        }

    async def _check(self, name: str | None) -> None:
        if name and name not in await self._digests():
            raise self._unknown(name)

    def _path(self, name: str) -> str:
        return f"{self.service}/{name}"

    def _unknown(self, name: str) -> MendbusError:
        return MendbusError(f"there is no model {name!r} of {self.service} in the bucket {self._bucket}")
