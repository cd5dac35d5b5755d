"""An agent to look at, for the profile `agents` of docker-compose.yml: `python agent.py KIND ID`.

Its work fails now and then; most failures are gone when it is tried again, some only with the other mirror.
"""

import random
import signal
import sys
import threading
from contextlib import suppress

from mendbus import Agent

SECONDS_BETWEEN = 2.0
FAILS = 0.1
STAYS_BROKEN = 0.3


def main(kind: str, agent_id: str) -> None:
    """Works until SIGTERM."""
    stop, broken = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    agent = Agent(kind, agent_id)

    @agent.operation("fetch", probe=lambda: not broken.is_set())
    def fetch() -> None:
        if broken.is_set():
            raise ConnectionRefusedError("mirror-1: connection refused")
        if random.random() < FAILS:
            if random.random() < STAYS_BROKEN:
                broken.set()
            raise ConnectionResetError("mirror-1: connection reset by peer")

    @agent.fallback("fetch", "mirror-2", probe=lambda: True)
    def other_mirror() -> None:
        broken.clear()  # somebody repaired the first meanwhile

    with agent:
        agent.wait_ready(30)
        while not stop.wait(SECONDS_BETWEEN):
            # what fails is reported by then
            with suppress(ConnectionError):
                fetch()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
