"""Takes away every source of chance that is not the seed's, for the length of a block."""

import itertools
import os
import random
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, tzinfo
from typing import Any
from unittest.mock import patch

from mendbus.bus import objects
from mendbus.bus.following import Following
from mendbus.bus.memory import MemoryListener
from mendbus.bus.pull import PullConsumption
from mendbus.bus.serving import Served


@contextmanager
def determined(seed: int, now: Callable[[], int]) -> Generator[None]:
    """Ids, tokens and the time of day come from the seed and from `now` (nanoseconds); sets have one order."""
    noise = random.Random(f"ids {seed}")
    with ExitStack() as stack:
        stack.enter_context(patch.object(os, "urandom", noise.randbytes))
        stack.enter_context(patch.object(secrets, "token_hex", lambda size=16: noise.randbytes(size).hex()))
        for name, of in (
            ("time_ns", now),
            ("perf_counter_ns", now),
            ("perf_counter", lambda: now() / 1e9),
            ("monotonic", lambda: now() / 1e9),
            ("time", lambda: now() / 1e9),
        ):
            stack.enter_context(patch.object(time, name, of))
        stack.enter_context(patch.object(objects, "datetime", _Datetime(now)))
        for kind in (MemoryListener, Served, PullConsumption, Following):
            stack.enter_context(_numbered(kind))
        yield


class _Datetime:
    """Stands for the class `datetime` where only `now` is used."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    def now(self, zone: tzinfo = UTC) -> datetime:
        return datetime.fromtimestamp(self._now() // 1000 / 1e6, zone)


@contextmanager
def _numbered(kind: type[Any]) -> Generator[None]:
    """Instances are hashed in the order of their making rather than by their address."""
    numbers = itertools.count()
    before = kind.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        self._number = next(numbers)
        before(self, *args, **kwargs)

    with patch.object(kind, "__init__", init), patch.object(kind, "__hash__", lambda self: self._number):
        yield
