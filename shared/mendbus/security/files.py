"""Files of an installation: replaced as a whole, and still for whom they were for."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from mendbus.contracts.errors import CredentialsError

SECRET: Final = 0o600
KNOWN: Final = 0o644
_OTHERS: Final = 0o007


def is_open(file: Path) -> bool:
    """Whether everybody gets at a file, be it only to write it. Raises `OSError`."""
    return bool(file.stat().st_mode & _OTHERS)


def place(file: Path, text: str, mode: int = SECRET) -> None:
    """Writes a file, a new one with this mode; one that is replaced keeps its owner, its group and what they may.

    So whoever was let in by `chgrp` and `chmod` reads the next content too. Raises `CredentialsError`.
    """
    fresh = file.with_name(f".{file.name}.new")
    try:
        before = file.stat() if file.exists() else None
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as written:
            _ = written.write(text)
        if before is not None:
            _keep(fresh, before)
            kept = stat.S_IMODE(before.st_mode)
            fresh.chmod(kept & ~_OTHERS if mode == SECRET else kept)
        _ = fresh.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise CredentialsError(f"{file} is as it was, it cannot be replaced ({error})") from None


def _keep(fresh: Path, before: os.stat_result) -> None:
    """Gives a file to whom the former one belonged. Raises `OSError`."""
    made = fresh.stat()
    if (made.st_uid, made.st_gid) == (before.st_uid, before.st_gid):
        return
    try:
        os.chown(fresh, before.st_uid, before.st_gid)
    except PermissionError:
        # Only root gives files away; who is of the group may give them to that.
        try:
            os.chown(fresh, -1, before.st_gid)
        except PermissionError:
            raise PermissionError(f"only root and members of group {before.st_gid} may keep it there") from None
