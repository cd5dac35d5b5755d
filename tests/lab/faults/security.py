"""Faults of security: a credential runs out, a certificate is not to be trusted, a file may not be read or written."""

import shutil

from tests.lab.credentials import make_authority, make_certificate
from tests.lab.faults import Case, Fault
from tests.lab.world import SECURED, SITES

READ_AT_EVERY_REQUEST = {
    "versioning": "index.json",
    "build_pipeline": "manifest.json",
    "shader_pipeline": "objects",
}
"""What kinds read of their state at every request. (The orchestrator replaces its file at every cycle.)"""
_SITE = "a"


def show_token(case: Case, seconds: float) -> None:
    """Has the agent show a token on its first site that is good for so long from now. It is not told of it yet."""
    config = case.member.config(_SITE)
    token = case.world.keys.token(case.member.key, seconds)
    for upstream in config["upstreams"].values():
        upstream["token"] = token
    case.member.configure(_SITE, config)


async def _expire(case: Case) -> None:
    show_token(case, case.number("left"))
    await case.member.take_up()


async def _distrust(case: Case) -> None:
    keys = case.world.keys
    certificate = keys.folder / f"{SECURED[1]}-{_SITE}.pem"
    _ = shutil.copy(certificate, certificate.with_suffix(".before"))
    authority = "authority"
    if case.parameters["certificate"] == "stranger":
        authority = "stranger"
        _ = make_authority(keys.folder, authority)
    days = -1 if case.parameters["certificate"] == "expired" else 365
    host = "elsewhere.lab" if case.parameters["certificate"] == "other_host" else f"{SECURED[1]}.lab"
    make_certificate(keys.folder, authority, host, certificate, days)
    await case.world.members[SECURED[1]].take_up()


async def _trust(case: Case) -> None:
    certificate = case.world.keys.folder / f"{SECURED[1]}-{_SITE}.pem"
    _ = shutil.copy(certificate.with_suffix(".before"), certificate)
    await case.world.members[SECURED[1]].take_up()


async def _unreadable(case: Case) -> None:
    (case.member.folder / _SITE / "state" / READ_AT_EVERY_REQUEST[case.member.kind]).chmod(0)


async def _read_only(case: Case) -> None:
    (case.member.folder / _SITE / "state").chmod(0o555)


async def _permit(case: Case) -> None:
    for site in SITES:
        state = case.member.folder / site / "state"
        state.chmod(0o755)
        (state / "objects").chmod(0o755)


_READ_ONLY = "The folder with the agent's state becomes read-only: what it reads is there, what it writes is refused."

SECURITY = (
    Fault(
        "expired_credential",
        "The token that the agent shows to others on its first site expires; its other site has one of its own. Users "
        "of build_pipeline and runtime ask for nothing that needs it; those of the orchestrator do.",
        "security",
        ("shader_pipeline", "developer_tools", "orchestrator", "build_pipeline", "runtime"),
        _expire,
        {"left": (0.0, 3.0)},
        feels_of={"build_pipeline": ("orchestrator",), "runtime": ("orchestrator",)},
        notices_seconds=9.0,
    ),
    Fault(
        "untrusted_certificate",
        "What the agent asks over TLS presents, to its first site, a certificate that is not to be trusted: one of "
        "another authority, one that has expired, or one for another host.",
        "security",
        (SECURED[0],),
        _distrust,
        {"certificate": ("stranger", "expired", "other_host")},
        end=_trust,
    ),
    Fault(
        "permission_denied",
        "What the agent reads of its state at every request loses all its permissions (mode 000).",
        "security",
        tuple(READ_AT_EVERY_REQUEST),
        _unreadable,
        end=_permit,
    ),
    Fault(
        "read_only_state",
        f"{_READ_ONLY} Users of the orchestrator, whose cycles write to it, notice.",
        "security",
        ("versioning", "build_pipeline", "runtime", "orchestrator"),
        _read_only,
        end=_permit,
        feels=("orchestrator",),
    ),
)
