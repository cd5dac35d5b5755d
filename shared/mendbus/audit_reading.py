"""Verifying the journal of a live server: what to ask it for, and where earlier heads come from."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from mendbus import codec
from mendbus.audit import BUCKET, ChainHead, Report, Retention, Verifier
from mendbus.bus import Bus
from mendbus.contracts.errors import BusError, MendbusError, NoResponders, Refused
from mendbus.contracts.subjects import Subjects

_ASK_SECONDS = 5.0
_LATE_TRIES = 5
_LATE_SECONDS = 0.2


async def verify(
    bus: Bus,
    subjects: Subjects,
    earlier: Sequence[ChainHead],
    now: Callable[[], int],
    *,
    chain: str | None = None,
    on_record: Callable[[int, Retention], None] = lambda sequence, retention: None,
) -> Report:
    """Reads the journal (of one chain, or all) and holds it against earlier heads and those published on the server.

    Raises `BusError`, `NoResponders` where there is no journal.
    """
    stream = subjects.stream("JOURNAL")
    heads = [head for head in (*earlier, *await published(bus, subjects)) if chain in (None, head.chain)]
    retention = await retention_of(bus, stream)
    verifier = Verifier(heads, retention, now(), whole_stream=chain is None)
    filter_ = subjects.everyone("journal") if chain is None else f"{subjects.root}.journal.{chain}"
    for again in range(_LATE_TRIES):
        if again:
            # A replica that answers reads may lag behind the leader, which said how far the stream goes.
            await asyncio.sleep(_LATE_SECONDS)
        async for message in bus.read(stream, filter_, start=verifier.sequence + 1):
            verifier.take(message)
            on_record(message.sequence, retention)
        if chain is not None or verifier.sequence >= retention.last_sequence:
            break
    return verifier.finish((await retention_of(bus, stream)).first_sequence)


async def retention_of(bus: Bus, stream: str) -> Retention:
    """What the server says of a stream. Raises `NoResponders` when there is none."""
    subject = f"$JS.API.STREAM.INFO.{stream}"
    answer = cast("dict[str, Any]", json.loads((await bus.request(subject, b"", timeout=_ASK_SECONDS)).body))
    if "config" not in answer:
        raise NoResponders(subject)
    config, state = cast("dict[str, Any]", answer["config"]), cast("dict[str, Any]", answer["state"])
    created = datetime.fromisoformat(answer["created"]) if answer.get("created") else None
    return Retention(
        created_unix_nano=int(created.timestamp() * 1e9) if created else 0,
        max_age_nano=config.get("max_age") or 0,
        bytes=state["bytes"],
        max_bytes=config.get("max_bytes", -1),
        first_sequence=max(1, state["first_seq"]),
        last_sequence=state["last_seq"],
    )


async def published(bus: Bus, subjects: Subjects) -> list[ChainHead]:
    """The heads that owners have published and the server still keeps; none where there is no bucket of them."""
    heads: list[ChainHead] = []
    try:
        async for message in bus.read(subjects.bucket_stream(BUCKET), subjects.key(BUCKET, ">")):
            try:
                heads.append(codec.decode(ChainHead, message.body))
            except Refused as refused:
                raise BusError(f"the published head {message.sequence} cannot be read: {refused}") from None
    except NoResponders:
        return []
    return heads


def load_heads(path: Path, root: str) -> list[ChainHead]:
    """Heads that `save_heads` kept. Raises `MendbusError` for another file, or that of another installation."""
    try:
        value = cast("dict[str, Any]", json.loads(path.read_bytes()))
        found, heads = value["root"], [ChainHead.model_validate(item) for item in value["heads"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise MendbusError(f"{path} holds no heads: {error}") from None
    if found != root:
        raise MendbusError(f"{path} holds heads of {found!r}, this is {root!r}")
    return heads


def save_heads(path: Path, root: str, heads: Sequence[ChainHead]) -> None:
    """Keeps heads in a file, replacing it at once or not at all. Raises `MendbusError`."""
    text = json.dumps({"root": root, "heads": [head.model_dump() for head in heads]}, indent=2)
    try:
        draft = path.with_name(f"{path.name}.part")
        draft.write_text(text + "\n", "utf-8")
        draft.replace(path)
    except OSError as error:
        raise MendbusError(f"the heads cannot be written to {path}: {error}") from None
