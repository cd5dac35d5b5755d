"""Dead letters that are sent again."""

import pytest

from mendbus.asking import dead
from mendbus.asking.dead import Letter
from mendbus.asking.errors import Declined
from mendbus.bus import Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.subjects import Subjects


def letter(subject: str = "plain", size: int = 1) -> Letter:
    return Letter(3, 0, "classifier", "bad_json", "no JSON", subject, size, {"k": "v"}, b"\xc1")


async def test_a_plain_message_is_heard_once_more() -> None:
    """Whoever answers it is no stream, which is no failure, nor is it that nobody notes it: that is said."""
    bus = MemoryServer().connect("test")
    heard: list[tuple[bytes, str | None]] = []

    async def hear(message: Message) -> None:
        heard.append((message.body, message.headers.get("k")))
        if message.reply:
            await bus.publish(message.reply, b"")

    await bus.subscribe("plain", hear)
    sent = await dead.send(bus, Subjects(), letter())
    assert "strategy-selector" in sent.pop("unnoted")
    assert sent == {"subject": "plain", "bytes": 1, "sequence": None}
    assert heard == [(b"\xc1", "v")]
    await bus.close()


@pytest.mark.parametrize("one", [letter(size=2), letter("")])
def test_what_is_not_whole_is_not_sent(one: Letter) -> None:
    """A letter that was cut, or does not say where it went."""
    with pytest.raises(Declined, match="dead letter 3"):
        dead.sendable(one)
