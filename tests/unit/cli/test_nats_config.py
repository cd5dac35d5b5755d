"""`mendbus nats-config` on a folder of its own."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mendbus.cli import app
from mendbus.security import credentials
from mendbus.security.installation import Installation


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the users are kept; no `mendbus up` is running."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keys"


def say(folder: Path, *arguments: str, status: int = 0) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app.build(), ["nats-config", *arguments, "--folder", str(folder)])
    assert done.exit_code == status, done.output
    return done.output


def test_a_user_s_way_from_the_first_key_to_the_last(folder: Path, tmp_path: Path) -> None:
    """Made, listed, rotated in three steps of which none can be left out, exported and removed."""
    assert "7 users" in say(folder, "init", "--host", "nats")
    user = "agent/runtime/r1"
    assert "r1.nk" in say(folder, "add", user)
    assert "is there already" in say(folder, "add", user, status=1)
    first = credentials.read(Installation.load(folder).file(user))
    assert "no next key" in say(folder, "switch", user, status=1)
    assert "switch" in say(folder, "rotate", user)
    assert "has a next key already" in say(folder, "rotate", user, status=1)
    assert len(Installation.load(folder).users[user].keys) == 2
    assert "still uses the old key" in say(folder, "retire", user, status=1)
    assert credentials.read(Installation.load(folder).file(user)) == first
    assert "retire" in say(folder, "switch", user)
    _ = say(folder, "retire", user)
    found = Installation.load(folder)
    assert len(found.users[user].keys) == 1
    assert credentials.read(found.file(user)) != first
    assert found.users[user].keys[0].nkey in (folder / "nats-secure.conf").read_text()

    listed = json.loads(say(folder, "show", "--json"))
    assert "mendbus.v1.error.*.runtime.r1" in listed[user]["publish"]["allow"]
    assert "docker-compose.secure.yml" in say(folder, "export", str(tmp_path / "out"))
    assert "/etc/mendbus/server.pem" in (tmp_path / "out" / "nats" / "nats-server.conf").read_text()
    _ = say(folder, "certificate", "--host", "nats", "--host", "10.0.0.1")
    _ = say(folder, "remove", user)
    assert not found.file(user).exists()
    assert "there is no user" in say(folder, "remove", user, status=1)


def test_the_next_certificate_holds_where_the_first_did(folder: Path) -> None:
    """This machine need not be named: who connects to it locally can after the renewal what it could before."""
    _ = say(folder, "init", "--host", "nats", "--host", "10.0.0.1")
    first = (folder / "server.pem").read_text()
    names = _names(folder)
    assert names == {"DNS:nats", "DNS:localhost", "IP Address:127.0.0.1", "IP Address:10.0.0.1"}
    _ = say(folder, "certificate", "--host", "nats", "--host", "10.0.0.1")
    assert (folder / "server.pem").read_text() != first
    assert _names(folder) == names


def _names(folder: Path) -> set[str]:
    """Names and addresses in the server's certificate, as `openssl` writes them."""
    command = ("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(folder / "server.pem"))
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return {name.strip() for name in told.splitlines()[1].split(",")}


def test_secrets_are_for_their_owner_alone(folder: Path) -> None:
    """No key can be read by others, and what everybody may read holds none."""
    _ = say(folder, "init")
    secret = [file for file in folder.rglob("*") if file.is_file() and file.suffix in (".nk", ".key")]
    assert len(secret) == 9
    assert all(file.stat().st_mode & 0o077 == 0 for file in secret)
    told = "".join((folder / name).read_text() for name in ("keys.json", "nats-secure.conf", "users.json", "ca.pem"))
    assert "PRIVATE" not in told
    assert not any(credentials.read(file).pair.raw.hex() in told for file in secret if file.suffix == ".nk")
    assert '"SU' not in told


def test_what_is_not_there_is_said(folder: Path) -> None:
    """Without users, with a level that is none, with a user that is none: one sentence each."""
    assert "nats-config init" in say(folder, "show", status=1)
    _ = say(folder, "init")
    assert "has users already" in say(folder, "init", status=1)
    assert "names no user" in say(folder, "add", "runtime/r1", status=1)
    assert "is no level" in say(folder, "add", "operator/o", "--level", "root", status=2)
