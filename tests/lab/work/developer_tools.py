"""developer_tools: an HTTP endpoint on which developers evaluate modules that the runtime serves."""

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.lab.site import Site, UpstreamError
from tests.lab.work import Work, WrongAnswerError

SEEN = "seen.json"


class Endpoint:
    """Serves `GET /evaluate?module=M&value=N`; the last answers are kept for those who must do without the runtime."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: dict[str, int] = site.read(SEEN) if (site.state / SEEN).exists() else {}
        self._turn = threading.Lock()
        self.features = {"history": True}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)
                try:
                    value = endpoint.evaluate(asked["module"][0], int(asked["value"][0]))
                    status, body = 200, {"value": value}
                except Exception as error:
                    status, body = 502, {"error": type(error).__name__, "message": str(error)}
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, name="http", daemon=True).start()

    def evaluate(self, module: str, value: int) -> int:
        """Has the runtime call a module."""
        found: int = self._site.upstream("runtime").ask("call", module, value)
        if self.features["history"]:
            with self._turn:
                self._seen[f"{module}/{value}"] = found
                if len(self._seen) % 16 == 1:
                    self._site.write(SEEN, self._seen)
        return found

    def evaluate_seen(self, module: str, value: int) -> int:
        """The answer that was given before. Raises `KeyError` when there was none."""
        return self._seen[f"{module}/{value}"]

    def probe_seen(self) -> None:
        """Looks whether there is any answer that was given before. Raises `KeyError`."""
        if not self._seen:
            raise KeyError("nothing was asked before")

    def get(self, module: str, value: int) -> int:
        """Asks its own endpoint over HTTP, as a developer's tool does. Raises `OSError`, `UpstreamError`."""
        port = self.server.server_address[1]
        url = f"http://127.0.0.1:{port}/evaluate?module={module}&value={value}"
        try:
            with urllib.request.urlopen(url, timeout=2.0) as response:
                found: int = json.loads(response.read())["value"]
        except urllib.error.HTTPError as error:
            wrong = json.loads(error.read())
            raise UpstreamError(f"HTTP {error.code}: {wrong['error']}: {wrong['message']}") from None
        return found

    def probe(self) -> None:
        """Asks the endpoint for something."""
        if not isinstance(self.get("part_00000", 7), int):
            raise WrongAnswerError("the answer is no number")


def make(site: Site) -> Work:
    """See the module."""
    endpoint = Endpoint(site)
    return Work(
        site,
        {"get": endpoint.get, "evaluate": endpoint.evaluate},
        {"get": endpoint.probe, "evaluate": endpoint.probe},
        {
            ("get", "seen"): (endpoint.evaluate_seen, endpoint.probe_seen),
            ("evaluate", "seen"): (endpoint.evaluate_seen, endpoint.probe_seen),
        },
        endpoint.features,
    )
