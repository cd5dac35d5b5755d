"""Options that several commands share, and how their values are read."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, TypeVar

import typer

from mendbus.asking import text
from mendbus.cli.connect import settings_of
from mendbus.contracts.ids import is_token

if TYPE_CHECKING:
    from mendbus.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

NatsUrl = Annotated[str | None, typer.Option("--nats-url", metavar="URL", help="Address of the NATS server.")]
Root = Annotated[str | None, typer.Option("--root", metavar="ROOT", help="First tokens of all subjects.")]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="Data folder of `mendbus up`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
Since = Annotated[str, typer.Option("--since", metavar="AGO", help="Look back so far, such as 90s, 30m, 1h, 7d.")]

_REACH: Final = {"nats_url": NatsUrl, "root": Root, "data_dir": DataDir}


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


def agent_of(name: str) -> tuple[str, str]:
    """Kind and id from `KIND/ID`. Raises `typer.BadParameter`."""
    kind, _, agent = name.partition("/")
    if not (is_token(kind) and is_token(agent)):
        raise typer.BadParameter(f"{name!r} is no agent: KIND/ID is expected, each 1 to 64 of A-Z a-z 0-9 _ -")
    return kind, agent


def seconds_of(length: str) -> float:
    """A length of time in seconds from text such as `90s`, `30m`, `1h` or `7d`. Raises `typer.BadParameter`."""
    return _read(text.seconds_of, length)


def moment_of(when: str, now: int) -> int:
    """Nanoseconds since 1970 from `7d` (ago) or an RFC 3339 time (UTC where it says nothing else).

    Raises `typer.BadParameter`.
    """
    return _read(text.moment_of, when, now)


def _read(how: "Callable[P, T]", *words: P.args, **named: P.kwargs) -> "T":
    try:
        return how(*words, **named)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
