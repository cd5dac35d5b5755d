"""Who may read and who may order: the names a request may be addressed to, its origin, and the token. Pure."""

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from mendbus.http import Unfit

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every answer: nothing is loaded from elsewhere, nothing inline runs, nobody frames the page."""

_LOCAL_NAMES: Final = frozenset(("localhost", "127.0.0.1", "::1"))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Decides for one server. `host` is where it is bound; `names` are other names it may be reached by."""

    def __init__(self, host: str, names: str, token: str) -> None:
        self.loopback = is_loopback(host)
        self._names = {name.strip().lower() for name in names.split(",") if name.strip()} | {host.lower()}
        self._token = token
        self.why_off = "" if token else "MENDBUS_DASHBOARD_TOKEN is not set"
        """Why nothing can be ordered; empty: it can."""

    def admit(self, headers: Mapping[str, str]) -> None:
        """Refuses what is addressed to another name: a name elsewhere that leads here (DNS rebinding). Raises `Unfit`.

        An address in numbers cannot be such a name.
        """
        name = host_of(headers.get("host", ""))
        if name in _LOCAL_NAMES or name in self._names:
            return
        try:
            ipaddress.ip_address(name)
        except ValueError:
            raise Unfit(
                403, f"this server does not go by the name {name[:80]!r}: add it to MENDBUS_DASHBOARD_NAMES if it does"
            ) from None

    def knows(self, headers: Mapping[str, str]) -> bool | None:
        """Whether the token sent is the right one; None: none was sent."""
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        expected = self._token.encode()
        return bool(expected) and hmac.compare_digest(said.strip().encode("latin-1"), expected)

    def may_read(self, headers: Mapping[str, str]) -> None:
        """On loopback everybody may, elsewhere those with the token; no other site's page. Raises `Unfit`.

        Such a page could not see the answer, but it could have whole streams read.
        """
        if _from_elsewhere(headers):
            raise Unfit(403, "this is shown to this server's own page, not to another site")
        if self.loopback:
            return
        if not self._token:
            raise Unfit(403, f"nothing is shown beyond loopback without a token: {self.why_off}")
        if not self.knows(headers):
            raise Unfit(401, _which_token(self.knows(headers)))

    def may_order(self, headers: Mapping[str, str]) -> None:
        """Those with the token, from this server's own pages. Raises `Unfit`."""
        if self.why_off:
            raise Unfit(403, f"actions are off: {self.why_off}")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
            raise Unfit(403, f"orders are taken from this server's own page, not from {origin[:80]!r}")
        if _from_elsewhere(headers):
            raise Unfit(403, "orders are taken from this server's own page, not from another site")
        if not self.knows(headers):
            raise Unfit(401, _which_token(self.knows(headers)))


def host_of(value: str) -> str:
    """The name or address in a Host header, without its port and brackets, in small letters."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.rpartition(":")[0] if value.count(":") == 1 else value


def _from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page sends this."""
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def _which_token(known: bool | None) -> str:
    problem = "a token is needed" if known is None else "the token is wrong"
    return f"{problem}: open the address that `mendbus up` printed, or send Authorization: Bearer TOKEN"
