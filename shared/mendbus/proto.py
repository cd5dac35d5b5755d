"""Generates `proto/`: the AsyncAPI document and the JSON Schemas, from the catalogue and the models.

`python -m mendbus.proto --write DIR` writes them, `--check DIR` names what is not current and exits with 1.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from mendbus.bus import StreamSpec
from mendbus.contracts.catalogue import FAMILIES, REFUSALS, Family, Role
from mendbus.contracts.fields import WireModel
from mendbus.contracts.subjects import CONTENT_TYPE, DEFAULT_ROOT, LANES, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import AGENT_KINDS, SERVICES, AlertSeverity, AlertState, Severity
from mendbus.proto_schemas import Json, models, schema
from mendbus.proto_yaml import to_yaml
from mendbus.streams import lane_consumer, streams

ASYNCAPI: Final = "asyncapi.yaml"
SCHEMAS: Final = "schemas"
_SUBJECTS: Final = Subjects()
_STREAM_BYTES: Final = 1 << 30
_TRACE_PATTERN: Final = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


def _ref(*steps: str) -> Json:
    return {"$ref": "#/" + "/".join(steps)}


def _headers(description: str, **more: Json) -> Json:
    text: Json = {"type": "string"}
    properties: Json = {
        "Content-Type": {"const": CONTENT_TYPE, "description": "absent means the same"},
        "traceparent": text | {"pattern": _TRACE_PATTERN, "description": "W3C Trace Context; read in any letter case"},
        "tracestate": text,
        "Mendbus-Signature": text
        | {"description": "Ed25519 over subject, id and body, in base64; where signatures are switched on"},
        "Mendbus-Key": text | {"description": "which key signed; optional"},
    }
    return {"type": "object", "description": description, "properties": properties | more}


def _header_schemas() -> Json:
    text: Json = {"type": "string"}
    stored = _headers(
        "Of a message that a stream keeps.", **{"Nats-Msg-Id": text | {"description": "repeats are dropped"}}
    )
    dead = _headers(
        "Those of the refused message, and why it was refused.",
        **{
            "Mendbus-Reason": text | {"description": "one sentence"},
            "Mendbus-Code": text | {"examples": sorted(REFUSALS)},
            "Mendbus-Subject": text | {"description": "where it was sent to, as its sender wrote it"},
            "Mendbus-Size": text | {"pattern": "^[0-9]+$", "description": "bytes before the body was cut at 64 KiB"},
            "Mendbus-Original-Id": text | {"description": "its Nats-Msg-Id"},
        },
    )
    reply = _headers(
        "Of an answer; a refusal has no body and the last two headers.",
        **{"Nats-Service-Error": text, "Nats-Service-Error-Code": text | {"examples": ["400", "500"]}},
    )
    return {
        "MessageHeaders": _headers("Of a message that goes to whoever listens now."),
        "StoredHeaders": stored | {"required": ["Nats-Msg-Id"]},
        "DeadHeaders": dead | {"required": ["Mendbus-Reason", "Mendbus-Code", "Mendbus-Subject", "Mendbus-Size"]},
        "ReplyHeaders": reply,
    }


def _parameters() -> Json:
    return {
        "kind": {"description": "the agent's kind: 1 to 64 of A-Z a-z 0-9 _ -", "examples": list(AGENT_KINDS)},
        "agent": {"description": "the agent's id, unique within its kind: 1 to 64 of A-Z a-z 0-9 _ -"},
        "severity": {"enum": [*_words(Severity), "unknown"], "description": "unknown when the agent does not say"},
        "alertSeverity": {"enum": [*_words(AlertSeverity)], "description": "the alert's severity"},
        "state": {"enum": [*_words(AlertState)], "description": "the alert's state"},
        "verb": {"description": "what the operator wants: 1 to 64 of A-Z a-z 0-9 _ -"},
        "partition": {
            "enum": [*map(str, range(PARTITIONS)), "control"],
            "description": "partition of the agents, or control for what operators did that names no agent",
        },
        "bundle": {"description": "0 to 31: the agents whose kind and id hash to it"},
        "service": {"enum": [*SERVICES], "description": "the service that refused"},
    }


def _words(literal: object) -> tuple[str, ...]:
    return cast("tuple[str, ...]", getattr(literal, "__args__"))  # noqa: B009 - Literal has no typed way


def _stream_facts(spec: StreamSpec) -> Json:
    facts: Json = {
        "stream": spec.name,
        "subjects": list(spec.subjects),
        "maxAgeSeconds": int(spec.max_age),
        "whenFull": "refuse the new" if spec.discard == "new" else "drop the oldest",
        "duplicateWindowSeconds": int(spec.duplicate_window),
        "atomicBatches": spec.allow_atomic,
        "acknowledgedWhenOnDisk": not spec.persist_async,
    }
    if spec.transform:
        facts["storedAs"] = spec.transform[1]
    return facts


def _channel(family: Family, specs: Mapping[str, StreamSpec]) -> Json:
    channel: Json = {"address": f"{DEFAULT_ROOT}.{family.address}", "summary": family.summary}
    name = family.body.__name__ if family.body else "DeadLetter"
    channel["messages"] = {name: _ref("components", "messages", name)}
    if family.parameters:
        chosen = {p: "alertSeverity" if (family.name, p) == ("alert", "severity") else p for p in family.parameters}
        channel["parameters"] = {p: _ref("components", "parameters", shared) for p, shared in chosen.items()}
    if family.stream:
        channel["x-nats"] = _stream_facts(specs[_SUBJECTS.stream(family.stream)])
        if family.id_header:
            channel["x-nats"]["Nats-Msg-Id"] = family.id_header
    return channel


def _operation(family: Family, role: Role, action: str) -> Json:
    name = family.body.__name__ if family.body else "DeadLetter"
    operation: Json = {
        "action": action,
        "channel": _ref("channels", family.name),
        "summary": family.summary,
        "tags": [{"name": role}],
        "messages": [_ref("channels", family.name, "messages", name)],
    }
    if family.reply:
        answers = f"{family.name}Reply"
        operation["reply"] = {
            "channel": _ref("channels", answers),
            "messages": [_ref("channels", answers, "messages", family.reply.__name__)],
        }
    if action == "receive" and family.queue:
        operation["bindings"] = {"nats": {"queue": family.queue, "bindingVersion": "0.1.0"}}
    if (role, action, family.name) == ("strategy-selector", "receive", "error"):
        consumers = [lane_consumer(_SUBJECTS, 0, lane) for lane in LANES]
        operation["x-nats"] = {
            "consumers": [c.name.replace("-0-", "-{partition}-") for c in consumers],
            "filters": [[f.replace(".0.", ".{partition}.") for f in c.filters] for c in consumers],
            "ackWaitSeconds": consumers[0].ack_wait,
            "maxAckPending": consumers[0].max_ack_pending,
        }
    return operation


def _message(name: str, headers: str, summary: str, limit: int) -> Json:
    return {
        "name": name,
        "summary": summary,
        "contentType": CONTENT_TYPE,
        "headers": _ref("components", "schemas", headers),
        "payload": {"$ref": f"./{SCHEMAS}/{name}.v1.json"},
        "x-max-body-bytes": limit,
    }


def _summary_of(model: type[WireModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _messages() -> Json:
    found: Json = {}
    for family in FAMILIES:
        headers = "StoredHeaders" if family.id_header else "MessageHeaders"
        if family.body:
            found[family.body.__name__] = _message(
                family.body.__name__, headers, _summary_of(family.body), family.limit
            )
        if family.reply:
            found[family.reply.__name__] = _message(
                family.reply.__name__, "ReplyHeaders", _summary_of(family.reply), family.reply_limit
            )
    found["DeadLetter"] = {
        "name": "DeadLetter",
        "summary": "The bytes of a refused message as they came, cut at 64 KiB.",
        "contentType": "application/octet-stream",
        "headers": _ref("components", "schemas", "DeadHeaders"),
        "payload": {"type": "string", "format": "binary"},
    }
    return found


def document() -> Json:
    """The AsyncAPI 3.0 document of all families, for the default root of subjects."""
    specs = {spec.name: spec for spec in streams(_SUBJECTS, _STREAM_BYTES)}
    channels: Json = {}
    operations: Json = {}
    for family in FAMILIES:
        channels[family.name] = _channel(family, specs)
        if family.reply:
            name = family.reply.__name__
            channels[f"{family.name}Reply"] = {
                "address": None,
                "summary": "The reply subject that the request carries.",
                "messages": {name: _ref("components", "messages", name)},
            }
        for action, roles in (("send", family.senders), ("receive", family.receivers)):
            for role in roles:
                operations[f"{role}.{action}.{family.name}"] = _operation(family, role, action)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Mendbus",
            "version": "1.0.0",
            "description": "Error recovery over NATS. The prose is in README.md beside this file; the root of all "
            f"subjects, {DEFAULT_ROOT}, is a setting.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "nats": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS 2.12 or newer with JetStream.",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": _messages(),
            "parameters": _parameters(),
            "schemas": _header_schemas(),
        },
    }


def files() -> dict[str, str]:
    """Path below `proto/` and content of each generated file."""
    note = "# Generated by `make proto` from the catalogue and the models: changes here are lost.\n"
    made = {ASYNCAPI: note + to_yaml(document())}
    for name, (model, limit) in models().items():
        made[f"{SCHEMAS}/{name}.v1.json"] = json.dumps(schema(model, limit), indent=2, ensure_ascii=False) + "\n"
    return made


def stale(folder: Path) -> list[str]:
    """Paths below the folder that are missing, differ from what is generated, or are generated no longer."""
    wanted = files()
    there = {path.relative_to(folder).as_posix() for path in folder.glob(f"{SCHEMAS}/*.json")}
    differing = {
        name
        for name, text in wanted.items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != text.encode()
    }
    return sorted(differing | (there - wanted.keys()))


def write(folder: Path) -> list[str]:
    """Brings the folder up to date; returns what changed."""
    wanted, changed = files(), stale(folder)
    for name in changed:
        path = folder / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[name].encode())
        else:
            path.unlink()
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mendbus.proto", description=__doc__)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--write", type=Path, metavar="DIR", help="write the files that are not current")
    chosen.add_argument("--check", type=Path, metavar="DIR", help="name the files that are not current")
    options = parser.parse_args(arguments)
    if options.write:
        for name in write(options.write):
            sys.stdout.write(f"wrote {name}\n")
        return 0
    outdated = stale(options.check)
    for name in outdated:
        sys.stderr.write(f"{name} is not current: run `make proto`\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
