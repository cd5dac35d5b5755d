"""`mendbus nats-config`: the users of an installation, their keys and rights, and what the server reads of them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mendbus.cli.connect import running, settings_of
from mendbus.cli.options import AsJson, DataDir, Root
from mendbus.cli.output import document, say, table

if TYPE_CHECKING:
    from mendbus.security.installation import Installation

Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="Where users and keys are kept. [DATA_DIR/secure]")
]
UserName = Annotated[str, typer.Argument(metavar="USER", help="service/NAME, agent/KIND/ID or operator/NAME.")]


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Users of the NATS server: make, list, rotate, export.")
    for command in (init, add, show, rotate, switch, retire, remove, certificate, export):
        group.command(command.__name__)(command)
    return group


def init(
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="NAME", help="A name or address of the server; repeat it.")
    ] = None,
    folder: Folder = None,
    root: Root = None,
    data_dir: DataDir = None,
) -> None:
    """Make an authority, a server certificate, the five services, operator/admin and operator/dashboard."""
    from mendbus.security.installation import LOCAL, Installation

    settings = settings_of(None, root, data_dir)
    made = Installation.create(folder or settings.data_dir / "secure", settings.subjects, [*LOCAL, *(host or ())])
    say(f"{len(made.users)} users in {made.folder}; keep it secret: it holds all keys\n{_hint(made)}")


def add(
    user: UserName,
    level: Annotated[str, typer.Option("--level", help="Of operators: viewer, operator or admin.")] = "viewer",
    standby_for: Annotated[
        str, typer.Option("--standby-for", metavar="KIND/ID", help="The agent of whose standby group it is.")
    ] = "",
    folder: Folder = None,
    data_dir: DataDir = None,
) -> None:
    """Make a user with credentials of its own."""
    from mendbus.security.roles import LEVELS

    found = _load(folder, data_dir)
    if level not in LEVELS:
        raise typer.BadParameter(f"{level!r} is no level: one of {', '.join(LEVELS)}")
    file = found.add(user, level, standby_for)
    found.render()
    say(f"{user}: give it {file}, {found.folder / 'ca.pem'} and {found.folder / 'keys.json'}")
    _reload(data_dir, found)


def show(folder: Folder = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List users with their keys and rights."""
    from mendbus.contracts.subjects import Subjects
    from mendbus.security.rights import rights_of

    found = _load(folder, data_dir)
    rights = {
        name: rights_of(name, Subjects(found.root), user.level, standby=user.standby)
        for name, user in found.users.items()
    }
    if as_json:
        document({name: right.permissions() for name, right in rights.items()})
        return
    rows = [
        (name, user.level if name.startswith("operator/") else "", ", ".join(key.kid for key in user.keys))
        for name, user in found.users.items()
    ]
    table(("user", "level", "keys"), rows)
    say("\n--json: what each may publish and subscribe to")


def rotate(user: UserName, folder: Folder = None, data_dir: DataDir = None) -> None:
    """First step of three: make a user's next key, accepted beside the present one."""
    _change(folder, data_dir, lambda found: found.rotate(user))
    say(f"spread keys.json, reload the server, then: mendbus nats-config switch {user}")


def switch(user: UserName, folder: Folder = None, data_dir: DataDir = None) -> None:
    """Second step: put the next key into the user's credentials file."""
    _change(folder, data_dir, lambda found: found.switch(user))
    say(f"spread the credentials of {user}, let it connect again, then: mendbus nats-config retire {user}")


def retire(user: UserName, folder: Folder = None, data_dir: DataDir = None) -> None:
    """Third step: end every key but the one in the user's credentials file."""
    _change(folder, data_dir, lambda found: found.retire(user))


def remove(user: UserName, folder: Folder = None, data_dir: DataDir = None) -> None:
    """End a user and all its keys."""
    _change(folder, data_dir, lambda found: found.remove(user))


def certificate(
    host: Annotated[list[str], typer.Option("--host", metavar="NAME", help="Names and addresses of the server.")],
    folder: Folder = None,
    data_dir: DataDir = None,
) -> None:
    """Make the server's next certificate, by the same authority; like the first it holds on this machine too."""
    from mendbus.security.authority import make_certificate
    from mendbus.security.installation import LOCAL

    _change(folder, data_dir, lambda found: make_certificate(found.folder, [*LOCAL, *host]))


def export(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are written.")],
    folder: Folder = None,
    data_dir: DataDir = None,
) -> None:
    """Write an override for docker compose and Secrets for Kubernetes."""
    from mendbus.security.exporting import write

    for file in write(_load(folder, data_dir), target):
        say(str(file))


def _load(folder: Path | None, data_dir: str | None) -> "Installation":
    from mendbus.security.installation import Installation

    return Installation.load(folder or settings_of(data_dir=data_dir).data_dir / "secure")


def _change(folder: Path | None, data_dir: str | None, change: "Callable[[Installation], None]") -> None:
    found = _load(folder, data_dir)
    change(found)
    found.render()
    _reload(data_dir, found)


def _reload(data_dir: str | None, found: "Installation") -> None:
    """Has the server of a running `mendbus up --secure` read its users again."""
    settings = settings_of(data_dir=data_dir)
    state = running(settings.data_dir)
    pids = {} if state is None else cast("dict[str, int]", state.get("pids", {}))
    pid = pids.get("nats-server")
    if pid is not None and found.folder.absolute() == (settings.data_dir / "secure").absolute():
        os.kill(pid, signal.SIGHUP)
        say("the server has read it")
    else:
        say(_hint(found))


def _hint(found: "Installation") -> str:
    return f"the server reads {found.folder / 'nats-secure.conf'}; after a change: nats-server --signal reload"
