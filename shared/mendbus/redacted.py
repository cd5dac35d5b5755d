"""An error without what is secret in it: what an agent sends, and what the first service that keeps it writes down."""

from collections.abc import Mapping
from typing import Any, Final

from mendbus.contracts.messages import ErrorReported
from mendbus.redaction import DEFAULT, Redaction, redact, redact_values

# Bytes of UTF-8 that the contract allows for each.
_MESSAGE: Final = 8 * 1024
_STACK: Final = 16 * 1024
_DETAIL: Final = 1024


def redact_error(error: ErrorReported, rules: Redaction = DEFAULT) -> ErrorReported:
    """The error with its message, stack, causes and attributes redacted; the same object where nothing was found.

    Type and places in the code stay, since errors are grouped by them; so do operation and ids: they are addresses.
    """
    said = error.exception
    message = redact_text(said.message, _MESSAGE, rules)
    stack = None if said.stacktrace is None else redact_text(said.stacktrace, _STACK, rules)
    causes = [redact_text(cause.message, _MESSAGE, rules) for cause in said.causes]
    attributes = redact_values(error.attributes, rules)
    before = [cause.message for cause in said.causes]
    if (message, stack, causes, attributes) == (said.message, said.stacktrace, before, error.attributes):
        return error
    told = [cause.model_copy(update={"message": text}) for cause, text in zip(said.causes, causes, strict=True)]
    exception = said.model_copy(update={"message": message, "stacktrace": stack, "causes": told})
    return error.model_copy(update={"exception": exception, "attributes": attributes})


def redact_exception(exception: Mapping[str, Any], rules: Redaction) -> dict[str, Any]:
    """The same for the map of an exception that an agent is about to send."""
    return {
        **exception,
        "message": redact_text(exception["message"], _MESSAGE, rules),
        "stacktrace": redact_text(exception["stacktrace"], _STACK, rules),
        "causes": [
            {**cause, "message": redact_text(cause["message"], _MESSAGE, rules)} for cause in exception["causes"]
        ],
    }


def redact_detail(detail: str | None, rules: Redaction = DEFAULT) -> str | None:
    """The same for what is said of a command, a probe or an attempt."""
    return None if detail is None else redact_text(detail, _DETAIL, rules)


def redact_text(text: str, limit: int, rules: Redaction = DEFAULT) -> str:
    """The text redacted, and still of at most `limit` bytes of UTF-8: a mark may be longer than what it hides."""
    clean = redact(text, rules)
    if len(clean) * 4 <= limit:
        return clean
    data = clean.encode("utf-8", "surrogatepass")
    return clean if len(data) <= limit else data[:limit].decode("utf-8", "ignore")
