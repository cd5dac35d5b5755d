"""An API server that knows a few objects, keeps them as Kubernetes does, and allows what the Role allows."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mendbus_executor.kubernetes_api import RULES

TOKEN = "let-me-in"
VERBS = {"GET": "get", "PATCH": "patch", "POST": "create", "PUT": "update", "DELETE": "delete"}
_PATH = re.compile(
    r"/(?:api|apis)/(?:(apps)/)?v1/namespaces/([^/]+)/([^/]+)/([^/?]+)(?:/(eviction|exec))?(\?dryRun=All)?$"
)


@dataclass
class Cluster:
    """Its objects by resource and name. `rules`: what is allowed; `conflicts`: so many patches lose a race."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    rules: tuple[dict[str, list[str]], ...] = RULES
    requests: list[str] = field(default_factory=list)
    rollouts: int = 0
    evictions: int = 0
    conflicts: int = 0
    budget: bool = True
    address: str = ""

    def add(self, resource: str, name: str, **spec: Any) -> dict[str, Any]:
        """An object that has opted in, with its rollout through."""
        replicas = spec.get("replicas", 0)
        self.objects[resource, name] = {
            "metadata": {
                "name": name,
                "uid": f"uid-{len(self.objects)}",
                "resourceVersion": "1",
                "generation": 1,
                "labels": {"mendbus.dev/recovery": "enabled"},
            },
            "spec": spec,
            "status": {
                "observedGeneration": 1,
                "replicas": replicas,
                "updatedReplicas": replicas,
                "availableReplicas": replicas,
            },
        }
        return self.objects[resource, name]

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a request comes to."""
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        found = _PATH.match(path)
        assert found is not None, path
        group, namespace, resource, name, eviction, dry = found.groups()
        verb = VERBS[method]
        what = f"{resource}/{eviction}" if eviction else resource
        self.requests.append(f"{verb} {what}{' dry' if dry else ''}")
        if namespace != "shop" or not any(
            (group or "") in rule["apiGroups"] and what in rule["resources"] and verb in rule["verbs"]
            for rule in self.rules
        ):
            return 403, {"message": f"cannot {verb} resource {what} in namespace {namespace}"}
        known = self.objects.get((resource, name))
        if known is None:
            return 404, {"message": f"{what} {name} not found"}
        if method == "GET":
            return 200, known
        if eviction:
            return self._evict(known, name, body, bool(dry))
        return self._patch(known, body, bool(dry))

    def _evict(self, pod: dict[str, Any], name: str, body: dict[str, Any], dry: bool) -> tuple[int, dict[str, Any]]:
        if not self.budget:
            return 429, {"message": "it would violate the pod's disruption budget"}
        for key, wanted in body["deleteOptions"]["preconditions"].items():
            if wanted != pod["metadata"][key]:
                return 409, {"message": f"the {key} in the precondition does not match"}
        if not dry:
            self.evictions += 1
            # As a StatefulSet does it: the same name, another pod.
            self.add("pods", name)["metadata"] |= {
                "uid": f"successor-{self.evictions}",
                "resourceVersion": str(int(pod["metadata"]["resourceVersion"]) + 1),
            }
        return 201, {}

    def _patch(self, known: dict[str, Any], body: dict[str, Any], dry: bool) -> tuple[int, dict[str, Any]]:
        metadata = known["metadata"]
        if self.conflicts:
            self.conflicts -= 1
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        if body["metadata"].get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        if dry:
            return 200, known
        before = json.dumps(known["spec"], sort_keys=True)
        merge(known, body)
        if json.dumps(known["spec"], sort_keys=True) != before:
            metadata["generation"] += 1
            self.rollouts += "template" in body.get("spec", {})
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        return 200, known


def merge(into: dict[str, Any], patch: dict[str, Any]) -> None:
    """A JSON merge patch."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


@contextmanager
def serving(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            status, said = cluster.answer(self.command, self.path, self.headers["Authorization"], body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
