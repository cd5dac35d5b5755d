"""The installation for docker compose and for Kubernetes: who mounts what, and where it finds it."""

import base64
import json
from pathlib import Path
from typing import Any, Final

from mendbus.contracts.vocabulary import SERVICES
from mendbus.security.credentials import ADMIN, DASHBOARD
from mendbus.security.files import place
from mendbus.security.installation import CA, TRUST, Installation

INSIDE: Final = Path("/etc/mendbus")
"""Where the server's container finds what is its own."""
ACCESS: Final = Path("/etc/mendbus-access")
"""Where everybody else's does."""
DASHBOARD_ACCESS: Final = Path("/etc/mendbus-dashboard")
"""Where the health-monitor finds the credentials of its dashboard."""
GROUP: Final = 10001
"""The group of the images' user, which must be able to read what is mounted."""
_SERVER_FOLDER: Final = Path("nats")
_ACCESS: Final = Path("access")
_SERVER_CONF: Final = "nats-server.conf"
_CERTIFICATE: Final = ("server.pem", "server.key")
_CREDENTIALS: Final = "credentials.nk"
_DEMO: Final = {"agent-build": "agent/build_pipeline/build-1", "agent-runtime": "agent/runtime/web-1"}
"""Demo agents of docker-compose.yml, covered when there are such users."""
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
    """Writes what containers read below `target`, each user's in a folder of its own; returns what to hand over.

    Whatever is there is replaced file by file: a container that has the folder mounted sees the next content.
    Raises `CredentialsError`.
    """
    known = _known(installation)
    written = {_SERVER_FOLDER / name: text for name, text in _of_server(installation).items()}
    for user in installation.users:
        written |= {_folder(user) / name: text for name, text in (_of(installation, user) | known).items()}
    handed = {
        Path("docker-compose.secure.yml"): json.dumps(compose(installation, target), indent=2) + "\n",
        Path("kubernetes.json"): json.dumps(kubernetes(installation), indent=2) + "\n",
    }
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in (written | handed).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place(target / name, text)
    for gone in set((target / _ACCESS).rglob(_CREDENTIALS)) - {target / name for name in written}:
        gone.unlink()
    return [target / name for name in (_SERVER_FOLDER, _ACCESS, *handed)]


def server_conf(installation: Installation, name: str = "mendbus") -> str:
    """The whole configuration of a server in a container."""
    return _SERVER.format(name=name) + installation.server_conf(INSIDE)


def environment() -> dict[str, str]:
    """The settings of a container that has its folder mounted."""
    return {
        "MENDBUS_NATS_CREDENTIALS": str(ACCESS / _CREDENTIALS),
        "MENDBUS_NATS_CA": str(ACCESS / CA),
        "MENDBUS_TRUSTED_KEYS": str(ACCESS / TRUST),
    }


def compose(installation: Installation, target: Path) -> dict[str, Any]:
    """An override: `docker compose -f docker-compose.yml -f THIS up`. JSON is YAML.

    Folders are mounted, not files: a file that is replaced would stay as it was in a container that runs.
    """

    def mount(folder: Path, where: Path) -> str:
        return f"{target.absolute() / folder}:{where}:ro"

    def client(user: str) -> dict[str, Any]:
        return {
            "environment": {"NATS_URL": "tls://nats:4222", **environment()},
            "volumes": [mount(_folder(user), ACCESS)],
        }

    nats = {
        "command": ["--config", str(INSIDE / _SERVER_CONF)],
        "volumes": [mount(_SERVER_FOLDER, INSIDE)],
        # Without a single capability even root reads only what it is let in to.
        "group_add": [str(GROUP)],
    }
    clients = {service: client(f"service/{service}") for service in SERVICES} | {"cli": client(ADMIN)}
    clients |= {container: client(user) for container, user in _DEMO.items() if user in installation.users}
    if DASHBOARD in installation.users:
        shown = clients["health-monitor"]
        shown["environment"]["MENDBUS_DASHBOARD_CREDENTIALS"] = str(DASHBOARD_ACCESS / _CREDENTIALS)
        shown["volumes"].append(mount(_folder(DASHBOARD), DASHBOARD_ACCESS))
    return {"services": {"nats": nats, **clients}}


def kubernetes(installation: Installation) -> dict[str, Any]:
    """A List of one Secret for the server, one for each user, and a ConfigMap of what everybody may know."""

    def secret(name: str, content: dict[str, str]) -> dict[str, Any]:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(name), "type": "Opaque", "data": data}

    items = [secret("mendbus-nats-server", _of_server(installation))]
    items += [secret(f"mendbus-{_slug(user)}", _of(installation, user)) for user in installation.users]
    known = _known(installation)
    items.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("mendbus-trust"), "data": known})
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _of_server(installation: Installation) -> dict[str, str]:
    """Files that the server alone reads, by name."""
    files = {name: (installation.folder / name).read_text(encoding="utf-8") for name in _CERTIFICATE}
    return files | {_SERVER_CONF: server_conf(installation)}


def _of(installation: Installation, user: str) -> dict[str, str]:
    """Files that a user alone reads."""
    return {_CREDENTIALS: installation.file(user).read_text(encoding="utf-8")}


def _known(installation: Installation) -> dict[str, str]:
    """Files that everybody may read."""
    return {name: (installation.folder / name).read_text(encoding="utf-8") for name in (CA, TRUST)}


def _folder(user: str) -> Path:
    """Where, below the target, a user's own files are."""
    return _ACCESS / user


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"app.kubernetes.io/part-of": "mendbus"}}


def _slug(user: str) -> str:
    """A user as the name of a Secret: lower case, `_` as `-`; what is lost by that follows as hex digits."""
    plain = user.replace("/", ".").replace("_", "-").lower()
    name = plain if plain == user.replace("/", ".") else f"{plain}.{user.encode().hex()}"
    return name[:240].strip("-.")
