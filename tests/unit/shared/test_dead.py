"""Dead letters that are sent again."""

import gc
from collections.abc import AsyncIterator
from typing import cast

import pytest

from mendbus import codec
from mendbus.asking import dead
from mendbus.asking.dead import Letter
from mendbus.asking.errors import Declined
from mendbus.bus import Bus, Message, StoredMessage
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.subjects import Subjects
from mendbus.redaction import Redaction


class Body(bytes):
    """Bytes that can be counted."""


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


async def test_the_newest_are_listed_and_no_other_is_held() -> None:
    """The newest last, without what the sender had sent; letters that have been passed are let go while it reads."""
    held: list[int] = []

    class Stream:
        async def read(self, stream: str, filter_: str) -> AsyncIterator[StoredMessage]:
            for number in range(1, 51):
                yield StoredMessage("mendbus.v1.dead.classifier", Body(bytes(64)), {}, number, number)
                held.append(sum(type(one) is Body for one in gc.get_objects()))

    rows = await dead.newest(cast("Bus", Stream()), Subjects(), 3)
    assert [row["sequence"] for row in rows] == [48, 49, 50]
    assert not {"body", "headers"} & rows[0].keys()
    assert max(held) <= 2


@pytest.mark.parametrize("one", [letter(size=2), letter("")])
def test_what_is_not_whole_is_not_sent(one: Letter) -> None:
    """A letter that was cut, or does not say where it went."""
    with pytest.raises(Declined, match="dead letter 3"):
        dead.sendable(one)


def test_what_people_are_shown_holds_no_secret() -> None:
    """Reason, headers and body are redacted; where the body can be read its bytes are not shown beside it."""
    said = codec.pack({"exception": {"message": "password=hunter22 wrong"}, "db_password": "hunter22", "n": 3})
    one = letter(size=2000)._replace(reason="no 'api_key=hunter22'", headers={"authorization": "hunter22"}, body=said)
    shown = one.shown(Redaction())
    assert "hunter22" not in str(shown)
    assert b"hunter22".hex() not in str(shown)
    assert (shown["body"]["n"], shown["kept"], shown["size"], shown["sequence"]) == (3, len(said), 2000, 3)
    broken = one._replace(body=said[:-1]).shown(Redaction())
    assert broken["body"] is None
    assert bytes.fromhex(broken["body_hex"]).startswith(said[:20])
    assert b"hunter22".hex() not in broken["body_hex"]
    long = one._replace(body=codec.pack({"db_password": "hunter22" * 40, "said": "plain"})[:-1]).shown(Redaction())
    assert b"hunter22".hex() not in long["body_hex"]
    assert bytes.fromhex(long["body_hex"]).endswith(b"***\xa4said\xa5plai")
    assert "hunter22" in str(one.whole())
