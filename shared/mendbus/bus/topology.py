"""Streams and consumers as they must be on the server: created, updated, or the difference said in words."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mendbus.bus import ConsumerSpec, StreamSpec
from mendbus.bus.jetstream import ApiError, Json, ask_api
from mendbus.bus.wire import Wire
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders

_log = logging.getLogger(__name__)

_TIMEOUT: Final = 10.0
_PAUSE_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 30.0
_UNSETTLED: Final = frozenset((10005, 10008))
"""No suitable servers for so many replicas; JetStream is temporarily unavailable."""
_API_LEVEL: Final = 2
"""Atomic batches and streams that persist asynchronously came with NATS 2.12, which is API level 2."""
_STREAM_NOT_FOUND: Final = 10059
_STREAM_EXISTS: Final = 10058
_NO_CLUSTER: Final = 10074
_CONSUMER_NOT_FOUND: Final = 10014
_NANO: Final = 1_000_000_000


async def ensure(wire: Wire, streams: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> list[str]:
    """See `Bus.ensure`. Raises `BusError` when the server is too old or has no JetStream.

    A cluster that elects a leader, or that misses the servers it needs, is given half a minute.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return await _ensure_all(wire, streams, consumers)
        except (ApiError, BusTimeout) as error:
            if (isinstance(error, ApiError) and error.code not in _UNSETTLED) or loop.time() > end:
                raise
            _log.warning("the streams cannot be seen to yet, trying again: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _ensure_all(wire: Wire, streams: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> list[str]:
    await _check_level(wire)
    drift: list[str] = []
    for stream in streams:
        drift += await _ensure_stream(wire, stream)
    for consumer in consumers:
        drift += await _ensure_consumer(wire, consumer)
    return drift


async def missing(wire: Wire, streams: Sequence[StreamSpec], timeout: float) -> list[str]:
    """See `Bus.missing`."""
    there: list[str] = []
    while True:
        page = await ask_api(wire, "STREAM.NAMES", {"offset": len(there)}, timeout=timeout)
        names: list[str] = page.get("streams") or []
        there += names
        if not names or len(there) >= page["total"]:
            return [spec.name for spec in streams if spec.name not in there]


async def _check_level(wire: Wire) -> None:
    try:
        info = await ask_api(wire, "INFO", timeout=_TIMEOUT)
    except (NoResponders, ApiError) as error:
        if isinstance(error, ApiError) and error.code in _UNSETTLED:
            raise
        msg = "the NATS server has no JetStream for this account: start it with -js, or give the account JetStream"
        raise BusError(msg) from None
    level = info.get("api", {}).get("level", 0)
    if level < _API_LEVEL:
        raise BusError(f"the NATS server is too old (JetStream API level {level}): 2.12 (level {_API_LEVEL}) is needed")


async def _ensure_stream(wire: Wire, spec: StreamSpec) -> list[str]:
    wanted = _stream_config(spec)
    found = await _found(wire, f"STREAM.INFO.{spec.name}", _STREAM_NOT_FOUND)
    if found is None:
        try:
            _ = await ask_api(wire, f"STREAM.CREATE.{spec.name}", wanted, timeout=_TIMEOUT)
        except ApiError as error:
            if error.code == _NO_CLUSTER:
                msg = (
                    f"stream {spec.name} shall be kept on {spec.replicas} servers, and this NATS server is in no "
                    "cluster (MENDBUS_STREAM_REPLICAS): set it to 1, or NATS_URL to the servers of a cluster"
                )
                raise BusError(msg) from None
            if error.code != _STREAM_EXISTS:
                raise
            # Another service was faster, with other settings.
            found = await _found(wire, f"STREAM.INFO.{spec.name}", _STREAM_NOT_FOUND)
    if found is None or not _differences(found, wanted):
        return []
    return await _update(wire, f"STREAM.UPDATE.{spec.name}", f"stream {spec.name}", found, wanted)


async def _ensure_consumer(wire: Wire, spec: ConsumerSpec) -> list[str]:
    wanted = _consumer_config(spec)
    path = f"{spec.stream}.{spec.name}"
    found = await _found(wire, f"CONSUMER.INFO.{path}", _CONSUMER_NOT_FOUND)
    if found is not None and not _differences(found, wanted):
        return []
    return await _update(
        wire, f"CONSUMER.CREATE.{path}", f"consumer {spec.name} of {spec.stream}", found or {}, wanted, spec.stream
    )


async def _found(wire: Wire, question: str, not_found: int) -> Json | None:
    try:
        return (await ask_api(wire, question, timeout=_TIMEOUT))["config"]
    except ApiError as error:
        if error.code != not_found:
            raise
        return None


async def _update(wire: Wire, question: str, name: str, found: Json, wanted: Json, stream: str = "") -> list[str]:
    """What is there with what is wanted laid over it, so that settings of others (replicas, placement) stay."""
    merged: Json = {**found, **wanted}
    if stream:
        merged = {"stream_name": stream, "config": merged}
    try:
        answer = await ask_api(wire, question, merged, timeout=_TIMEOUT)
    except ApiError as error:
        if not found:
            raise
        return [_sentence(name, _differences(found, wanted), error.description)]
    left = _differences(answer["config"], wanted)
    return [_sentence(name, left, "the server did not take the change")] if left else []


def _sentence(name: str, differences: Mapping[str, tuple[Any, Any]], why: str) -> str:
    facts = ", ".join(f"{key} is {there!r}, wanted {wanted!r}" for key, (there, wanted) in differences.items())
    return f"{name}: {facts} and cannot be changed: {why}"


def _differences(found: Json, wanted: Json) -> dict[str, tuple[Any, Any]]:
    """Settings that differ; one that the server leaves out has its zero value."""
    pairs = {key: (found.get(key), value) for key, value in wanted.items()}
    return {key: pair for key, pair in pairs.items() if (pair[0] or None) != (pair[1] or None)}


def _stream_config(spec: StreamSpec) -> Json:
    config: Json = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": spec.storage,
        "discard": spec.discard,
        "max_age": round(spec.max_age * _NANO),
        "max_bytes": spec.max_bytes,
        "max_msg_size": spec.max_msg_size,
        "duplicate_window": round(_window(spec) * _NANO),
        "allow_direct": True,
        "allow_atomic": spec.allow_atomic,
        "allow_rollup_hdrs": spec.allow_rollup,
        "allow_msg_ttl": spec.allow_ttl,
    }
    if spec.max_msgs_per_subject is not None:
        config |= {
            "max_msgs_per_subject": spec.max_msgs_per_subject,
            "discard_new_per_subject": spec.full_subject == "new",
        }
    if spec.persist_async:
        config["persist_mode"] = "async"
    if spec.replicas > 1:
        config["num_replicas"] = spec.replicas
    if spec.transform is not None:
        config["subject_transform"] = {"src": spec.transform[0], "dest": spec.transform[1]}
    return config


