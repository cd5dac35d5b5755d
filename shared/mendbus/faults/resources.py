"""Faults of what an operation needs of its host: room, memory, rights, a lock."""

import mmap
import tempfile
import threading
from pathlib import Path
from typing import Final

from mendbus.faults import OperationFault, Values

_FULL_DEVICE: Final = "/dev/full"
_MORE_THAN_THERE_IS: Final = 1 << 62
_POLL_SECONDS: Final = 0.05


def _disk_full(values: Values, over: threading.Event) -> None:
    with Path(_FULL_DEVICE).open("wb") as file:
        _ = file.write(bytes(4096))


def _permission(values: Values, over: threading.Event) -> None:
    with tempfile.TemporaryDirectory(prefix="data-") as folder:
        path = Path(folder) / "state"
        _ = path.write_bytes(b"x")
        path.chmod(0)
        with path.open("rb") as file:
            # Only somebody whom the file's mode does not bind gets here; a mapping beyond the open mode binds all.
            mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_WRITE).close()


def _memory(values: Values, over: threading.Event) -> None:
    # No address space has room for it, so that nothing is taken from anybody.
    _ = bytearray(_MORE_THAN_THERE_IS)


def _deadlock(values: Values, over: threading.Event) -> None:
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def hold(mine: threading.Lock, other: threading.Lock) -> None:
        with mine:
            _ = both.wait()
            while not over.is_set():
                if other.acquire(timeout=_POLL_SECONDS):
                    other.release()
                    return

    thread = threading.Thread(target=hold, args=(second, first), name="worker", daemon=True)
    thread.start()
    hold(first, second)
    thread.join()


RESOURCES: Final = (
    OperationFault(
        name="disk_full",
        description="Calls find no room on the device: a real write to /dev/full.",
        meet=_disk_full,
    ),
    OperationFault(
        name="permission_denied",
        description="Calls may not open a file that they need; it is a file of the fault's own.",
        meet=_permission,
    ),
    OperationFault(
        name="out_of_memory",
        description="Calls ask for more memory than any process can have, and are refused it.",
        meet=_memory,
    ),
    OperationFault(
        name="deadlock",
        description="Each call waits for a lock whose holder waits for the call's own, until the fault is over.",
        meet=_deadlock,
    ),
)
"""All of them, in the order of the catalogue."""
