"""The installation for docker compose and for Kubernetes: who mounts what, and where it finds it."""

import base64
import json
from pathlib import Path
from typing import Any, Final

from mendbus.contracts.vocabulary import SERVICES
from mendbus.security.credentials import ADMIN
from mendbus.security.installation import CA, TRUST, Installation

INSIDE: Final = Path("/etc/mendbus")
"""Where containers find what is theirs."""
_SERVER: Final = """\
# Written by `mendbus nats-config export`: changes here are lost.
server_name: {name}
port: 4222
http_port: 8222
max_payload: 1MB
jetstream {{
  store_dir: /data
  sync_interval: always
  max_memory_store: 64MB
  max_file_store: 8GB
}}
"""


def write(installation: Installation, target: Path) -> list[Path]:
    """Writes `docker-compose.secure.yml`, `nats-server.conf` and `kubernetes.json`; returns them."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    written: dict[str, str] = {
        "nats-server.conf": server_conf(installation),
        "docker-compose.secure.yml": json.dumps(compose(installation, target), indent=2) + "\n",
        "kubernetes.json": json.dumps(kubernetes(installation), indent=2) + "\n",
    }
    for name, text in written.items():
        file = target / name
        file.touch(mode=0o600)
        _ = file.write_text(text, encoding="utf-8")
    return [target / name for name in written]


def server_conf(installation: Installation, name: str = "mendbus") -> str:
    """The whole configuration of a server in a container."""
    return _SERVER.format(name=name) + installation.server_conf(INSIDE)


def environment() -> dict[str, str]:
    """The settings of a container that has its files mounted."""
    return {
        "MENDBUS_NATS_CREDENTIALS": str(INSIDE / "credentials.nk"),
        "MENDBUS_NATS_CA": str(INSIDE / CA),
        "MENDBUS_TRUSTED_KEYS": str(INSIDE / TRUST),
    }


def compose(installation: Installation, target: Path) -> dict[str, Any]:
    """An override: `docker compose -f docker-compose.yml -f THIS up`. JSON is YAML."""
    folder = installation.folder.absolute()

    def mount(file: Path, name: str) -> str:
        return f"{file}:{INSIDE / name}:ro"

    def client(user: str) -> dict[str, Any]:
        mounts = [mount(installation.file(user), "credentials.nk")]
        mounts += [mount(folder / name, name) for name in (CA, TRUST)]
        return {"environment": {"NATS_URL": "tls://nats:4222", **environment()}, "volumes": mounts}

    nats = {
        "command": ["--config", str(INSIDE / "nats-server.conf")],
        "volumes": [
            mount(target.absolute() / "nats-server.conf", "nats-server.conf"),
            *(mount(folder / name, name) for name in ("server.pem", "server.key")),
        ],
    }
    clients = {service: client(f"service/{service}") for service in SERVICES}
    return {"services": {"nats": nats, **clients, "cli": client(ADMIN)}}


def kubernetes(installation: Installation) -> dict[str, Any]:
    """A List of one Secret for the server, one for each user, and a ConfigMap of what everybody may know."""
    folder = installation.folder

    def secret(name: str, content: dict[str, bytes]) -> dict[str, Any]:
        data = {key: base64.b64encode(value).decode() for key, value in content.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(name), "type": "Opaque", "data": data}

    server = {name: (folder / name).read_bytes() for name in ("server.pem", "server.key")}
    server["nats-server.conf"] = server_conf(installation).encode()
    items = [secret("mendbus-nats-server", server)]
    items += [
        secret(f"mendbus-{_slug(user)}", {"credentials.nk": installation.file(user).read_bytes()})
        for user in installation.users
    ]
    known = {name: (folder / name).read_text(encoding="utf-8") for name in (CA, TRUST)}
    items.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("mendbus-trust"), "data": known})
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"app.kubernetes.io/part-of": "mendbus"}}


def _slug(user: str) -> str:
    """A user as the name of a Secret: lower case, `_` as `-`; what is lost by that follows as hex digits."""
    plain = user.replace("/", ".").replace("_", "-").lower()
    name = plain if plain == user.replace("/", ".") else f"{plain}.{user.encode().hex()}"
    return name[:240].strip("-.")
