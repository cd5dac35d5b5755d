"""shader_pipeline: compiles the GLSL shaders that versioning holds to SPIR-V with the reference compiler (glslang)."""

import hashlib
import subprocess
import threading
from typing import Any

from tests.lab.site import Site, replace
from tests.lab.work import Work, WrongAnswerError

COMPILER = "glslangValidator"
BUILT = "built.json"
_SPIRV_MAGIC = 0x07230203
_COMPILE_SECONDS = 5.0


class ShaderError(Exception):
    """The compiler refused a shader; the text is the compiler's."""


class Shaders:
    """The compiled shaders of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        if not (site.state / BUILT).exists():
            site.write(BUILT, {})
        self._built: dict[str, str] = site.read(BUILT)
        self.features = {"optimise": True}

    def compile(self, name: str) -> dict[str, Any]:
        """Compiles the current text of a shader. Raises `ShaderError`, and what asking versioning raises."""
        text: str = self._site.upstream("versioning").ask("get", name)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if self._built.get(name) != digest or not (self._site.objects / digest).exists():
            replace(self._site.objects / digest, self._run(name, text))
            with self._turn:
                self._built[name] = digest
                self._site.write(BUILT, self._built)
        return self._found(digest)

    def compile_cached(self, name: str) -> dict[str, Any]:
        """What the shader compiled to the last time. Raises `KeyError`."""
        return self._found(self._site.read(BUILT)[name])

    def validate(self, text: str) -> dict[str, Any]:
        """Compiles a text without keeping it. Raises `ShaderError`."""
        return {"words": len(self._run("given", text)) // 4}

    def probe(self) -> None:
        """Compiles a shader anew, whatever is kept."""
        names = sorted(name for name in self._site.upstream("versioning").ask("names") if name.endswith(".frag"))
        text: str = self._site.upstream("versioning").ask("get", names[0])
        _ = self._run(names[0], text)
        _ = self.compile(names[0])

    def probe_cached(self) -> None:
        """Reads a shader that is compiled."""
        _ = self.compile_cached(min(self._site.read(BUILT)))

    def _run(self, name: str, text: str) -> bytes:
        output = self._site.folder / f".{hashlib.sha256(text.encode()).hexdigest()[:16]}.{threading.get_ident()}.spv"
        optimise = ["-Os"] if self.features["optimise"] else []
        try:
            done = subprocess.run(
                [COMPILER, "-V", *optimise, "--stdin", "-S", "frag", "-o", str(output)],
                input=text,
                capture_output=True,
                text=True,
                timeout=_COMPILE_SECONDS,
                check=False,
            )
            if done.returncode:
                raise ShaderError(f"{name}: {done.stdout.strip()[-800:]}")
            return output.read_bytes()
        finally:
            output.unlink(missing_ok=True)

    def _found(self, digest: str) -> dict[str, Any]:
        content = (self._site.objects / digest).read_bytes()
        if len(content) < 20 or int.from_bytes(content[:4], "little") != _SPIRV_MAGIC:
            msg = f"object {digest[:12]} is no SPIR-V"
            raise WrongAnswerError(msg)
        return {"words": len(content) // 4}


def make(site: Site) -> Work:
    """See the module."""
    shaders = Shaders(site)
    return Work(
        site,
        {"compile": shaders.compile, "validate": shaders.validate},
        {"compile": shaders.probe, "validate": shaders.probe},
        {("compile", "cached"): (shaders.compile_cached, shaders.probe_cached)},
        shaders.features,
    )
