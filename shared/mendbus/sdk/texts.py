"""Text for the wire: its limits, in bytes of UTF-8, and what cuts it to them."""

from typing import Final

SHORT: Final = 256
DETAIL: Final = 1024
MESSAGE: Final = 8 * 1024
STACK: Final = 16 * 1024
_CUT_MARK: Final = "... (the beginning is cut)\n"


def cut(text: str, limit: int) -> str:
    """Text of at most `limit` bytes of UTF-8; what no encoding can carry becomes `?`."""
    if len(text) <= limit and text.isascii():
        return text
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def cut_front(text: str, limit: int) -> str:
    """The end of a text that is too long, with a mark before it."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return _CUT_MARK + data[-(limit - len(_CUT_MARK)) :].decode("utf-8", "ignore")


def type_name(kind: type[BaseException]) -> str:
    """The name of an exception's type: with its module, unless it is built in."""
    module = kind.__module__
    return cut(kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}", SHORT)


def message_of(error: BaseException) -> str:
    """What an exception says, cut; never raises."""
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its message cannot be had: {broken!r})"
    return cut(text, MESSAGE)
