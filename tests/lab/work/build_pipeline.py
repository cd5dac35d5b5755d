"""build_pipeline: fetches changed sources from versioning, compiles them, and keeps the objects by their source."""

import ast
import base64
import marshal
import os
import threading
from contextlib import suppress
from typing import Any

from tests.lab.site import Site, UpstreamError, replace
from tests.lab.work import Work, WrongAnswerError

MANIFEST = "manifest.json"
_AT_ONCE = 200


class Builder:
    """The builds in one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        if not (site.state / MANIFEST).exists():
            site.write(MANIFEST, {"number": 0, "modules": {}})
        self._site.read(MANIFEST)
        self.features = {"lint": True}

    def build(self) -> dict[str, Any]:
        """Builds what has changed in versioning. Raises `SyntaxError`, and what asking versioning raises."""
        upstream = self._site.upstream("versioning")
        with self._turn:
            wanted: dict[str, str] = {
                name: digest for name, digest in upstream.ask("names").items() if not name.endswith(".frag")
            }
            kept = set(os.listdir(self._site.objects))
            missing = [digest for digest in wanted.values() if digest not in kept]
            for start in range(0, len(missing), _AT_ONCE):
                for digest, text in upstream.ask("texts", missing[start : start + _AT_ONCE]).items():
                    try:
                        self._compile(digest, text)
                    except (SyntaxError, ValueError) as error:
                        name = next(name for name, wish in wanted.items() if wish == digest)
                        self.complain(name, digest, f"does not build: {type(error).__name__}: {error}")
                        raise
            return self._publish(wanted)

    def complain(self, name: str, digest: str, wrong: str) -> None:
        """Passes on to versioning that a version is of no use."""
        # It answers with an error that is its own, to which there is nothing to do here.
        with suppress(OSError, UpstreamError):
            self._site.upstream("versioning").ask("complain", name, digest, wrong)

    def build_again(self) -> dict[str, Any]:
        """The last good build once more, without asking anybody."""
        with self._turn:
            return self._publish(self._site.read(MANIFEST)["modules"])

    def manifest(self) -> dict[str, Any]:
        """The last good build: its number, and the object of each module."""
        found: dict[str, Any] = self._site.read(MANIFEST)
        return found

    def objects(self, digests: list[str]) -> dict[str, str]:
        """Object code by digest, base64."""
        return {digest: base64.b64encode((self._site.objects / digest).read_bytes()).decode() for digest in digests}

    def probe_build(self) -> None:
        """Builds, and looks whether each object is there and can be read."""
        _ = self.build()
        self.probe_objects()

    def probe_last_good(self) -> None:
        """Serves the last good build, and reads of it."""
        _ = self.build_again()
        self.probe_objects()

    def probe_objects(self) -> None:
        """Reads objects of the last good build."""
        modules = self.manifest()["modules"]
        for name, digest in list(modules.items())[:3]:
            if not hasattr(marshal.loads((self._site.objects / digest).read_bytes()), "co_code"):
                msg = f"the object of {name} is no code"
                raise WrongAnswerError(msg)

    def _compile(self, digest: str, text: str) -> None:
        if self.features["lint"]:
            _ = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
        code = compile(text, f"<{digest[:12]}>", "exec", dont_inherit=True)
        replace(self._site.objects / digest, marshal.dumps(code))

    def _publish(self, modules: dict[str, str]) -> dict[str, Any]:
        before = self._site.read(MANIFEST)
        number = int(before["number"])
        if before["modules"] != modules:
            number += 1
            self._site.write(MANIFEST, {"number": number, "modules": modules})
        return {"number": number, "modules": len(modules)}


def make(site: Site) -> Work:
    """See the module."""
    builder = Builder(site)
    return Work(
        site,
        {
            "build": builder.build,
            "manifest": builder.manifest,
            "objects": builder.objects,
            "complain": builder.complain,
        },
        {
            "build": builder.probe_build,
            "manifest": builder.probe_objects,
            "objects": builder.probe_objects,
            "complain": builder.probe_objects,
        },
        {("build", "last_good"): (builder.build_again, builder.probe_last_good)},
        builder.features,
    )
