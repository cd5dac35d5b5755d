"""What controls bring into a worker process: work that looks like a failure and is none."""

import threading
import time
from typing import Any

_PAGE_BYTES = 4096


def hold(_worker: Any, megabytes: int, seconds: float) -> None:
    """Fills memory step by step, keeps it for as long again, and gives it back, as a large job does."""

    def work() -> None:
        held: list[bytearray] = []
        for _ in range(megabytes):
            block = bytearray(1 << 20)
            block[::_PAGE_BYTES] = b"x" * (len(block) // _PAGE_BYTES)
            held.append(block)
            time.sleep(seconds / 2 / megabytes)
        time.sleep(seconds / 2)

    threading.Thread(target=work, name="large job", daemon=True).start()
