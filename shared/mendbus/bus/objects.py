"""Object buckets in the layout of the NATS object store, so that its usual tools read them."""

import asyncio
import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

from mendbus.bus import ObjectInfo
from mendbus.bus.jetstream import Json, ask_api, last, rfc3339, store
from mendbus.bus.reading import direct_batch, read
from mendbus.bus.wire import Wire
from mendbus.contracts.errors import BusError, NoResponders, ObjectBroken, StoreRefused

_log = logging.getLogger(__name__)

_CHUNK: Final = 128 * 1024
_MANY_CHUNKS: Final = 4
"""From so many on a content is put together beside the loop."""
_WINDOW: Final = 32
"""Chunks that are stored at the same time."""
_PUT_SECONDS: Final = 10.0
_ROLLUP: Final = {"Nats-Rollup": "sub"}


def _stream(bucket: str) -> str:
    return f"OBJ_{bucket}"


def _meta_subject(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _chunk_subject(bucket: str, nuid: str) -> str:
    return f"$O.{bucket}.C.{nuid}"


async def put(wire: Wire, bucket: str, name: str, content: bytes, metadata: Mapping[str, str]) -> ObjectInfo:
    """See `Bus.put_object`. Until the meta message is stored, readers see what was there before."""
    before = await _meta(wire, bucket, name, _PUT_SECONDS)
    nuid = secrets.token_hex(11)
    try:
        await _put_chunks(wire, _chunk_subject(bucket, nuid), content)
    except BusError:
        await _forget_chunks(wire, bucket, nuid)
        raise
    meta = _meta_of(bucket, name, nuid, content, metadata)
    subject = _meta_subject(bucket, name)
    try:
        _ = await store(wire, subject, json.dumps(meta).encode(), _ROLLUP, "", None, None, _PUT_SECONDS)
    except (StoreRefused, NoResponders):
        await _forget_chunks(wire, bucket, nuid)
        raise
    # A meta message without an answer may have been stored: the chunks that it names must stay.
    if before is not None:
        await _forget_chunks(wire, bucket, before["nuid"])
    return _info(meta)


async def get(wire: Wire, bucket: str, name: str, timeout: float) -> tuple[ObjectInfo, bytes] | None:
    """See `Bus.get_object`."""
    meta = await _meta(wire, bucket, name, timeout)
    while meta is not None and not meta.get("deleted"):
        content = await _chunks(wire, bucket, meta, timeout)
        if content is not None:
            return _info(meta), content
        # Replaced while it was read: its chunks are gone, another meta message is there.
        again = await _meta(wire, bucket, name, timeout)
        if again is not None and again["nuid"] == meta["nuid"]:
            raise ObjectBroken(bucket, name)
        meta = again
    return None


async def listed(wire: Wire, bucket: str, timeout: float) -> list[ObjectInfo]:
    """See `Bus.list_objects`."""
    metas = [
        cast("Json", json.loads(message.body))
        async for message in read(wire, _stream(bucket), f"$O.{bucket}.M.>", 1, None, timeout)
    ]
    return [_info(meta) for meta in metas if not meta.get("deleted")]


async def delete(wire: Wire, bucket: str, name: str) -> None:
    """See `Bus.delete_object`. A mark stays, as the usual tools leave it."""
    meta = await _meta(wire, bucket, name, _PUT_SECONDS)
    if meta is None or meta.get("deleted"):
        return
    mark = {**meta, "deleted": True, "size": 0, "chunks": 0, "digest": ""}
    subject = _meta_subject(bucket, name)
    _ = await store(wire, subject, json.dumps(mark).encode(), _ROLLUP, "", None, None, _PUT_SECONDS)
    await _forget_chunks(wire, bucket, meta["nuid"])


async def _put_chunks(wire: Wire, subject: str, content: bytes) -> None:
    chunks = [content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK)]
    # Sent in the order of the list: each is written to the connection before the next task begins.
    for first in range(0, len(chunks), _WINDOW):
        try:
            async with asyncio.TaskGroup() as group:
                for chunk in chunks[first : first + _WINDOW]:
                    _ = group.create_task(store(wire, subject, chunk, None, "", None, None, _PUT_SECONDS))
        except* BusError as errors:
            raise _first(cast("BaseExceptionGroup[BaseException]", errors)) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error


async def _chunks(wire: Wire, bucket: str, meta: Json, timeout: float) -> bytes | None:
    """The content, or None when some of it is missing or it does not fit its digest."""
    wanted: int = meta.get("chunks", 0)
    subject = _chunk_subject(bucket, meta["nuid"])
    bodies: list[bytes] = []
    position = 1
    while len(bodies) < wanted:
        question: Json = {"seq": position, "next_by_subj": subject, "batch": wanted - len(bodies)}
        messages, _ = await direct_batch(wire, _stream(bucket), question, timeout)
        if not messages:
            return None
        bodies += (message.body for message in messages)
        position = messages[-1].sequence + 1
    digest: str | None = meta.get("digest")
    if len(bodies) < _MANY_CHUNKS:
        return _joined(bodies, digest)
    # It takes a millisecond and more, in which the loop answers others.
    return await asyncio.to_thread(_joined, bodies, digest)


def _joined(bodies: list[bytes], digest: str | None) -> bytes | None:
    content = b"".join(bodies)
    return content if _digest_text(hashlib.sha256(content).digest()) == digest else None


async def _forget_chunks(wire: Wire, bucket: str, nuid: str) -> None:
    question: Json = {"filter": _chunk_subject(bucket, nuid)}
    try:
        _ = await ask_api(wire, f"STREAM.PURGE.{_stream(bucket)}", question, timeout=_PUT_SECONDS)
    except BusError as error:
        # They take room until the stream is full or they are too old, and harm nobody.
        _log.warning("chunks that nobody needs stay in bucket %s: %s", bucket, error)


async def _meta(wire: Wire, bucket: str, name: str, timeout: float) -> Json | None:
    message = await last(wire, _stream(bucket), _meta_subject(bucket, name), timeout)
    return None if message is None else cast("Json", json.loads(message.body))


def _meta_of(bucket: str, name: str, nuid: str, content: bytes, metadata: Mapping[str, str]) -> Json:
    return {
        "name": name,
        "metadata": dict(metadata),
        "options": {"max_chunk_size": _CHUNK},
        "bucket": bucket,
        "nuid": nuid,
        "size": len(content),
        "mtime": rfc3339(round(datetime.now(UTC).timestamp() * 1_000_000_000)),
        "chunks": -(-len(content) // _CHUNK),
        "digest": _digest_text(hashlib.sha256(content).digest()),
    }


def _digest_text(digest: bytes) -> str:
    return f"SHA-256={base64.urlsafe_b64encode(digest).decode()}"


def _info(meta: Json) -> ObjectInfo:
    encoded: str = meta.get("digest", "").removeprefix("SHA-256=")
    return ObjectInfo(
        meta["name"], meta.get("size", 0), base64.urlsafe_b64decode(encoded).hex(), dict(meta.get("metadata") or {})
    )
