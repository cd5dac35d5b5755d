"""The sandbox against programs that do not behave: nothing of them is left, and what they did is told."""

import asyncio
import fcntl
import os
import sys
import time
from pathlib import Path

import pytest

from mendbus.testing import eventually
from mendbus_executor import sandbox
from mendbus_executor.sandbox import Limits, Ran, run

LIMITS = Limits(cpu_seconds=5, processes=20)


async def python(source: str, seconds: float = 5.0, limits: Limits = LIMITS, **environment: str) -> Ran:
    """Runs a Python program in the sandbox."""
    return await run([sys.executable, "-I", "-S", "-c", source], environment, limits, seconds)


def marked(marker: str) -> list[int]:
    """Living processes that have this word in their environment."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets coverage into the runner, where it is measured at all."""
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS")}
    if coverage:
        # By its name: what is run by its path is no part of any package.
        monkeypatch.setattr(sandbox, "FLAGS", ("-c", "from mendbus_executor.sandbox_runner import main; main()"))
        coverage["PYTHONPATH"] = os.pathsep.join(sys.path)
        monkeypatch.setattr(sandbox, "RUNNER_ENVIRONMENT", {**sandbox.RUNNER_ENVIRONMENT, **coverage})


@pytest.fixture
def marker() -> str:
    """A word of this test's own."""
    return f"marker-{time.monotonic_ns()}"


