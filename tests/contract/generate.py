"""Hypothesis strategies for valid messages, built from their JSON Schemas, and for bytes that are almost messages."""

from functools import cache
from typing import Any

import msgpack
from hypothesis import strategies as st

from mendbus.contracts.fields import INT64_MAX, INT64_MIN
from mendbus.proto_schemas import models, schema

TOKEN = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
    | st.integers(INT64_MIN, INT64_MAX)
    | FINITE
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
).filter(lambda value: _depth(value) <= 2)
"""Values of open maps; not deeper, since outcomes in journal records have no more levels left."""


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _fitting(limit: int) -> st.SearchStrategy[str]:
    return TEXT.filter(lambda text: len(text.encode()) <= limit)


def _node(node: dict[str, Any], defs: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in node:
        return _node(defs[node["$ref"].rsplit("/", 1)[1]], defs)
    if "const" in node:
        return st.just(node["const"])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if choices := node.get("anyOf") or node.get("oneOf"):
        return st.one_of([_node(choice, defs) for choice in choices])
    match node["type"]:
        case "string":
            if "pattern" in node:
                return TOKEN
            return _fitting(node.get("x-max-bytes", 1000))
        case "integer":
            return st.integers(node.get("minimum", INT64_MIN), node.get("maximum", INT64_MAX))
        case "number":
            return st.floats(node.get("minimum"), node.get("maximum"), allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "array":
            least = node.get("minItems", 0)
            most = max(least, min(3, node.get("maxItems", 3)))
            return st.lists(_node(node["items"], defs), min_size=least, max_size=most)
        case _:
            return _object(node, defs)


def _object(node: dict[str, Any], defs: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" in node:
        fields = {name: _node(inner, defs) for name, inner in node["properties"].items()}
        required = {name: fields.pop(name) for name in node.get("required", [])}
        return st.fixed_dictionaries(required, optional=fields)
    if patterns := node.get("patternProperties"):
        (inner,) = patterns.values()
        return st.dictionaries(TOKEN, _node(inner, defs), max_size=3)
    inner = node["additionalProperties"]
    return st.dictionaries(TEXT, PLAIN if inner is True else _node(inner, defs), max_size=3)


@cache
def values(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Decoded values of valid messages of that name."""
    made = schema(*models()[name])
    return _node(made, made.get("$defs", {}))


def near_msgpack() -> st.SearchStrategy[bytes]:
    """Bytes that are msgpack of anything, and bytes that nearly are."""
    anything = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.text(max_size=9)
        | st.binary(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=3) | st.binary(max_size=2) | st.integers(-40, 300), inner, max_size=4)
        ),
        max_leaves=25,
    )
    packed = anything.map(lambda value: bytes(msgpack.packb(value, unicode_errors="surrogatepass")))
    return packed | st.binary(max_size=60) | st.tuples(packed, st.binary(min_size=1, max_size=3)).map(b"".join)