def _window(spec: StreamSpec) -> float:
    """The server refuses a window that is longer than messages are kept."""
    return min(spec.duplicate_window, spec.max_age) if spec.max_age > 0 else spec.duplicate_window


def _consumer_config(spec: ConsumerSpec) -> Json:
    return {
        "name": spec.name,
        "durable_name": spec.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "ack_wait": round(spec.ack_wait * _NANO),
        "max_ack_pending": spec.max_ack_pending,
        "max_deliver": -1,
        "filter_subjects": list(spec.filters),
    }


class Restoring:
    """Streams in memory end with their server: those that were ensured here are made anew when it comes back.

    Implements `Watcher`.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._streams: dict[str, StreamSpec] = {}
        self._consumers: dict[tuple[str, str], ConsumerSpec] = {}
        self._task: asyncio.Task[None] | None = None

    def remember(self, streams: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> None:
        """What has been ensured; only what is in memory matters."""
        self._streams |= {spec.name: spec for spec in streams if spec.storage == "memory"}
        self._consumers |= {(spec.stream, spec.name): spec for spec in consumers if spec.stream in self._streams}
        if self._streams:
            self._wire.watchers.add(self)

    async def reconnected(self) -> None:
        """See `Watcher`."""
        await self._end()
        self._task = asyncio.create_task(self._restore(), name="restore streams in memory")

    def closed(self, reason: str) -> None:
        """See `Watcher`."""
        if self._task is not None:
            _log.debug("streams in memory are not looked after any more: %s", reason)
            self._task.cancel()

    async def stop(self) -> None:
        """See `Watcher`."""
        self._wire.watchers.discard(self)
        await self._end()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            _ = await asyncio.wait((task,))

    async def _restore(self) -> None:
        while True:
            try:
                _ = await ensure(self._wire, list(self._streams.values()), list(self._consumers.values()))
            except BusError as error:
                # JetStream may be a moment later than the connection.
                _log.debug("streams in memory cannot be made yet: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
