"""What the user of a connection may do on the server, as the server says it, against what the command line does."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from mendbus.contracts.patterns import covers, overlap
from mendbus.contracts.subjects import Subjects


class Rights(NamedTuple):
    """Who a connection is to the server, and what that user may do; without limits where None."""

    user: str
    publish: tuple[Sequence[str], Sequence[str]] | None
    """Patterns of subjects: allowed, and denied all the same."""
    subscribe: tuple[Sequence[str], Sequence[str]] | None


def read(answer: Mapping[str, Any]) -> Rights:
    """Rights out of the server's answer to `$SYS.REQ.USER.INFO`."""
    told = cast("Mapping[str, Any]", answer.get("data") or {})
    limits = cast("Mapping[str, Any]", told.get("permissions") or {})
    return Rights(str(told.get("user", "")), _patterns(limits.get("publish")), _patterns(limits.get("subscribe")))


def needed(subjects: Subjects) -> tuple[Sequence[str], Sequence[str]]:
    """What `mendbus` itself publishes to look, and what it listens to."""
    published = [subjects.control("status"), subjects.control("agents")]
    published += ["$JS.API.INFO", f"$JS.API.STREAM.INFO.{subjects.stream('ERRORS')}", "$SRV.PING.executor"]
    return published, [subjects.everyone("outcome"), subjects.everyone("status")]


def orders(subjects: Subjects) -> list[str]:
    """What `mendbus` publishes to order something: viewers need none of it."""
    return [subjects.control("pause"), subjects.control("approve")]


def only_looks(rights: Rights, subjects: Subjects) -> bool:
    """Whether the user may order nothing at all, as viewers."""
    return not any(_may(rights.publish, subject) for subject in orders(subjects))


def lacking(rights: Rights, subjects: Subjects) -> list[str]:
    """What the command line needs and this user may not, in words; orders too where it may give any."""
    published, heard = needed(subjects)
    wanted = [*published, *(() if only_looks(rights, subjects) else orders(subjects))]
    found = [f"may not publish {subject}" for subject in wanted if not _may(rights.publish, subject)]
    return found + [f"may not hear {subject}" for subject in heard if not _may(rights.subscribe, subject)]


def _patterns(told: object) -> tuple[Sequence[str], Sequence[str]] | None:
    if not isinstance(told, dict):
        return None
    limits = cast("dict[str, list[str] | None]", told)
    return limits.get("allow") or (), limits.get("deny") or ()


def _may(limits: tuple[Sequence[str], Sequence[str]] | None, subject: str) -> bool:
    if limits is None:
        return True
    allowed, denied = limits
    if any(overlap(pattern, subject) for pattern in denied):
        return False
    return not allowed or any(covers(pattern, subject) for pattern in allowed)
