"""Reads the golden vectors of `proto/vectors`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROTO = Path(__file__).parents[2] / "proto"


@dataclass(frozen=True)
class Vector:
    """One vector; `body` is what goes over the wire, `value` what it says, `code` why it is refused."""

    message: str
    name: str
    body: bytes
    value: dict[str, Any] | None = None
    code: str = ""
    subject: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.message}: {self.name}"


def body_of(entry: dict[str, Any]) -> bytes:
    """The bytes of an entry of a file of vectors."""
    body = bytes.fromhex(entry["hex"])
    if then := entry.get("then"):
        body += bytes.fromhex(then["hex"]) * then["times"] + bytes.fromhex(then.get("last", ""))
    return body


def _load(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((PROTO / "vectors" / name).read_text(encoding="utf-8"))
    return found


@cache
def golden() -> list[Vector]:
    """What every writer of ours writes, byte for byte."""
    return [
        Vector(path.name.removesuffix(".v1.json"), entry["name"], body_of(entry), entry["value"])
        for path in sorted((PROTO / "vectors").glob("*.v1.json"))
        for entry in _load(path.name)
    ]


@cache
def tolerated() -> list[Vector]:
    """What readers take although we would write it in another way; `value` is what we would write."""
    return [Vector(e["message"], e["name"], body_of(e), e["value"]) for e in _load("tolerated.json")]


@cache
def invalid() -> list[Vector]:
    """What readers refuse, with the code."""
    return [
        Vector(
            entry["message"],
            entry["name"],
            body_of(entry),
            code=entry["code"],
            subject=entry.get("subject", ""),
            headers=tuple(entry.get("headers", {}).items()),
        )
        for entry in _load("invalid.json")
    ]
