"""Options that several commands share, and how their values are read."""

import functools
import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from mendbus.cli.connect import settings_of
from mendbus.contracts.ids import is_token

if TYPE_CHECKING:
    from mendbus.settings import Settings

P = ParamSpec("P")

NatsUrl = Annotated[str | None, typer.Option("--nats-url", metavar="URL", help="Address of the NATS server.")]
Root = Annotated[str | None, typer.Option("--root", metavar="ROOT", help="First tokens of all subjects.")]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="Data folder of `mendbus up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Since = Annotated[str, typer.Option("--since", metavar="AGO", help="Look back so far, such as 90s, 30m, 1h, 7d.")]

_REACH: Final = {"nats_url": NatsUrl, "root": Root, "data_dir": DataDir}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def with_settings(command: "Callable[Concatenate[Settings, P], None]") -> Callable[..., None]:
    """Gives a command the options that say which installation is meant; it gets the settings that follow from them."""

    @functools.wraps(command)
    def reached(*, nats_url: str | None, root: str | None, data_dir: str | None, **own: Any) -> None:
        command(settings_of(nats_url, root, data_dir), **own)  # pyright: ignore[reportCallIssue]

    signature = inspect.signature(command)
    own = list(signature.parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _REACH.items()
    ]
    # What typer reads to know a command's options.
    reached.__signature__ = signature.replace(parameters=[*own, *added])  # pyright: ignore[reportAttributeAccessIssue]
    reached.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
    return reached


def agent_of(text: str) -> tuple[str, str]:
    """Kind and id from `KIND/ID`. Raises `typer.BadParameter`."""
    kind, _, agent = text.partition("/")
    if not (is_token(kind) and is_token(agent)):
        raise typer.BadParameter(f"{text!r} is no agent: KIND/ID is expected, each 1 to 64 of A-Z a-z 0-9 _ -")
    return kind, agent


def seconds_of(text: str) -> float:
    """A length of time in seconds from text such as `90s`, `30m`, `1h` or `7d`. Raises `typer.BadParameter`."""
    match = _AGO.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no length of time: a number and s, m, h or d, such as 30m")
    return float(match[1]) * _SECONDS[match[2]]


def moment_of(text: str, now: int) -> int:
    """Nanoseconds since 1970 from `7d` (ago) or an RFC 3339 time (UTC where it says nothing else).

    Raises `typer.BadParameter`.
    """
    if text[:4].isdecimal() and "-" in text:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no time: 2026-01-31T12:00:00Z is one") from None
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6) * 1000
    return now - int(seconds_of(text) * 1e9)
