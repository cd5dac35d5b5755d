"""Which commands can wait warm, and what waiting warm means for a Python program."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mendbus.supervise.commands import LAUNCHER, warm_argv


@pytest.mark.parametrize(
    ("argv", "position"),
    [
        (["python", "-m", "app", "-x"], 1),
        (["/usr/bin/python3.11", "app.py", "-m"], 1),
        (["python3", "-u", "-X", "dev", "-Werror", "-OO", "app.py"], 6),
        (["python3", "-Xdev", "-W", "error", "-m", "app"], 4),
    ],
)
def test_a_python_program_gets_the_launcher_in_front(argv: list[str], position: int) -> None:
    """The interpreter's own options stay before it, the program and its arguments come after it."""
    assert warm_argv(argv) == [*argv[:position], str(LAUNCHER), *argv[position:]]


@pytest.mark.parametrize(
    "argv",
    [
        ["node", "app.js"],
        ["./app.py"],
        ["python"],
        ["python", "-m"],
        ["python", "-"],
        ["python", "-c", "pass"],
        ["python", "-uc", "pass"],
        ["python", "--version"],
    ],
)
def test_anything_else_starts_cold(argv: list[str]) -> None:
    """What is no module or script of Python is not guessed at."""
    assert warm_argv(argv) is None


BY_PATH = (str(LAUNCHER),)
BY_NAME = ("-c", "from mendbus.supervise.launcher import main; main()")
"""As a part of its package, so that coverage knows it."""


def launched(folder: Path, *arguments: str, word: bytes = b"g", launcher: tuple[str, ...] = BY_PATH) -> tuple[str, int]:
    """What a program printed that waited warm and was let go, and its status."""
    ours, theirs = socket.socketpair()
    with ours:
        child = subprocess.Popen(
            [sys.executable, *launcher, *arguments],
            cwd=folder,
            env={**os.environ, "MENDBUS_STANDBY_FD": str(theirs.fileno()), "MENDBUS_STANDBY_PRELOAD": "wave,nothing"},
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        ours.settimeout(20.0)
        assert ours.recv(1) == b"w"
        if word:
            ours.sendall(word)
        else:
            ours.shutdown(socket.SHUT_RDWR)
        said, _ = child.communicate(timeout=10.0)
        return said, child.returncode


PROGRAM = """
import decimal, os, sys
print(__name__, sys.argv, sys.path[0], "wave" in sys.modules, [k for k in os.environ if "STANDBY" in k])
sys.exit(5)
"""


@pytest.mark.parametrize("launcher", [BY_PATH, BY_NAME])
def test_a_script_is_itself_after_the_wait(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """Name, arguments, search path, environment and exit status are those of a plain start."""
    script = tmp_path / "app.py"
    script.write_text(PROGRAM)
    said, status = launched(Path("/"), str(script), "a", "-m", launcher=launcher)
    assert status == 5
    assert said.split("\n")[0] == f"__main__ {[str(script), 'a', '-m']} {tmp_path} True []"


@pytest.mark.parametrize("launcher", [BY_PATH, BY_NAME])
def test_a_package_is_itself_after_the_wait(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """`-m package` runs its `__main__`, whose imports, relative ones too, were done before it was let go."""
    package = tmp_path / "app"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("import sys\nvalue = 7\nprint('imported', flush=True)\n")
    (package / "lazy.py").write_text("")
    (package / "__main__.py").write_text(
        "from . import inner, lazy\nfrom .inner import *\nimport sys\nprint(sys.argv[1:], value, sys.path[0])\n"
    )
    said, status = launched(tmp_path, "-m", "app", "x", launcher=launcher)
    assert (said, status) == (f"imported\n['x'] 7 {tmp_path}\n", 0)


def test_what_cannot_be_warmed_fails_in_its_own_words(tmp_path: Path) -> None:
    """A syntax error or a missing import waits like the rest, and fails once it is let go."""
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "lost.py").write_text("import does_not_exist\n")
    assert launched(tmp_path, "broken.py")[1] == 1
    assert launched(tmp_path, "lost.py")[1] == 1
    assert launched(tmp_path, "-m", "does.not.exist")[1] == 1


def test_a_standby_ends_with_its_supervisor(tmp_path: Path) -> None:
    """The end of the descriptor is the end of the wait, and the program never runs."""
    (tmp_path / "app.py").write_text("print('ran')\n")
    assert launched(tmp_path, "app.py", word=b"") == ("", 0)
