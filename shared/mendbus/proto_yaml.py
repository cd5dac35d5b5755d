"""Writes YAML, the little of it that a generated document needs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_.()/;'-]+)*", re.ASCII)
_WORDS_OF_YAML: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)


def _lines(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        items = [(f"{_scalar(key)}:", inner) for key, inner in cast("Mapping[str, object]", value).items()]
    else:
        items = [("-", inner) for inner in cast("Sequence[object]", value)]
    for mark, inner in items:
        if not isinstance(inner, Mapping | list) or not inner:
            yield f"{indent}{mark} {_scalar(cast('object', inner))}"
        elif mark == "-":
            first, *rest = _lines(cast("object", inner), f"{indent}  ")
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}{mark}"
            yield from _lines(cast("object", inner), f"{indent}  ")


def to_yaml(value: dict[str, Any]) -> str:
    """YAML in block style; what could be read as anything but text stands in JSON's quotes."""
    return "\n".join(_lines(value, "")) + "\n"
