"""Tokens, certificates, what a served agent refuses, and that the faults of load and security are whole."""

import json
import multiprocessing
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.lab.credentials import (
    SERVING,
    Keys,
    Serving,
    check,
    issue,
    make_authority,
    make_certificate,
    obey_permissions,
)
from tests.lab.faults.combined import COMBINED
from tests.lab.faults.controls import CONTROLS
from tests.lab.faults.load import LOAD
from tests.lab.faults.security import SECURITY
from tests.lab.kinds import KINDS
from tests.lab.site import Upstream

from mendbus.contracts.vocabulary import CATEGORIES

SECRET = b"a secret"
ALL = (*SECURITY, *LOAD, *COMBINED, *CONTROLS)


def test_a_token_says_who_shows_it() -> None:
    """A token that is still good is accepted, and names its agent."""
    assert check(SECRET, issue(SECRET, "runtime/lab", 200.0), now=199.0) == "runtime/lab"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (issue(SECRET, "runtime/lab", 100.0), "the token of runtime/lab expired at 1970-01-01 00:01:40 UTC"),
        (issue(b"another", "runtime/lab", 1000.0), "signature"),
        ("nonsense", "signature"),
        ("ü.ü", "signature"),
        ("", "no token"),
        (None, "no token"),
        (7, "no token"),
    ],
)
def test_a_token_that_is_no_good_is_refused(token: object, said: str) -> None:
    """Expired, signed by somebody else, or none at all: refused with a sentence that says so."""
    with pytest.raises(PermissionError, match=said):
        _ = check(SECRET, token, now=100.0)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A world's credentials."""
    return Keys.make(tmp_path_factory.mktemp("world") / "credentials")


def test_users_need_no_token_and_agents_do(keys: Keys, tmp_path: Path) -> None:
    """A question without a token is a user's; one with a token must show a good one."""
    serving = _serving(keys, tmp_path, {})
    serving.admit({"do": "call"})
    serving.admit({"do": "call", "token": keys.token("runtime/lab")})
    with pytest.raises(PermissionError, match="expired"):
        serving.admit({"do": "call", "token": keys.token("runtime/lab", 0.0)})
    with pytest.raises(PermissionError, match="no token"):
        serving.admit({"do": "call", "token": None})


@pytest.mark.parametrize(
    ("authority", "host", "days", "said"),
    [
        ("authority", "versioning.lab", 365, ""),
        ("stranger", "versioning.lab", 365, "unable to get local issuer certificate"),
        ("authority", "versioning.lab", -1, "certificate has expired"),
        ("authority", "elsewhere.lab", 365, "Hostname mismatch"),
    ],
)
def test_an_upstream_is_asked_only_under_a_certificate_that_is_to_be_trusted(
    keys: Keys, tmp_path: Path, authority: str, host: str, days: int, said: str
) -> None:
    """The asker refuses another authority's certificate, an expired one, and one for another host."""
    if authority == "stranger":
        _ = make_authority(keys.folder, authority)
    certificate = tmp_path / "served.pem"
    make_certificate(keys.folder, authority, host, certificate, days)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        context = _serving(keys, tmp_path, {port: str(certificate)}).contexts[port]
        served = threading.Thread(target=_serve_once, args=(listening, context))
        served.start()
        tls = {"authority": str(keys.authority), "name": "versioning.lab"}
        upstream = Upstream("versioning", {"host": "127.0.0.1", "port": port, "tls": tls}, lambda *_: None)
        if said:
            with pytest.raises(ssl.SSLCertVerificationError, match=said):
                _ = upstream.ask("names")
        else:
            assert upstream.ask("names") == 7
        served.join()


def test_a_connection_that_breaks_is_made_again_with_a_warning() -> None:
    """With retries the caller gets its answer, and each failure is told."""
    warnings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served = threading.Thread(target=_drop_then_serve, args=(listening,))
        served.start()
        where = {"host": "127.0.0.1", "port": listening.getsockname()[1], "retries": 2}
        upstream = Upstream("versioning", where, lambda error, message: warnings.append(f"{error!r}: {message}"))
        assert upstream.ask("names") == 7
        served.join()
    assert len(warnings) == 1
    assert "versioning is asked again to names" in warnings[0]


def test_without_openssl_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is named, and where it comes from."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="Debian package openssl"):
        _ = make_authority(tmp_path, "authority")


def test_a_process_of_the_lab_obeys_file_permissions_even_as_root(tmp_path: Path) -> None:
    """What has mode 000 cannot be read, whoever started the lab."""
    file = tmp_path / "file"
    _ = file.write_text("content")
    file.chmod(0)
    refused = multiprocessing.get_context("spawn").Process(target=_expect_refusal, args=(str(file),))
    refused.start()
    refused.join()
    assert refused.exitcode == 0


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_fault_is_described_in_words_of_the_system(fault: Any) -> None:
    """Its category and kinds exist, it has one to three values for each parameter, and its description is a text."""
    assert fault.category in CATEGORIES
    assert set(fault.kinds) <= set(KINDS)
    assert {kind for each in fault.kinds for kind in fault.felt_by(each)} <= set(KINDS)
    assert all(1 <= len(values) <= 3 for values in fault.parameters.values())
    assert fault.description.endswith(".")


def test_names_of_faults_are_not_used_twice() -> None:
    """Whoever asks for a fault by name gets that one."""
    assert len({fault.name for fault in ALL}) == len(ALL)


def test_there_are_controls() -> None:
    """At least four, and only they are to leave everybody undisturbed."""
    assert len(CONTROLS) >= 4
    assert all((fault.success == "undisturbed") == (fault in CONTROLS) for fault in ALL)


def _serving(keys: Keys, folder: Path, certificates: dict[int, str]) -> Serving:
    given = {"secret": str(keys.folder / "secret"), "certificates": certificates}
    _ = (folder / SERVING).write_text(json.dumps(given))
    return Serving.read(folder)


def _serve_once(listening: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listening.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            _ = secured.recv(1 << 16)
            secured.sendall(b'{"value": 7}\n')
    except OSError:
        connection.close()


def _drop_then_serve(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.close()
    connection, _ = listening.accept()
    with connection:
        _ = connection.recv(1 << 16)
        connection.sendall(b'{"value": 7}\n')


def _expect_refusal(path: str) -> None:
    obey_permissions()
    try:
        _ = Path(path).read_text()
    except PermissionError:
        os._exit(0)
    os._exit(1)
