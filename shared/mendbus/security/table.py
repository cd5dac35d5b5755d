"""Writes the table of rights into `SECURITY.md`: `python -m mendbus.security.table FILE`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mendbus.bus.jetstream import API
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.security.accounts import account_of
from mendbus.security.rights import Rights, rights_of
from mendbus.security.roles import LEVELS

BEGIN: Final = "<!-- rights: generated -->"
END: Final = "<!-- end of rights -->"


def document(text: str) -> str:
    """The text with the table as it is now. Raises `ValueError` where it has no place for it."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        msg = f"there is no {BEGIN} ... {END}"
        raise ValueError(msg)
    return f"{head}{BEGIN}\n{table()}{END}{tail}"


def table() -> str:
    """One row for each user: what it publishes and subscribes to, streams and inboxes in words."""
    subjects = Subjects()
    rows: list[tuple[str, Rights]] = [
        ("agent/KIND/ID", rights_of("agent/KIND/ID", subjects)),
        *((f"service/{service}", rights_of(f"service/{service}", subjects)) for service in SERVICES),
        *((f"operator/NAME, {level}", rights_of("operator/NAME", subjects, level)) for level in LEVELS),
    ]
    lines = ["| user | account | publishes | JetStream and buckets | hears |", "|---|---|---|---|---|"]
    for name, rights in rows:
        said = [subject for subject in rights.publish if subject.startswith(subjects.root)]
        stored = [subject for subject in rights.publish if subject.startswith("$") and not subject.startswith("$SRV")]
        heard = [subject for subject in rights.subscribe if subject.startswith(subjects.root)]
        cells = (
            _listed(said, subjects) + _without(rights, subjects),
            _uses(stored, subjects),
            _listed(heard, subjects),
        )
        lines.append(f"| {name} | {account_of(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _listed(found: Sequence[str], subjects: Subjects) -> str:
    return " ".join(f"`{subject.removeprefix(subjects.root + '.')}`" for subject in found) or "-"


def _without(rights: Rights, subjects: Subjects) -> str:
    denied = [subject for subject in rights.not_publish if subject.startswith(subjects.root)]
    return f" but not {_listed(denied, subjects)}" if denied else ""


def _uses(found: Sequence[str], subjects: Subjects) -> str:
    """API subjects as `what NAME`; that a state is looked at is left out: it is so of all services."""
    shown = {
        subject.removeprefix(API).replace(f"{subjects.prefix}_", "").replace(".owner-", " owner-")
        for subject in found
        if not subject.startswith(("$JS.API.STREAM.INFO", "$JS.API.STREAM.NAMES", "$JS.API.INFO", "$JS.ACK.*"))
    }
    owned = {one for one in shown if " owner-" in one}
    if owned:
        shown = (shown - owned) | {"CONSUMER.MSG.NEXT.ERRORS owner-*"}
    return " ".join(f"`{one}`" for one in sorted(shown)) or "-"


def main(arguments: Sequence[str]) -> int:
    """Writes the table into the file."""
    file = Path(arguments[0])
    _ = file.write_text(document(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
