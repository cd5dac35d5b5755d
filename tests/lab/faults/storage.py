"""Faults of what is stored: no room for it, or it is not what was written."""

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.lab.faults import Case, Fault
from tests.lab.kinds import ORDER

_STATE = {
    "versioning": "index.json",
    "build_pipeline": "manifest.json",
    "runtime": "loaded.json",
    "shader_pipeline": "built.json",
    "developer_tools": "seen.json",
    "orchestrator": "cycles.json",
}
_BALLAST = "state/.ballast"
_CAP_SYS_ADMIN = 21
_DISK_MEGABYTES = 8


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:\t")[2].split()[0], 16) >> _CAP_SYS_ADMIN & 1)


async def _site(case: Case) -> Path:
    return case.member.folder / str((await case.member.ask("status"))["site"])


# -- no room


async def _limit(case: Case) -> None:
    _ = await case.member.inside("inside_process.fill", limit=int(case.number("bytes")))


async def _fill(case: Case) -> None:
    """Puts the site on a disk of its own, and fills that to the last byte."""
    await asyncio.to_thread(_mount, await _site(case))


def _mount(site: Path) -> None:
    aside = site.with_name("aside")
    shutil.copytree(site, aside)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m", "tmpfs", str(site)], check=True)
    shutil.copytree(aside, site, dirs_exist_ok=True)
    shutil.rmtree(aside)
    with (site / _BALLAST).open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


async def _make_room(case: Case) -> None:
    for site in ("a", "b"):
        await asyncio.to_thread(_unmount, case.member.folder / site)


def _unmount(site: Path) -> None:
    """What was on the disk stays, where it was before."""
    if not site.is_mount():
        return
    (site / _BALLAST).unlink(missing_ok=True)
    aside = site.with_name("aside")
    shutil.copytree(site, aside)
    subprocess.run(["umount", "--lazy", str(site)], check=True)
    shutil.copytree(aside, site, dirs_exist_ok=True)
    shutil.rmtree(aside)


# -- not what was written


def _spoil(case: Case, path: Path) -> None:
    content = path.read_bytes() if path.exists() else b"{}"
    middle = len(content) // 2
    spoilt = {
        "truncated": content[:middle],
        "emptied": b"",
        "scrambled": content[: middle // 2] + case.chance.randbytes(middle + 8) + content[middle + middle // 2 :],
    }
    # Another file of that name: what the other site shares with this one stays whole.
    fresh = path.with_name(f".{path.name}.spoilt")
    fresh.write_bytes(spoilt[str(case.parameters["how"])])
    fresh.replace(path)


async def _corrupt_state(case: Case) -> None:
    _spoil(case, await _site(case) / "state" / _STATE[case.member.kind])


async def _tear(case: Case) -> None:
    path = await _site(case) / "state" / _STATE[case.member.kind]
    worker = await case.member.worker()
    # Nobody may write it again in between.
    os.kill(worker, signal.SIGSTOP)
    _spoil(case, path)
    os.kill(worker, signal.SIGKILL)


async def _corrupt_objects(case: Case) -> None:
    """Spoils the objects of so large a share of what is current, all next to one another."""
    state = await _site(case) / "state"
    current = json.loads((state / _STATE[case.member.kind]).read_text())
    digests = [digest for _, digest in sorted((current.get("names") or current).items())]
    count = max(1, round(len(digests) * case.number("share")))
    first = case.chance.randrange(len(digests))
    for number in range(first, first + count):
        _spoil(case, state / "objects" / digests[number % len(digests)])


_HOW = ("truncated", "scrambled", "emptied")

STORAGE = (
    Fault(
        "file_too_large",
        "No file that the worker writes may grow beyond a few bytes: what it would store, it cannot. Reading goes on; "
        "those notice who take a change through.",
        "storage",
        ("versioning", "build_pipeline", "runtime", "orchestrator"),
        _limit,
        {"bytes": (0, 16)},
        feels=("orchestrator",),
        notices_seconds=8.0,
    ),
    *(
        Fault(
            "disk_full",
            "The disk on which the agent's first site is, is full to the last byte. Reading goes on; those notice who "
            "take a change through.",
            "storage",
            ("versioning", "build_pipeline", "runtime", "orchestrator"),
            _fill,
            end=_make_room,
            feels=("orchestrator",),
            notices_seconds=8.0,
        )
        for _ in range(may_mount())
    ),
    Fault(
        "corrupted_state",
        "A file of the agent's state, read for each request, is not what was written.",
        "storage",
        ("versioning", "build_pipeline"),
        _corrupt_state,
        {"how": _HOW},
    ),
    Fault(
        "torn_write",
        "The worker process is killed while it writes its state, and leaves a file that is not what it should be.",
        "storage",
        ORDER,
        _tear,
        {"how": _HOW},
    ),
    Fault(
        "corrupted_objects",
        "Content on the agent's first site is not what was written; the other site has it whole.",
        "storage",
        ("versioning", "shader_pipeline"),
        _corrupt_objects,
        {"how": _HOW, "share": (0.3, 1.0)},
    ),
)
