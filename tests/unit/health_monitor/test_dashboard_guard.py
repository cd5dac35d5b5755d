"""Who may read and who may order in the dashboard."""

import pytest

from mendbus.http import Request, Unfit
from mendbus_health_monitor.dashboard.files import FOLDER, file
from mendbus_health_monitor.dashboard.guard import Guard, host_of

TOKEN = "sixteen-characters-long"
RIGHT = {"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:7701"}


def refused(act: object, *words: object) -> int:
    """The status with which it is refused; 0: it is not."""
    try:
        act(*words)  # pyright: ignore[reportCallIssue]
    except Unfit as unfit:
        return unfit.status
    return 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7701", 0),
        ("127.0.0.1", 0),
        ("[::1]:7701", 0),
        ("10.0.0.7:7701", 0),
        ("Board.Example:443", 0),
        ("rebound.example", 403),
        ("localhost.rebound.example:7701", 403),
        ("", 403),
    ],
)
def test_only_its_own_names_and_addresses_are_answered(host: str, status: int) -> None:
    """A name elsewhere that leads here is refused; addresses in numbers cannot be rebound."""
    assert refused(Guard("127.0.0.1", "board.example, other", "").admit, {"host": host}) == status


def test_a_host_is_read_without_its_port() -> None:
    """Brackets of an IPv6 address go too."""
    assert [host_of(text) for text in ("A:1", "a", "[::1]:2", "[fe80::1]", "::1")] == [
        "a",
        "a",
        "::1",
        "fe80::1",
        "::1",
    ]


def test_reading_needs_the_token_beyond_loopback() -> None:
    """On loopback everybody reads; elsewhere only those with the token, and nobody when there is none."""
    assert refused(Guard("127.0.0.1", "", TOKEN).may_read, {}) == 0
    assert refused(Guard("::1", "", "").may_read, {}) == 0
    beyond = Guard("0.0.0.0", "", TOKEN)
    assert refused(beyond.may_read, {}) == 401
    assert refused(beyond.may_read, RIGHT | {"authorization": "Bearer wrong"}) == 401
    assert refused(beyond.may_read, RIGHT) == 0
    assert refused(Guard("0.0.0.0", "", "").may_read, RIGHT) == 403


@pytest.mark.parametrize(("site", "status"), [("same-origin", 0), ("none", 0), ("same-site", 403), ("cross-site", 403)])
def test_other_sites_pages_have_nothing_read(site: str, status: int) -> None:
    """A picture or a link on any page an operator has open asks for nothing here, on loopback as elsewhere."""
    for host in ("127.0.0.1", "0.0.0.0"):
        assert refused(Guard(host, "", TOKEN).may_read, RIGHT | {"sec-fetch-site": site}) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (RIGHT, 0),
        (RIGHT | {"origin": "http://127.0.0.1:7701", "sec-fetch-site": "same-origin"}, 0),
        (RIGHT | {"origin": "http://127.0.0.1:7702"}, 403),
        (RIGHT | {"origin": "null"}, 403),
        (RIGHT | {"sec-fetch-site": "cross-site"}, 403),
        (RIGHT | {"authorization": f"Basic {TOKEN}"}, 401),
        (RIGHT | {"authorization": f"Bearer {TOKEN}x"}, 401),
        (RIGHT | {"authorization": "Bearer ä"}, 401),
        ({"host": "127.0.0.1:7701"}, 401),
    ],
)
def test_orders_need_the_token_and_the_own_page(headers: dict[str, str], status: int) -> None:
    """Another site's page, a wrong token and none are refused."""
    assert refused(Guard("127.0.0.1", "", TOKEN).may_order, headers) == status


def test_without_a_token_nothing_is_ordered() -> None:
    """It says why; what was sent is never right."""
    guard = Guard("127.0.0.1", "", "")
    assert "MENDBUS_DASHBOARD_TOKEN" in guard.why_off
    assert refused(guard.may_order, {"authorization": "Bearer "}) == 403
    assert guard.knows({"authorization": "Bearer "}) is False


@pytest.mark.parametrize(
    "path", ["/../guard.py", "/static/../../guard.py", "/.hidden.js", "/index.html/", "/none.js", "/guard.py", "//a.js"]
)
def test_no_file_but_the_page_s_own_is_served(path: str) -> None:
    """Neither what lies elsewhere nor what has no type of the page."""
    assert refused(file, Request("GET", path)) == 404


def test_a_file_is_sent_once() -> None:
    """The page comes with its type and a mark; who has it is told that it did not change."""
    first = file(Request("GET", "/"))
    assert first.content_type == "text/html; charset=utf-8"
    assert first.body == (FOLDER / "index.html").read_bytes()
    again = file(Request("GET", "/", headers={"if-none-match": first.headers["ETag"]}))
    assert (again.status, again.body) == (304, b"")
