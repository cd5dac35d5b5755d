"""Field types of the wire: text with a limit in bytes, times, tokens, finite numbers."""

import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mendbus.contracts.ids import TOKEN_MAX
from mendbus.contracts.vocabulary import CATEGORIES, Category

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MAX_NAMED: Final = 64
"""Most entries of a map of attributes or numbers."""
MAX_TIMEOUT_MS: Final = 3_600_000
"""Longest that a policy may let an attempt last."""


class WireModel(BaseModel):
    """A msgpack map on the wire: strict types, unknown keys ignored, nothing that is not finite."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, allow_inf_nan=False, defer_build=True, protected_namespaces=()
    )


def _at_most(limit: int) -> Any:
    def check(text: str) -> str:
        # Encoding is skipped where no text of that many characters can be too long.
        if len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
            msg = f"longer than {limit} bytes of UTF-8"
            raise ValueError(msg)
        return text

    return AfterValidator(check)


def _finite(numbers: dict[str, float]) -> dict[str, float]:
    # One sum tells for all of them; where it overflows, the filter finds nothing to drop.
    if math.isfinite(sum(numbers.values())):
        return numbers
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) and math.isfinite(value) else value


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    rest: list[Any] = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            for key, inner in item.items():  # pyright: ignore[reportUnknownVariableType]
                if not isinstance(key, str):
                    msg = f"a key is a {type(key).__name__}, not text"  # pyright: ignore[reportUnknownArgumentType]
                    raise ValueError(msg)
                rest.append(inner)
        elif isinstance(item, list | tuple):
            rest.extend(item)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(item, float):
            if not math.isfinite(item):
                msg = "a number in it is not finite"
                raise ValueError(msg)
        elif isinstance(item, int):
            if not INT64_MIN <= item <= INT64_MAX:
                msg = "an integer in it does not fit 64 bits"
                raise ValueError(msg)
        elif not (item is None or isinstance(item, str)):
            msg = f"holds a {type(item).__name__}: only text, numbers, true, false, lists and maps may stand here"
            raise ValueError(msg)
    return value


def _known_category(value: Any) -> Any:
    return value if not isinstance(value, str) or value in CATEGORIES else "unknown"


Token = Annotated[str, Field(pattern=f"^[A-Za-z0-9_-]{{1,{TOKEN_MAX}}}$")]
UnixNano = Annotated[int, Field(ge=0, le=INT64_MAX)]
Millis = Annotated[int, Field(ge=0, le=INT64_MAX)]
TakenMillis = Annotated[int, Field(ge=0, le=INT64_MAX), BeforeValidator(_whole)]
"""How long something took. Measured as a fraction often enough, so a float is rounded, not refused."""
Count = Annotated[int, Field(ge=0, le=INT64_MAX)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
ShortText = Annotated[str, _at_most(256), Field(json_schema_extra={"x-max-bytes": 256})]
DetailText = Annotated[str, _at_most(1024), Field(json_schema_extra={"x-max-bytes": 1024})]
MessageText = Annotated[str, _at_most(8 * 1024), Field(json_schema_extra={"x-max-bytes": 8 * 1024})]
StackText = Annotated[str, _at_most(16 * 1024), Field(json_schema_extra={"x-max-bytes": 16 * 1024})]

Numbers = Annotated[
    dict[str, Annotated[float, Field(allow_inf_nan=True)]], Field(max_length=MAX_NAMED), AfterValidator(_finite)
]
"""Named numbers; one that is not finite is dropped, the rest stays."""
Attributes = Annotated[
    dict[str, str | Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] | float | bool], Field(max_length=MAX_NAMED)
]
"""What an agent says about a failure in its own words; an integer beyond 64 bits with sign is read as a float."""
OpenMap = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A map whose keys are not fixed here: text, finite numbers, 64-bit integers, true, false, lists and maps of them."""
ReadCategory = Annotated[Category, BeforeValidator(_known_category)]
"""A category; a word this version does not know is read as `unknown`."""
