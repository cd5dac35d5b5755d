"""versioning: keeps every version of every source under the digest of its content, and an index of what is current."""

import difflib
import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

from tests.lab.site import Site, replace, snapshot
from tests.lab.work import UnknownNameError, Work, WrongAnswerError

INDEX = "index.json"
HISTORY = "history.jsonl"
REFUSED = "refused.json"
SOAK_SECONDS = 3.0
"""A head is good once it has been in use for so long and nobody has complained of a version in it."""


class BrokenVersionError(Exception):
    """Who uses a current version complains that it does not build, load or work."""


class Store:
    """The versions in one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        if not (site.state / INDEX).exists():
            site.write(INDEX, {"head": 0, "names": {}})
        self._index: dict[str, Any] = site.read(INDEX)
        self._heads = deque([(time.monotonic(), self._index)])
        self._refused: dict[str, str] = site.read(REFUSED) if (site.state / REFUSED).exists() else {}
        self._read: tuple[tuple[int, ...], dict[str, Any]] = ((), {})
        self.features = {"deltas": True}

    def put(self, sources: dict[str, str]) -> dict[str, Any]:
        """Makes texts the current versions of their names; which they were and how many lines changed."""
        changed_lines = 0
        with self._turn:
            names: dict[str, str] = dict(self._index["names"])
            for name, text in sources.items():
                digest = self._keep(text)
                if self.features["deltas"] and name in names and names[name] != digest:
                    changed_lines += lines_changed(self._text(names[name]), text)
                names[name] = digest
            head = int(self._index["head"]) + 1
            with (self._site.state / HISTORY).open("a") as history:
                history.write(json.dumps({"head": head, "names": {name: names[name] for name in sources}}) + "\n")
            self._index = {"head": head, "names": names}
            self._site.write(INDEX, self._index)
            self._heads.append((time.monotonic(), self._index))
        return {"head": head, "changed_lines": changed_lines}

    def get(self, name: str) -> str:
        """The current text of a name.

        Raises `UnknownNameError`, `KeyError` (the index has lost it), `FileNotFoundError`, `WrongAnswerError`.
        """
        names: dict[str, str] = self._stored()["names"]
        if name not in names:
            _ = self._digest_in_history(name)
        return self._text(names[name])

    def names(self) -> dict[str, str]:
        """The digest of each name's current text, as it stands on disk."""
        found: dict[str, str] = self._stored()["names"]
        return found

    def texts(self, digests: list[str]) -> dict[str, str]:
        """Texts by digest."""
        return {digest: self._text(digest) for digest in digests}

    def get_from_history(self, name: str) -> str:
        """The current text of a name, found without the index. Raises as `get` does."""
        return self._text(self._digest_in_history(name))

    def _digest_in_history(self, name: str) -> str:
        digest = ""
        for line in (self._site.state / HISTORY).read_text().splitlines():
            digest = json.loads(line)["names"].get(name, digest)
        if not digest:
            msg = f"there is no {name} and never was"
            raise UnknownNameError(msg)
        return digest

    def complain(self, name: str, digest: str, wrong: str) -> None:
        """Takes down that a version is of no use. Raises `BrokenVersionError` when it is the current one."""
        if self.names().get(name) != digest:
            return
        with self._turn:
            if digest not in self._refused:
                self._refused[digest] = f"{name} {wrong}"
                self._site.write(REFUSED, self._refused)
        raise BrokenVersionError(self._refused[digest])

    def probe_complain(self) -> None:
        """Looks whether there is a complaint of what is current."""
        for digest in self.names().values():
            if digest in self._refused:
                raise BrokenVersionError(self._refused[digest])

    def snapshot(self) -> bytes:
        """The site with the newest good head for the current one; complaints stay. Raises `BrokenVersionError`."""
        with self._turn:
            mature = time.monotonic() - SOAK_SECONDS
            while len(self._heads) > 1 and self._heads[1][0] <= mature:
                _ = self._heads.popleft()
            since, good = self._heads[0]
            files = json.loads(snapshot(self._site.folder))
            if since > mature or not good["names"] or not self._refused.keys().isdisjoint(good["names"].values()):
                raise BrokenVersionError(f"head {good['head']} has not proved good")
        history = files[f"state/{HISTORY}"].splitlines(keepends=True)
        files[f"state/{HISTORY}"] = "".join(line for line in history if json.loads(line)["head"] <= good["head"])
        files[f"state/{INDEX}"] = json.dumps(good)
        _ = files.pop(f"state/{REFUSED}", None)
        return json.dumps(files).encode()

    def probe_get(self) -> None:
        """Reads one that is there."""
        for name in sorted(self.names())[:3]:
            _ = self.get(name)

    def probe_history(self) -> None:
        """Finds one that is there without the index."""
        for name in sorted(self._index["names"])[:3]:
            _ = self.get_from_history(name)

    def probe_put(self) -> None:
        """Puts a source of its own, and reads it back."""
        text = "probe = True\n"
        _ = self.put({"_probe": text})
        if self.get("_probe") != text:
            raise WrongAnswerError("_probe is not what was put")

    def _stored(self) -> dict[str, Any]:
        """The index as it stands on disk; parsed anew only when the file is not the one that was parsed last."""
        status = (self._site.state / INDEX).stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known, index = self._read
        if known != stamp:
            # Who writes at the same time replaces the file: a stamp that is too old has it read once more, no worse.
            index = self._site.read(INDEX)
            self._read = (stamp, index)
        return index

    def _keep(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self._site.objects / digest
        if not path.exists():
            replace(path, text.encode())
        return digest

    def _text(self, digest: str) -> str:
        content = (self._site.objects / digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            msg = f"object {digest[:12]} does not have the digest that it is kept under"
            raise WrongAnswerError(msg)
        return content.decode()


def lines_changed(before: str, after: str) -> int:
    """How many lines were taken out and put in."""
    old, new = before.splitlines(), after.splitlines()
    head = _alike(zip(old, new, strict=False))
    old, new = old[head:], new[head:]
    tail = _alike(zip(reversed(old), reversed(new), strict=False))
    # Comparing takes a time that grows with the square of what differs: what is alike at both ends is left out.
    comparison = difflib.SequenceMatcher(None, old[: len(old) - tail], new[: len(new) - tail], autojunk=False)
    return sum(
        (old_end - old_start) + (new_end - new_start)
        for step, old_start, old_end, new_start, new_end in comparison.get_opcodes()
        if step != "equal"
    )


def _alike(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def make(site: Site) -> Work:
    """See the module."""
    store = Store(site)
    return Work(
        site,
        {
            "put": store.put,
            "get": store.get,
            "names": store.names,
            "texts": store.texts,
            "complain": store.complain,
        },
        {
            "put": store.probe_put,
            "get": store.probe_get,
            "names": store.probe_get,
            "texts": store.probe_get,
            "complain": store.probe_complain,
        },
        {("get", "history"): (store.get_from_history, store.probe_history)},
        store.features,
        store.snapshot,
    )
