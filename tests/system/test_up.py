"""`mendbus up` as a person runs it: started, used, hurt, and stopped."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.harness import unmeasured

from mendbus.contracts.vocabulary import SERVICES

pytestmark = pytest.mark.timeout(120)

MENDBUS = Path(sys.executable).parent / "mendbus"
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
COMMAND_SECONDS = 30.0
POLICY = "recovery_timeout_ms = 300\n"
PARTS = ("nats-server", *SERVICES)
ANY_PORTS = ("--nats-port", "0", "--http-port", "0", "--dashboard-port", "0")


@dataclass
class Up:
    """A running `mendbus up`, and what it has said."""

    process: subprocess.Popen[bytes]
    folder: Path
    said: Path
    logged: Path
    seen: set[int] = field(default_factory=set[int])

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()

    def state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / "up.json").read_text())
        except FileNotFoundError:
            return {"pids": {}}
        self.seen |= {self.process.pid, *state["pids"].values()}
        return state

    def pid(self, name: str) -> int:
        return self.state()["pids"].get(name, 0)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(self.state()["http_url"] + path, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def mendbus(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(*words, "--data-dir", str(self.folder))

    def stop(self, number: int = signal.SIGINT) -> float:
        """Sends a signal; returns the seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOP_SECONDS)
        return time.monotonic() - began

    def left(self) -> list[int]:
        """Processes of this installation that are still there, zombies aside."""
        return [pid for pid in self.seen if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _environment(*, measured: bool = True) -> dict[str, str]:
    known = os.environ if measured else unmeasured()
    return {name: value for name, value in known.items() if not name.startswith(("MENDBUS_", "NATS_", "OTEL_"))}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end. Those that ask are measured elsewhere, within the process of their tests."""
    return subprocess.run(
        [str(MENDBUS), *words],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(measured=words[0] == "up") | environment,
        timeout=COMMAND_SECONDS,
    )


def until(predicate: Callable[[], object], seconds: float = READY_SECONDS) -> None:
    """Asks until the answer is true."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"{predicate} was not true within {seconds:g} s"
        time.sleep(0.02)


def _command(folder: Path) -> list[str]:
    return [str(MENDBUS), "up", *ANY_PORTS, "--data-dir", str(folder / "data")]


@contextmanager
def up(folder: Path, *words: str, **environment: str) -> Generator[Up]:
    """Starts everything, waits until it says that it is ready, and leaves nothing behind."""
    said, logged, policy = folder / "said", folder / "logged", folder / "policy.toml"
    policy.write_text(POLICY)  # agents that nobody runs are not waited for as long
    with said.open("wb") as out, logged.open("wb") as err:
        process = subprocess.Popen(
            [*_command(folder), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=_environment() | {"MENDBUS_POLICY_FILE": str(policy)} | environment,
            start_new_session=True,
        )
    running = Up(process, folder / "data", said, logged)
    try:
        until(lambda: process.poll() is not None or len(running.lines()) >= 3 + len(PARTS))
        assert process.poll() is None, logged.read_text()
        running.state()
        yield running
    finally:
        for pid in {process.pid, *running.seen}:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


def _ready(running: Up, name: str, other_than: int) -> Callable[[], bool]:
    return lambda: running.pid(name) not in (0, other_than) and running.get("/readyz")[0] == 200


def test_everything_runs_is_healed_and_stops(tmp_path: Path) -> None:
    """What `up` promises, in one life: ready, an error dealt with, deaths healed, an end that leaves nothing."""
    with up(tmp_path) as running:
        # ready
        lines, state = running.lines(), running.state()
        assert lines[0] == f"NATS  {state['url']}"
        assert lines[1] == f"HTTP  {state['http_url']}"
        assert [line.split()[:2] for line in lines[2:-1]] == [[name, "ready"] for name in PARTS]
        assert lines[-1].split()[0] == "dashboard"
        assert lines[-1].split()[1].startswith(f"{state['dashboard_url']}#token=")
        assert running.get("/livez") == (200, {"live": True})
        status, told = running.get("/readyz")
        assert status == 200
        assert set(told["services"]) == set(SERVICES)
        assert all(one["ready"] and one["conditions"] for one in told["services"].values())
        assert told["nats"]["pid"] == state["pids"]["nats-server"]

        # used: nobody runs this agent, so a person is asked
        shown = running.mendbus("report", "runtime/nobody", "--type", "X", "--message", "boom", "--wait", "--json")
        assert shown.returncode == 0, shown.stderr
        incident = json.loads(shown.stdout)["outcome"]
        assert incident["outcome"] == "escalated"
        listed = running.mendbus("incidents", "--open").stdout.splitlines()
        assert listed[1].split()[1] == "runtime/nobody"
        explained = running.mendbus("explain", incident["incident_id"], "--audit")
        assert "attempt 1" in explained.stdout
        assert "concluded" in explained.stdout
        until(lambda: incident["incident_id"] in running.mendbus("trace", "--incident", incident["incident_id"]).stdout)
        doctor = running.mendbus("doctor")
        assert doctor.returncode == 0, doctor.stdout

        # hurt
        for name in ("classifier", "nats-server"):
            before = running.pid(name)
            os.kill(before, signal.SIGKILL)
            until(_ready(running, name, before))
            assert any(line.startswith(name) and "ended on SIGKILL" in line for line in running.lines())
        assert running.state()["url"] == state["url"]
        again = running.mendbus("report", "runtime/nobody", "--type", "X", "--message", "boom", "--wait")
        assert again.returncode == 0, again.stderr

        # asleep: it counts as not ready, and is not killed for it
        sleeper = running.pid("predictor")
        os.kill(sleeper, signal.SIGSTOP)
        until(lambda: running.get("/readyz")[1]["services"]["predictor"]["detail"] == "does not answer /readyz")
        assert running.get("/readyz")[0] == 503
        os.kill(sleeper, signal.SIGCONT)
        until(lambda: running.get("/readyz")[0] == 200)
        assert running.pid("predictor") == sleeper

        # stopped, as Ctrl-C in a terminal does it: to the whole group of the foreground
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.process.wait(STOP_SECONDS) == 0
        assert running.left() == []
        assert running.lines()[-1] == "stopping"
        assert not (running.folder / "up.json").exists()


def test_children_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL of `mendbus up` ends services and server too; the next `up` has everything that was stored."""
    with up(tmp_path, "--json") as running:
        told = [json.loads(line) for line in running.lines()]
        assert [one["event"] for one in told[:3]] == ["nats", "http", "part"]
        assert running.mendbus("report", "a/b", "--type", "X", "--message", "boom", "--wait").returncode == 0
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        until(lambda: running.left() == [], STOP_SECONDS)
        assert run("incidents", "--nats-url", told[0]["url"]).returncode == 1
    with up(tmp_path) as running:
        assert "a/b" in running.mendbus("incidents").stdout
        # A service that hangs has its time to end, but a second signal ends the wait.
        os.kill(running.pid("predictor"), signal.SIGSTOP)
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.lines()[-1] == "stopping")
        assert running.stop(signal.SIGTERM) < STOP_SECONDS
        assert running.process.returncode == 0
        assert running.left() == []


def test_all_services_run_in_one_process(tmp_path: Path) -> None:
    """--single-process: one process and its server do the same, survive the death of the server, and are alone."""
    with up(tmp_path, "--single-process") as running:
        state = running.state()
        assert {state["pids"][service] for service in SERVICES} == {running.process.pid} == {state["pid"]}
        assert len(psutil.Process(running.process.pid).children(recursive=True)) == 1
        status, told = running.get("/readyz")
        assert (status, set(told["services"])) == (200, set(SERVICES))

        before = running.pid("nats-server")
        os.kill(before, signal.SIGKILL)
        until(_ready(running, "nats-server", before))
        shown = running.mendbus("report", "runtime/nobody", "--type", "X", "--message", "boom", "--wait")
        assert shown.stdout.splitlines()[1].startswith("escalated")

        other = str(tmp_path / "other")
        nats_port, http_port = state["url"].rsplit(":", 1)[1], str(state["http_port"])
        for words, said in (
            (
                ("--nats-port", "0", "--http-port", "0", "--data-dir", str(running.folder)),
                "choose another --data-dir",
            ),
            (
                ("--nats-port", nats_port, "--http-port", "0", "--data-dir", other),
                "choose another with --nats-port",
            ),
            (("--nats-port", "0", "--http-port", http_port, "--data-dir", other), "another port with --http-port"),
            (
                ("--nats-port", "0", "--http-port", http_port, "--data-dir", other, "--single-process"),
                "another port with --http-port",
            ),
        ):
            taken = run("up", *words)
            assert (taken.returncode, said in taken.stderr) == (1, True), taken.stderr
        assert running.get("/readyz")[0] == 200

        assert running.stop() < STOP_SECONDS
        assert running.process.returncode == 0
        assert running.left() == []


def test_an_end_while_it_starts_is_a_good_end(tmp_path: Path) -> None:
    """Ctrl-C before anything is ready, even before it has loaded, ends with status 0 and leaves nothing."""
    # As a shell starts what ends in `&`: SIGINT is ignored, until somebody wants it.
    shell = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *_command(tmp_path)]
    with subprocess.Popen(shell, stdout=-1, stderr=-1, env=_environment()) as process:
        until(lambda: "mendbus.up" in psutil.Process(process.pid).cmdline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=COMMAND_SECONDS)
    assert (process.returncode, out) == (0, b""), err
    assert b"Traceback" not in err
    assert not (tmp_path / "data" / "up.json").exists()


@pytest.mark.parametrize("words", [[], ["--single-process"]])
def test_a_service_that_refuses_its_settings_ends_everything(tmp_path: Path, words: list[str]) -> None:
    """What no restart can heal is not restarted: status 2, with the service's own words."""
    policy = tmp_path / "policy.toml"
    policy.write_text("no_such_setting = 1\n")
    ended = run("up", *ANY_PORTS, "--data-dir", str(tmp_path / "data"), *words, MENDBUS_POLICY_FILE=str(policy))
    assert ended.returncode == 2, ended.stderr
    assert "no_such_setting" in ended.stderr
    assert ended.stdout == ""
