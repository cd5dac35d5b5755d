"""Failures of the compilers and tools of this machine; what is not installed is passed over."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.harvest_commands import archives, git, packages, shell
from tests.corpus.harvest_languages import compilers, natives, runtimes, shaders
from tests.corpus.harvest_network import databases, network
from tests.corpus.recording import Record


def records() -> Iterator[Record]:
    """Everything of these modules, each part in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="app") as name:
        folder = Path(name)
        # Of equal texts the first one counts, so the order decides on labels.
        for part in (compilers, runtimes, shaders, git, archives, network, shell, databases, packages, natives):
            place = folder / part.__name__
            place.mkdir()
            yield from part(place)
