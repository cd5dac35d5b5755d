"""As much of the Kubernetes API as recovery needs, over plain HTTP; each request in a thread, under a deadline."""

import asyncio
import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from mendbus.contracts.errors import MendbusError

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LARGEST: Final = 4 << 20
MERGE: Final = "application/merge-patch+json"

RULES: Final[tuple[dict[str, list[str]], ...]] = (
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
)
"""All that the executor's Role has to allow in the namespace of the agents."""

Object = dict[str, Any]


class ApiRefused(MendbusError):
    """The API server said no. Attributes: `status`, the HTTP status; `reason`, its own words."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"the Kubernetes API answered {status}: {reason}")


class ApiUnreachable(MendbusError):
    """No answer: whether it was done is not known."""


class Api:
    """One API server. The token is read anew for each request, as it is renewed in its file."""

    def __init__(self, address: str | None, token_file: Path | None, ca_file: Path | None) -> None:
        inside = f"https://{os.environ.get('KUBERNETES_SERVICE_HOST', 'kubernetes.default.svc')}"
        address = address or f"{inside}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        parts = urlsplit(address)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._token_file = token_file or _ACCOUNT / "token"
        self._ca_file = ca_file or _ACCOUNT / "ca.crt"

    async def get(self, path: str, seconds: float) -> Object:
        """An object. Raises `ApiRefused` and `ApiUnreachable`."""
        return await asyncio.to_thread(self._send, "GET", path, None, "", seconds)

    async def patch(self, path: str, body: Object, seconds: float, *, dry_run: bool) -> Object:
        """A merge patch; the object after it. Raises as `get` does."""
        return await asyncio.to_thread(self._send, "PATCH", path + _query(dry_run), body, MERGE, seconds)

    async def create(self, path: str, body: Object, seconds: float, *, dry_run: bool) -> Object:
        """A POST. Raises as `get` does."""
        return await asyncio.to_thread(self._send, "POST", path + _query(dry_run), body, "application/json", seconds)

    def _send(self, method: str, path: str, body: Object | None, content_type: str, seconds: float) -> Object:
        try:
            headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token_file.read_text().strip()}"}
            if body is not None:
                headers["Content-Type"] = content_type
            connection = self._connection(seconds)
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                content = response.read(_LARGEST)
            finally:
                connection.close()
            found: object = json.loads(content or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiUnreachable(f"the Kubernetes API at {self._host}:{self._port} gave no answer: {error!r}") from None
        answer = cast("Object", found) if isinstance(found, dict) else {}
        if response.status >= 300:
            raise ApiRefused(response.status, str(answer.get("message") or response.reason))
        return answer

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        context = ssl.create_default_context(cafile=str(self._ca_file))
        return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)


def workload_path(namespace: str, resource: str, name: str) -> str:
    """The path of a deployment, statefulset or daemonset."""
    return f"/apis/apps/v1/namespaces/{quote(namespace, '')}/{resource}/{quote(name, '')}"


def pod_path(namespace: str, name: str) -> str:
    """The path of a pod."""
    return f"/api/v1/namespaces/{quote(namespace, '')}/pods/{quote(name, '')}"


def part(found: Mapping[str, Any], *names: str) -> Object:
    """A map within a map, empty where there is none."""
    for name in names:
        inner: object = found.get(name)
        found = cast("Object", inner) if isinstance(inner, dict) else {}
    return dict(found)


def _query(dry_run: bool) -> str:
    return "?dryRun=All" if dry_run else ""
