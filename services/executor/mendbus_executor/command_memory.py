"""Which commands were begun on this machine and what came of them, on disk: a repeat of one is not done again."""

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from mendbus.contracts.messages import CommandResult, RecoveryCommand

_BEGUN: Final = b"begun\n"
_KEPT_SECONDS: Final = 86_400.0
_PRUNE_SECONDS: Final = 600.0
_LARGEST: Final = 1 << 16


class Claim:
    """A command that this process, and no other, is doing; no other command for the same agent is done meanwhile.

    `lock`: a descriptor; whoever inherits it keeps other commands off too, until it is closed there.
    """

    def __init__(self, lock: int, descriptor: int) -> None:
        self.lock = lock
        self._descriptor = descriptor

    def finish(self, result: CommandResult) -> None:
        """Keeps the result. Raises `OSError`."""
        _ = os.write(self._descriptor, result.model_dump_json().encode() + b"\n")
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Lets go of it. Without a result it counts as interrupted from now on."""
        os.close(self._descriptor)
        os.close(self.lock)


@dataclass(frozen=True, slots=True)
class Busy:
    """A command for this agent is under way in another process; `same`: it is the one that was asked for."""

    same: bool


class CommandMemory:
    """Results of a day, one file a command, and a locked file for each agent with the fence of its last command.

    Replicas on one machine share the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pruned = 0.0

    def begin(self, command: RecoveryCommand) -> Claim | CommandResult | Busy:
        """A claim on a new command, the result of an old one, `stale` for one that is older than the agent's last.

        One that was begun and whose end nobody saw is `failed`, `interrupted`: it may have had its effect, so it is not
        done again. Raises `OSError`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prune()
        file = self._folder / command.command_id
        known = _read(file)
        if (result := _result(known)) is not None:
            return result
        lock = os.open(self._folder / f"{command.agent.kind}.{command.agent.id}", _FLAGS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(lock).st_nlink:
                # It was pruned between its opening and its locking: others lock another file of the name.
                return Busy(same=False)
            claim = self._claim(command, file, lock)
            if isinstance(claim, Claim):
                lock = -1
            return claim
        except BlockingIOError:
            return Busy(same=bool(known))
        finally:
            if lock >= 0:
                os.close(lock)

    def _claim(self, command: RecoveryCommand, file: Path, lock: int) -> Claim | CommandResult:
        known, command_id = _read(file), command.command_id
        if known:
            detail = "it was begun before, and its end was not seen; it is not done again"
            interrupted = CommandResult(command_id=command_id, status="failed", code="interrupted", detail=detail)
            return _result(known) or interrupted
        with contextlib.suppress(ValueError):
            if (last := int(os.pread(lock, _LARGEST, 0))) > command.fence:
                detail = f"fence {command.fence} is lower than {last}, which was seen before"
                return CommandResult(command_id=command_id, status="stale", code="stale", detail=detail)
        _ = os.pwrite(lock, b"%20d" % command.fence, 0)
        os.fsync(lock)
        descriptor = os.open(file, _FLAGS | os.O_APPEND, 0o600)
        try:
            _ = os.write(descriptor, _BEGUN)
            os.fsync(descriptor)
            self._sync_folder()
        except OSError:
            os.close(descriptor)
            raise
        return Claim(lock, descriptor)

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


_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _result(content: bytes) -> CommandResult | None:
    with contextlib.suppress(ValidationError):
        return CommandResult.model_validate_json(content.removeprefix(_BEGUN))
    return None