async def test_a_good_program_has_a_clean_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment holds what was given and no more, and its folder is gone when it is."""
    monkeypatch.setenv("SECRET", "x")
    facts = "sorted(os.environ), os.getcwd(), os.listdir(), os.getsid(0) == os.getpid()"
    source = f"import os, sys; print({facts}); open('f', 'w')"
    ran = await python(source, GIVEN="1")
    assert ran.ok
    assert "['GIVEN', 'HOME', 'LANG', 'PATH', 'TMPDIR']" in ran.head
    assert "[] True" in ran.head
    folder = Path(ran.head.split("] ")[1].split()[0])
    assert folder.name.startswith("mendbus-command-")
    assert not folder.exists()


async def test_there_is_no_shell() -> None:
    """What a shell would act upon is an argument like any other."""
    ran = await run(["echo", "$(id); `id` | > x"], {}, LIMITS, 5.0)
    assert ran.head == "$(id); `id` | > x\n"


async def test_status_signal_and_absence_are_told() -> None:
    """A status, a signal and a missing program each have a code."""
    assert (await python("raise SystemExit(7)")).code == "exit_7"
    assert (await python("import os; os.kill(os.getpid(), 15)")).code == "signal_15"
    missing = await run(["/no/such/program"], {}, LIMITS, 5.0)
    assert (missing.ok, missing.code) == (False, "not_started")
    assert "/no/such/program" in missing.last_words


async def test_a_fork_bomb_is_put_out(marker: str) -> None:
    """More processes than allowed are all killed, also those in sessions of their own."""
    # Bounded, should the sandbox fail: it ends by itself at 8 generations and after 20 seconds.
    source = (
        "import os, time\nfor generation in range(8):\n"
        " try:\n  if os.fork() == 0: os.setsid()\n except OSError: pass\ntime.sleep(20)"
    )
    ran = await python(source, MARKER=marker)
    assert (ran.ok, ran.clean) == (False, True)
    assert ran.code in ("too_many_processes", "signal_9")
    assert marked(marker) == []


async def test_a_memory_hog_is_refused_memory() -> None:
    """Address space ends at the limit."""
    ran = await python("x = bytearray(1 << 30)", limits=Limits(memory_bytes=1 << 28))
    assert (ran.code, "MemoryError" in ran.last_words) == ("exit_1", True)


async def test_who_ignores_sigterm_is_killed(marker: str) -> None:
    """The time is over for it as well."""
    begun = time.monotonic()
    ran = await python("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(30)", 0.5, MARKER=marker)
    assert (ran.code, ran.clean) == ("timeout", True)
    assert time.monotonic() - begun < 5.0
    assert marked(marker) == []


async def test_a_flood_is_cut_to_its_ends() -> None:
    """Of megabytes of output the first and the last 4 KiB are kept, and the rest is counted."""
    ran = await python("import sys\nprint('first')\nsys.stdout.write('x' * (8 << 20))\nprint('last')")
    assert ran.ok
    assert (ran.head[:6], ran.tail[-5:]) == ("first\n", "last\n")
    assert (len(ran.head), len(ran.tail)) == (4096, 4096)
    assert ran.output_bytes == (8 << 20) + 11


async def test_an_endless_flood_ends_with_the_time(marker: str) -> None:
    """Output without an end is read, and forgotten, until the time is over."""
    ran = await python("while True: print('x' * 1000)", 0.5, MARKER=marker)
    assert (ran.code, ran.clean) == ("timeout", True)
    assert marked(marker) == []


async def test_a_daemon_does_not_outlive_the_command(marker: str) -> None:
    """A process that left its group and its parent is found and killed, and the command has still done its work."""
    source = (
        "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
        "  os.closerange(0, 10); time.sleep(30)\n os._exit(0)\ntime.sleep(0.1); print('done')"
    )
    ran = await python(source, MARKER=marker)
    assert (ran.ok, ran.stragglers, ran.clean) == (True, 1, True)
    assert marked(marker) == []


@pytest.mark.parametrize(
    ("source", "limits", "codes"),
    [
        ("while True: pass", Limits(cpu_seconds=1), ("signal_24", "signal_9")),
        ("f = open('f', 'wb')\nwhile True: f.write(b'x' * 65536)", Limits(file_bytes=1 << 20), ("exit_1", "signal_25")),
        ("x = [open('/dev/null') for _ in range(100)]", Limits(open_files=32), ("exit_1",)),
    ],
)
async def test_time_files_and_descriptors_are_limited(source: str, limits: Limits, codes: tuple[str, ...]) -> None:
    """CPU time, file size and open files end at their limits."""
    assert (await python(source, 10.0, limits)).code in codes


async def test_cancelled_it_leaves_nothing(marker: str) -> None:
    """Who gives up waiting ends the program."""
    task = asyncio.create_task(python("import time; time.sleep(30)", 30.0, MARKER=marker))
    await eventually(lambda: marked(marker))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked(marker) == []


async def test_an_executor_that_is_killed_takes_its_programs_along(marker: str) -> None:
    """After `kill -9` of whoever runs it, the runner and the program are gone within moments."""
    source = (
        "import asyncio, sys\nfrom mendbus_executor.sandbox import Limits, run\n"
        f"asyncio.run(run(['sleep', '30'], {{'MARKER': '{marker}'}}, Limits(), 30.0))"
    )
    executor = await asyncio.create_subprocess_exec(sys.executable, "-c", source)
    await eventually(lambda: marked(marker), 10.0)
    os.kill(executor.pid, 9)
    _ = await executor.wait()
    await eventually(lambda: not marked(marker))


async def test_what_a_run_costs(capsys: pytest.CaptureFixture[str]) -> None:
    """The time of a run of nothing is printed."""
    times: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        assert (await run(["true"], {}, LIMITS, 5.0)).ok
        times.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\nsandbox: {sorted(times)[2] * 1000:.0f} ms around a program that does nothing")


async def test_a_lock_is_held_until_nothing_is_left(tmp_path: Path) -> None:
    """Also when who asked is gone: the kernel closes its descriptor, the sandbox still has it, the program has not."""
    file = tmp_path / "lock"
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    begun = tmp_path / "begun"
    source = (
        f"import os, time; print(os.path.exists('/proc/self/fd/{lock}')); open({str(begun)!r}, 'w'); time.sleep(0.5)"
    )
    running = asyncio.create_task(run([sys.executable, "-I", "-S", "-c", source], {}, LIMITS, 5.0, lock))
    await eventually(begun.exists)
    os.close(lock)
    other = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ran = await running
        assert (ran.ok, ran.head.strip()) == (True, "False")
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)
