"""The first published revision of the contract: its golden bytes, and the fields that it had."""

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from tests.contract.vectors import Vector, body_of

from mendbus import codec
from mendbus.contracts.subjects import MAX_SERVICE_BODY

FILE = Path(__file__).parents[1] / "contract" / "revision-1.json.xz"
"""Golden and tolerated vectors and the schemas as they were; never to be changed."""


@cache
def _first() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lzma.decompress(FILE.read_bytes()))
    return found


def vectors() -> list[Vector]:
    """Everything that writers of that time wrote, and that their readers took; `value` is what it meant to them."""
    first = _first()
    found = [
        Vector(message, entry["name"], body_of(entry), codec.unpack(body_of(entry), MAX_SERVICE_BODY))
        for message, entries in first["golden"].items()
        for entry in entries
    ]
    return found + [Vector(e["message"], e["name"], body_of(e), e["value"]) for e in first["tolerated"]]


@cache
def known() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By name, each message and each part of one: its schema, and the definitions that this refers to."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, schema in _first()["schemas"].items():
        parts: dict[str, Any] = schema.get("$defs", {})
        found[name] = schema, parts
        for part, inner in parts.items():
            found.setdefault(part, (inner, parts))
    return found


def as_known(name: str, value: Any) -> Any:
    """What was known of a message or part at that time: keys that came later are gone; all, if it came later itself."""
    if name not in known():
        return value
    schema, parts = known()[name]
    return _kept(value, schema, parts)


def _kept(value: Any, schema: dict[str, Any], parts: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _kept(value, parts[schema["$ref"].rsplit("/", 1)[1]], parts)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return _kept(value, _chosen(value, choices, parts), parts)
    if isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        return {key: _kept(inner, fields[key], parts) for key, inner in value.items() if key in fields}
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_kept(inner, schema["items"], parts) for inner in value]
    return value


def _chosen(value: Any, choices: list[dict[str, Any]], parts: dict[str, Any]) -> dict[str, Any]:
    whole = [parts[choice["$ref"].rsplit("/", 1)[1]] if "$ref" in choice else choice for choice in choices]
    if isinstance(value, dict):
        for choice in whole:
            said = choice.get("properties", {}).get("type", {}).get("const")
            if said is not None and said == value.get("type"):
                return choice
        return next((choice for choice in whole if choice.get("type") == "object"), {})
    return {}
