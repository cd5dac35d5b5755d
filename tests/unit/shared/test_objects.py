"""Objects whose last message gets no answer: whether it was stored is not known."""

from collections.abc import Mapping
from unittest.mock import patch

import pytest

from mendbus import streams
from mendbus.bus import objects
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusTimeout, ObjectBroken
from mendbus.contracts.subjects import Subjects

SUBJECTS = Subjects()
BUCKET = SUBJECTS.bucket("snapshots")


class _Deaf(MemoryServer):
    """Loses answers that a test does not want to arrive."""

    lost = False

    def tell(
        self, to: str, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        # The second word about the bucket is the one on the meta message; the first is on the only chunk.
        if self.lost and b'"seq"' in data:
            self._words = getattr(self, "_words", 0) + 1
            if self._words > 1:
                return
        super().tell(to, subject, data, headers, reply)


async def test_an_object_stored_without_an_answer_stays_whole() -> None:
    """A put that times out on its last message may have succeeded, so the content must not be taken away."""
    server = _Deaf()
    bus = server.connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    await bus.put_object(BUCKET, "x", b"before")
    server.lost = True
    with patch.object(objects, "_PUT_SECONDS", 0.1), pytest.raises(BusTimeout):
        await bus.put_object(BUCKET, "x", b"after")
    server.lost = False
    found = await bus.get_object(BUCKET, "x")
    assert found is not None
    assert found[1] == b"after"
    await bus.close()


async def test_an_object_without_its_content_is_an_error_of_its_own() -> None:
    """Missing content is told apart from a bus that does not answer, and names the object."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    await bus.put_object(BUCKET, "x", b"content")
    await bus.purge(f"OBJ_{BUCKET}", 2)
    with pytest.raises(ObjectBroken, match="'x'"):
        await bus.get_object(BUCKET, "x")
    await bus.close()
