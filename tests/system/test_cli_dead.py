"""`mendbus dead`: what was refused is listed, shown, and sent again as it was."""

from tests.system.commands import do, in_json, keep, mendbus

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.runtime import store_dead_letter
from mendbus.settings import Settings


def _bury(settings: Settings, subject: str, body: bytes) -> None:
    async def bury(bus: Bus) -> None:
        refused = Refused("invalid", "not a valid ErrorReported: id: Field required")
        headers = {"Content-Type": "application/vnd.msgpack", "Nats-Msg-Id": "e1", "Mendbus-Key": "k"}
        await store_dead_letter(bus, settings.subjects.dead("executor"), subject, body, headers, refused)

    do(settings, bury)


def test_dead_letters_are_listed_and_shown(settings: Settings) -> None:
    """A refused message is shown with its reason, its headers, and its body as far as it can be read."""
    assert "has no streams" in mendbus("dead", "list").stderr
    keep(settings)
    assert mendbus("dead", "list").stdout == "no dead letters\n"
    _bury(settings, "some.subject", codec.pack({"id": "x"}))
    _bury(settings, "some.subject", b"\xc1" * 2000)
    listed = in_json("dead", "list")
    assert [(one["sequence"], one["code"], one["subject"]) for one in listed] == [
        (1, "invalid", "some.subject"),
        (2, "invalid", "some.subject"),
    ]
    assert mendbus("dead", "list", "--limit", "1").stdout.splitlines()[1].split()[0] == "2"
    shown = mendbus("dead", "show", "1").stdout
    assert '"id": "x"' in shown
    assert "header   Mendbus-Key: k" in shown
    assert "Nats-Msg-Id" not in shown
    dump = mendbus("dead", "show", "2").stdout
    assert "000000  c1 c1" in dump
    assert "976 bytes more" in dump
    told = in_json("dead", "show", "2")
    assert (told["body"], told["body_hex"]) == (None, "c1" * 2000)
    assert mendbus("dead", "show", "3").exit_code == 1


def test_a_dead_letter_is_sent_again_as_it_was(settings: Settings) -> None:
    """What was to be stored is stored again, byte for byte, on the subject as its sender wrote it."""
    subject, body = settings.subjects.error("error", "runtime", "r1"), codec.pack({"id": "x"})
    _bury(settings, subject, body)
    assert mendbus("dead", "replay", "1").exit_code == 2
    told = in_json("dead", "replay", "1", "--yes")
    assert "strategy-selector" in told.pop("unnoted")
    assert told == {"subject": subject, "bytes": len(body), "sequence": 1}

    async def look(bus: Bus) -> list[tuple[str, bytes, str | None]]:
        stored = bus.read(settings.subjects.stream("ERRORS"), f"{settings.root}.errors.>")
        return [(one.subject.split(".", 3)[-1], one.body, one.headers.get("Mendbus-Key")) async for one in stored]

    assert [(body, key) for _, body, key in do(settings, look)] == [(body, "k")]


def test_a_dead_message_without_a_stream_is_sent_again_too(settings: Settings) -> None:
    """What was a plain message is published to whoever listens now."""
    _bury(settings, settings.subjects.health("runtime", "r1"), b"\xc1")
    assert mendbus("dead", "replay", "1", "--yes").stdout.startswith("sent to ")


def test_what_was_cut_is_not_sent_again(settings: Settings) -> None:
    """A body of which only the beginning was kept cannot be what its sender sent."""
    _bury(settings, "some.subject", b"x" * 70_000)
    shown = mendbus("dead", "replay", "1", "--yes")
    assert shown.exit_code == 1
    assert "65536 were kept" in shown.stderr
