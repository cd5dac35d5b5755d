"""The part of JetStream that the bus uses, in memory: storing with all its conditions, and the API in JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Final, cast

from mendbus.bus.jetstream import API, Json, rfc3339, unix_nano
from mendbus.bus.memory_consumers import MemoryConsumer, Outlet
from mendbus.bus.memory_streams import MemoryStream, Record, Refusal
from mendbus.bus.wire import Arrival
from mendbus.contracts.subjects import HEADER_ID

_ACK: Final = "$JS.ACK."
_API_LEVEL: Final = 2


class MemoryJetStream:
    """Streams and consumers of one server in memory."""

    def __init__(self, outlet: Outlet, time_unix_nano: Callable[[], int]) -> None:
        self._outlet = outlet
        self._time_unix_nano = time_unix_nano
        self._streams: dict[str, MemoryStream] = {}
        self._consumers: dict[str, dict[str, MemoryConsumer]] = {}
        self._batches: dict[str, list[Arrival]] = {}

    def take(self, packet: Arrival) -> bool:
        """Stores, answers or notes what a client sent; whether it was meant for us."""
        if packet.subject.startswith(_ACK):
            _, _, stream, name, _, sequence, *_ = packet.subject.split(".")
            consumer = self._consumers.get(stream, {}).get(name)
            if consumer is not None:
                consumer.answered(int(sequence), packet.data)
            return consumer is not None
        if packet.subject.startswith(API):
            return self._api(packet)
        listening = [stream for stream in self._streams.values() if stream.listens(packet.subject)]
        for stream in listening:
            self._store(stream, packet)
        return bool(listening)

    # storing

    def _store(self, stream: MemoryStream, packet: Arrival) -> None:
        headers = packet.headers or {}
        batch = headers.get("Nats-Batch-Id")
        try:
            if batch is None:
                answer = self._store_one(stream, packet)
            elif "Nats-Batch-Commit" in headers:
                answer = self._store_batch(stream, batch, packet)
            else:
                self._batches.setdefault(batch, []).append(packet)
                return
        except Refusal as refusal:
            answer = {"error": _error(refusal), "stream": stream.name, "seq": 0}
        else:
            self._pump(stream.name)
        self._answer(packet, answer)

    def _store_one(self, stream: MemoryStream, packet: Arrival) -> Json:
        headers = packet.headers or {}
        # As the real server does: the expected sequence is looked at before the id.
        stream.check(packet.subject, packet.data, headers)
        known = stream.known(headers.get(HEADER_ID, ""))
        if known:
            return {"stream": stream.name, "seq": known, "duplicate": True}
        return {"stream": stream.name, "seq": stream.store(packet.subject, packet.data, headers)}

    def _store_batch(self, stream: MemoryStream, batch: str, last: Arrival) -> Json:
        packets = [*self._batches.pop(batch, []), last]
        if not stream.config.get("allow_atomic"):
            raise Refusal(10174, "atomic publish is disabled")
        if len(packets) != int((last.headers or {})["Nats-Batch-Sequence"]):
            raise Refusal(10176, "atomic publish batch is incomplete")
        if not all(stream.listens(packet.subject) for packet in packets):
            raise Refusal(10176, "atomic publish batch is incomplete")
        ids = [(packet.headers or {}).get(HEADER_ID, "") for packet in packets]
        named = [message_id for message_id in ids if message_id]
        if len(set(named)) < len(named) or any(stream.known(message_id) for message_id in named):
            raise Refusal(10201, "atomic publish batch contains duplicate message id")
        for packet in packets:
            stream.check(packet.subject, packet.data, packet.headers or {})
        sequence = 0
        for packet in packets:
            sequence = stream.store(packet.subject, packet.data, packet.headers or {})
        return {"stream": stream.name, "seq": sequence, "batch": batch, "count": len(packets)}

    def _pump(self, stream: str) -> None:
        consumers = self._consumers[stream]
        for name, consumer in list(consumers.items()):
            if consumer.gone:
                del consumers[name]
            else:
                consumer.pump()

    # the API

    def _api(self, packet: Arrival) -> bool:
        operation, _, rest = packet.subject.removeprefix(API).partition(".")
        kind, _, names = rest.partition(".")
        question = cast("Json", json.loads(packet.data)) if packet.data else {}
        if (operation, kind) == ("DIRECT", "GET"):
            return self._direct(packet, names, question)
        if operation == "CONSUMER" and kind == "MSG":
            return self._next(packet, names.removeprefix("NEXT."), question)
        handlers: dict[tuple[str, str], Callable[[str, Json], Json]] = {
            ("INFO", ""): lambda _, __: {"api": {"level": _API_LEVEL}},
            ("STREAM", "CREATE"): self._create_stream,
            ("STREAM", "UPDATE"): self._update_stream,
            ("STREAM", "INFO"): self._stream_info,
            ("STREAM", "NAMES"): lambda _, __: {"streams": list(self._streams), "total": len(self._streams)},
            ("STREAM", "PURGE"): self._purge_stream,
            ("CONSUMER", "CREATE"): self._create_consumer,
            ("CONSUMER", "INFO"): lambda name, _: self._consumer(name).info(),
            ("CONSUMER", "DELETE"): self._delete_consumer,
        }
        handler = handlers.get((operation, kind))
        if handler is None:
            return False
        try:
            self._answer(packet, handler(names, question))
        except Refusal as refusal:
            self._answer(packet, {"error": _error(refusal)})
        return True

    def _create_stream(self, name: str, config: Json) -> Json:
        found = self._streams.get(name)
        if found is not None and found.config != config:
            raise Refusal(10058, "stream name already in use with a different configuration")
        if config.get("persist_mode") == "async" and config.get("allow_atomic"):
            raise Refusal(10052, "async persist mode is not supported with atomic batch publish")
        if found is None:
            self._streams[name] = MemoryStream(config, self._time_unix_nano)
            self._consumers[name] = {}
        return self._stream_info(name, {})

    def _update_stream(self, name: str, config: Json) -> Json:
        stream = self._stream(name)
        if stream.config["storage"] != config["storage"]:
            raise Refusal(10052, "stream configuration update can not change storage type")
        stream.update(config)
        return self._stream_info(name, {})

    def _stream_info(self, name: str, question: Json) -> Json:
        stream = self._stream(name)
        state = stream.state()
        if "subjects_filter" in question:
            state["subjects"] = stream.counts(question["subjects_filter"])
        return {"config": stream.config, "state": state, "total": len(state.get("subjects", ()))}

    def _purge_stream(self, name: str, asked: Json) -> Json:
        return {"purged": self._stream(name).purge(asked.get("filter", ">"), asked.get("seq", 0))}

    def _create_consumer(self, names: str, question: Json) -> Json:
        stream, name = names.split(".")
        held = self._stream(stream)
        config: Json = question["config"]
        consumer = self._consumers[stream].get(name)
        if consumer is not None:
            consumer.update(config)
        else:
            consumer = self._consumers[stream][name] = MemoryConsumer(self._outlet, held, config)
        answer = consumer.info()
        consumer.pump()
        return answer

    def _delete_consumer(self, names: str, _: Json) -> Json:
        consumer = self._consumer(names)
        consumer.close()
        del self._consumers[names.split(".")[0]][consumer.name]
        return {"success": True}

    def _next(self, packet: Arrival, names: str, question: Json) -> bool:
        stream, _, name = names.partition(".")
        consumer = self._consumers.get(stream, {}).get(name)
        if consumer is not None:
            consumer.pull(packet.reply, question)
        return consumer is not None

    def _direct(self, packet: Arrival, names: str, question: Json) -> bool:
        name, _, subject = names.partition(".")
        stream = self._streams.get(name)
        if stream is None:
            return False
        if subject:
            record = stream.last(subject)
            if record is None:
                self._tell_status(packet, "404", {})
            else:
                self._tell_record(packet, stream, record)
            return True
        since = unix_nano(question["start_time"]) if "start_time" in question else 0
        found = list(stream.select(question["next_by_subj"], question.get("seq", 1), since))
        batch = found[: question["batch"]]
        for record in batch:
            self._tell_record(packet, stream, record)
        if found:
            self._tell_status(packet, "204", {"Nats-Num-Pending": str(len(found) - len(batch))})
        else:
            self._tell_status(packet, "404", {})
        return True

    def _tell_record(self, packet: Arrival, stream: MemoryStream, record: Record) -> None:
        headers = {
            **record.headers,
            "Nats-Stream": stream.name,
            "Nats-Subject": record.subject,
            "Nats-Sequence": str(record.sequence),
            "Nats-Time-Stamp": rfc3339(record.time_unix_nano),
        }
        self._outlet.tell(packet.reply, packet.reply, record.data, headers)

    def _tell_status(self, packet: Arrival, status: str, headers: Mapping[str, str]) -> None:
        self._outlet.tell(packet.reply, packet.reply, headers={"Status": status, **headers})

    def _answer(self, packet: Arrival, answer: Json) -> None:
        if packet.reply:
            self._outlet.tell(packet.reply, packet.reply, json.dumps(answer).encode())

    def _stream(self, name: str) -> MemoryStream:
        found = self._streams.get(name)
        if found is None:
            raise Refusal(10059, "stream not found")
        return found

    def _consumer(self, names: str) -> MemoryConsumer:
        stream, _, name = names.partition(".")
        _ = self._stream(stream)
        found = self._consumers[stream].get(name)
        if found is None:
            raise Refusal(10014, "consumer not found")
        return found


def _error(refusal: Refusal) -> Json:
    return {"code": 400, "err_code": refusal.code, "description": refusal.description}
