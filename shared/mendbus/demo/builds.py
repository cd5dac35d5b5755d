"""Builds a Python package: compiles its modules, checks what they import, and keeps the objects by their content."""

import ast
import hashlib
import importlib.util
import json
import marshal
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

MANIFEST: Final = "manifest.json"
"""Names the modules of the newest good build; replaced as a whole."""

_UNCHECKED_HASH: Final = (0b01).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Module:
    """A built module: the file of its object code, and the modules of the package that it imports."""

    object: str
    imports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """A good build. `number` grows with each; `id` follows from the sources alone; `changed` was built anew."""

    number: int
    id: str
    modules: Mapping[str, Module] = field(default_factory=dict[str, Module])
    changed: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For files and checkpoints."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Build":
        """What `to_json` wrote."""
        value: dict[str, Any] = json.loads(text)
        modules = {name: Module(one["object"], tuple(one["imports"])) for name, one in value["modules"].items()}
        return cls(value["number"], value["id"], modules, tuple(value["changed"]))


def sources_of(package: Path) -> dict[str, str]:
    """The text of each module of a package, by its full name."""
    return {_name_of(package, path): path.read_text("utf-8") for path in sorted(package.glob("*.py"))}


def path_of(package: Path, module: str) -> Path:
    """The file of a module."""
    inner = module.removeprefix(package.name).removeprefix(".")
    return package / f"{inner or '__init__'}.py"


def _name_of(package: Path, path: Path) -> str:
    return package.name if path.stem == "__init__" else f"{package.name}.{path.stem}"


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever reads half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)


class Builder:
    """Builds one package into a folder, which is made."""

    def __init__(self, package: Path, out: Path) -> None:
        self.package = package
        self._out = out
        self._objects = out / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)

    def compile(self, sources: Mapping[str, str]) -> dict[str, str]:
        """Compiles modules; the file name of each object, by module. Raises `SyntaxError`.

        An object is kept under the digest of its source, so that the same source is never written twice.
        """
        objects: dict[str, str] = {}
        for name, text in sources.items():
            source = text.encode()
            code = compile(text, str(path_of(self.package, name)), "exec", dont_inherit=True)
            file = f"{hashlib.sha256(importlib.util.MAGIC_NUMBER + name.encode() + b'=' + source).hexdigest()}.pyc"
            if not (self._objects / file).exists():
                header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
                replace_file(self._objects / file, header + marshal.dumps(code))
            objects[name] = file
        return objects

    def check(self, sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Checks every import of every module; the modules of the package that each imports.

        Raises `ModuleNotFoundError` for a module that is neither in the package nor installed, and `ImportError` for a
        name that a module of the package does not have.
        """
        trees = {name: ast.parse(text) for name, text in sources.items()}
        defined = {name: _defined(tree) for name, tree in trees.items()}
        return {name: tuple(sorted(self._imports(name, tree, defined))) for name, tree in trees.items()}

    def _imports(self, module: str, tree: ast.Module, defined: Mapping[str, set[str]]) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(tree):
            where = f"imported by {path_of(self.package, module).name}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._find(alias.name, where, defined, found)
            elif isinstance(node, ast.ImportFrom):
                wanted = importlib.util.resolve_name("." * node.level + (node.module or ""), self.package.name)
                self._find(wanted, where, defined, found)
                for alias in node.names:
                    inner = f"{wanted}.{alias.name}"
                    if inner in defined:
                        found.add(inner)
                    elif wanted in defined and alias.name not in defined[wanted]:
                        msg = f"cannot import name {alias.name!r} from {wanted!r} ({where})"
                        raise ImportError(msg, name=wanted)
        return found

    def _find(self, wanted: str, where: str, defined: Mapping[str, set[str]], found: set[str]) -> None:
        if wanted in defined:
            found.add(wanted)
            return
        top = wanted.partition(".")[0]
        if top == self.package.name or importlib.util.find_spec(top) is None:
            msg = f"No module named {wanted!r} ({where})"
            raise ModuleNotFoundError(msg, name=wanted)

    def link(self, sources: Mapping[str, str], changed: Sequence[str], number: int) -> Build:
        """Compiles and checks all modules, and makes what came of it the newest good build. Raises as those do."""
        objects, imports = self.compile(sources), self.check(sources)
        modules = {name: Module(objects[name], imports[name]) for name in sources}
        digest = hashlib.sha256("".join(sorted(objects.values())).encode()).hexdigest()
        build = Build(number, digest[:12], modules, tuple(changed))
        replace_file(self._out / MANIFEST, build.to_json().encode())
        return build


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module has once it is loaded."""
    names: set[str] = set()
    inside: list[ast.AST] = [tree]
    while inside:
        for node in ast.iter_child_nodes(inside.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                # What is defined in there is not a name of the module.
                names.add(node.name)
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            inside.append(node)
    return names


def load_order(modules: Mapping[str, Module]) -> list[str]:
    """Modules, each after those that it imports; a package before what is in it."""
    order: list[str] = []

    def place(name: str, above: frozenset[str]) -> None:
        if name in order or name in above:
            return
        parent = name.rpartition(".")[0]
        for needed in (*((parent,) if parent in modules else ()), *modules[name].imports):
            place(needed, above | {name})
        order.append(name)

    for name in modules:
        place(name, frozenset())
    return order
