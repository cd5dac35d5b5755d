"""Which commands were begun on this machine and what came of them, on disk: a repeat of one is not done again."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from mendbus.contracts.messages import CommandResult

_BEGUN: Final = b"begun\n"
_KEPT_SECONDS: Final = 86_400.0
_PRUNE_SECONDS: Final = 600.0


class Claim:
    """A command that this process, and no other, is doing."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def finish(self, result: CommandResult) -> None:
        """Keeps the result. Raises `OSError`."""
        _ = os.write(self._descriptor, result.model_dump_json().encode() + b"\n")
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Lets go of it. Without a result it counts as interrupted from now on."""
        os.close(self._descriptor)


class CommandMemory:
    """Results of a day, one file a command, locked while it is done; replicas on one machine share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pruned = 0.0

    def begin(self, command_id: str) -> Claim | CommandResult | None:
        """A claim on a new command, the result of an old one, None while another process is doing it.

        One that was begun and whose end nobody saw is `failed`, `interrupted`: it may have had its effect, so it is not
        done again. Raises `OSError`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prune()
        descriptor = os.open(self._folder / command_id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = os.pread(descriptor, 1 << 16, 0)
            if not content:
                _ = os.write(descriptor, _BEGUN)
                os.fsync(descriptor)
                self._sync_folder()
                claim, descriptor = Claim(descriptor), -1
                return claim
        except BlockingIOError:
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        with contextlib.suppress(ValidationError):
            return CommandResult.model_validate_json(content.removeprefix(_BEGUN))
        detail = "it was begun before, and its end was not seen; it is not done again"
        return CommandResult(command_id=command_id, status="failed", code="interrupted", detail=detail)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prune(self) -> None:
        now = time.monotonic()
        if self._pruned and now < self._pruned + _PRUNE_SECONDS:
            return
        self._pruned = now
        oldest = time.time() - _KEPT_SECONDS
        for file in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < oldest:
                    file.unlink()
