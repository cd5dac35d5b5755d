"""What containers are given of an installation, and that they see it when it changes."""

import os
import re
import stat
from pathlib import Path

import pytest

from mendbus import codec
from mendbus.contracts.errors import CredentialsError
from mendbus.contracts.subjects import HEADER_KEY, Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.security import credentials, exporting, files
from mendbus.security.credentials import Credentials
from mendbus.security.files import place
from mendbus.security.installation import Installation
from mendbus.security.signing import Signer, Trust

SUBJECTS = Subjects("site.v1")
EXECUTOR = "service/executor"


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    """The services, an admin, the dashboard and two agents, one of docker-compose.yml; certificates are words."""
    found = Installation(tmp_path / "keys", SUBJECTS.root)
    for service in SERVICES:
        _ = found.add(f"service/{service}")
    _ = found.add("operator/admin", "admin")
    _ = found.add("operator/dashboard", "operator")
    _ = found.add("agent/build_pipeline/build-1")
    _ = found.add("agent/build_pipeline/B1")
    for name in ("ca.pem", "server.pem", "server.key"):
        _ = (found.folder / name).write_text(name)
    found.render()
    return found


def test_each_container_has_its_own_key_only(made: Installation, tmp_path: Path) -> None:
    """What compose mounts and what Secrets hold are the credentials of one user each, but for the dashboard's."""
    out = tmp_path / "out"
    _ = exporting.write(made, out)
    services = exporting.compose(made, out)["services"]
    owners = {service: [f"service/{service}"] for service in SERVICES}
    owners["health-monitor"].append("operator/dashboard")
    owners |= {"cli": ["operator/admin"], "agent-build": ["agent/build_pipeline/build-1"]}
    assert set(services) == {"nats", *owners}
    for container, users in owners.items():
        mounted = [volume.split(":")[0] for volume in services[container]["volumes"]]
        assert [credentials.read(Path(folder) / "credentials.nk").user for folder in mounted] == users
        assert all({file.name for file in Path(folder).iterdir()} == _EACH for folder in mounted)
    (server,) = services["nats"]["volumes"]
    assert {file.name for file in Path(server.split(":")[0]).iterdir()} == {
        "nats-server.conf",
        "server.pem",
        "server.key",
    }

    listed = exporting.kubernetes(made)["items"]
    names = [one["metadata"]["name"] for one in listed]
    assert len(set(names)) == len(names) == len(made.users) + 2
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) for name in names)
    assert all(list(one["data"]) == ["credentials.nk"] for one in listed[1:-1])


_EACH = {"credentials.nk", "ca.pem", "keys.json"}


def test_a_running_container_sees_each_step_of_a_rotation(made: Installation, tmp_path: Path) -> None:
    """It has a folder mounted, where it reads the next key and the next trusted keys once they are exported again."""
    out = tmp_path / "out"
    _ = exporting.write(made, out)
    folder, known = out / "access" / EXECUTOR, out / "access/agent/build_pipeline/B1/keys.json"
    mounted = folder.stat().st_ino
    for file in folder.iterdir():
        file.chmod(0o640)
    executor = Credentials(folder / "credentials.nk", EXECUTOR)
    signer, trust = Signer(executor, SUBJECTS), Trust(known)
    shown, used = {executor.proof()[0]}, [kid(signer)]

    made.rotate(EXECUTOR)
    made.render()
    _ = exporting.write(made, out)
    assert kid(signer) == used[0]
    made.switch(EXECUTOR)
    made.render()
    _ = exporting.write(made, out)
    shown.add(executor.proof()[0])
    used.append(kid(signer))
    assert len(shown) == len(set(used)) == 2
    assert all(trust.key(one) for one in used)
    made.retire(EXECUTOR)
    made.render()
    _ = exporting.write(made, out)
    assert [bool(trust.key(one)) for one in used] == [False, True]
    assert folder.stat().st_ino == mounted
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o640}


def test_a_running_pod_sees_a_changed_secret(made: Installation, tmp_path: Path) -> None:
    """A kubelet writes a whole new folder and turns one link: the next key and the next trusted keys are read."""
    pod = tmp_path / "pod"
    pod.mkdir()

    def bring(number: int) -> None:
        content = pod / f"..{number}"
        content.mkdir()
        for name, source in (("credentials.nk", made.file(EXECUTOR)), ("keys.json", made.folder / "keys.json")):
            (content / name).write_bytes(source.read_bytes())
            (content / name).chmod(0o440)
            if number == 1:
                (pod / name).symlink_to(f"..data/{name}")
        (pod / "..new").symlink_to(content.name)
        _ = (pod / "..new").replace(pod / "..data")

    bring(1)
    signer, trust = Signer(Credentials(pod / "credentials.nk", EXECUTOR), SUBJECTS), Trust(pod / "keys.json")
    first = kid(signer)
    made.rotate(EXECUTOR)
    made.switch(EXECUTOR)
    made.render()
    bring(2)
    assert kid(signer) != first
    assert trust.key(first)
    assert trust.key(kid(signer))


def test_who_was_removed_has_nothing_left(made: Installation, tmp_path: Path) -> None:
    """The credentials of a user that there is no more go with the next export."""
    out = tmp_path / "out"
    _ = exporting.write(made, out)
    made.remove("agent/build_pipeline/build-1")
    made.render()
    _ = exporting.write(made, out)
    assert not list(out.rglob("build-1/credentials.nk"))
    assert "agent-build" not in exporting.compose(made, out)["services"]


def kid(signer: Signer) -> str:
    """By which key a command is signed now."""
    return (signer.headers(SUBJECTS.command("runtime", "r1"), codec.pack({"command_id": "c"}), None) or {})[HEADER_KEY]


def test_a_key_that_cannot_be_read_is_no_reason_to_be_silent(
    made: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """What is signed goes on under the key of before, which is said; the next one counts as soon as it can be read."""
    file = made.file(EXECUTOR)
    signer = Signer(Credentials(file, EXECUTOR), SUBJECTS)
    before, next_one = kid(signer), credentials.Identity(EXECUTOR, credentials.KeyPair.generate())
    credentials.write(file, next_one)
    file.chmod(0o604)
    assert kid(signer) == before
    assert "read by everybody" in caplog.text
    file.chmod(0o600)
    assert kid(signer) == next_one.pair.for_signatures().kid


def test_a_file_that_is_replaced_stays_with_those_who_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode and group stay, but never for everybody; where the group cannot be given, nothing is replaced."""
    file = tmp_path / "secret"
    place(file, "one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    place(file, "two")
    assert (stat.S_IMODE(file.stat().st_mode), file.read_text()) == (0o640, "two")

    given: list[tuple[int, int]] = []
    before = os.stat_result((0o100640, 1, 1, 1, 4711, 10001, 3, 0, 0, 0))

    def chown(_: Path, user: int, group: int) -> None:
        given.append((user, group))
        if user != -1 or group == 10002:
            raise PermissionError("not yours")

    monkeypatch.setattr(files.os, "chown", chown)
    files._keep(file, before)  # pyright: ignore[reportPrivateUsage]
    assert given == [(4711, 10001), (-1, 10001)]

    keep, strange = files._keep, os.stat_result((0o100640, 1, 1, 1, 0, 10002, 3, 0, 0, 0))  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(files, "_keep", lambda fresh, _: keep(fresh, strange))
    with pytest.raises(CredentialsError, match=r"is as it was.*members of group 10002"):
        place(file, "three")
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
    assert file.read_text() == "two"
