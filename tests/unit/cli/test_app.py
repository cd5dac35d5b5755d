"""The application: its commands, its errors, its exit status, and what it costs to start."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mendbus.cli import app, main, up
from mendbus.cli.bench import checkout

COMMANDS = ["up", "demo", "run", "report", "watch", "incidents", "explain", "trace", "dead", "doctor", "decode"]
COMMANDS += [
    "conformance",
    "bench",
    "profile",
    "audit",
    "export",
    "pause",
    "resume",
    "approve",
    "close",
    "replay",
    "inject",
    "analytics",
    "models",
    "score",
    "train",
    "note",
    "relabel",
    "alerts",
    "capacity",
    "predictions",
    "checkpoints",
    "pauses",
]
NOWHERE = "nats://127.0.0.1:1"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.delenv("NATS_URL", raising=False)
    monkeypatch.setenv("MENDBUS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("mendbus.cli.connect.CONNECT_SECONDS", 0.2)
    return CliRunner()


def test_help_names_every_command_on_a_line_of_its_own(runner: CliRunner) -> None:
    """The help page lists each command, each with a whole sentence."""
    shown = runner.invoke(app.build(), ["--help"])
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.output.splitlines()]
    for command in COMMANDS:
        assert any(words[:1] == [command] and not words[-1].endswith("...") for words in lines), command
    assert "Exit status: 0" in shown.output


def test_every_command_takes_json_and_explains_itself(runner: CliRunner) -> None:
    """Each command but those that hand over has --json and a help page."""
    group = {
        "dead": ("list", "show", "replay"),
        "audit": ("verify",),
        "export": ("audit", "incidents", "alerts", "relabels", "health"),
        "alerts": ("show", "ack", "silence", "silences", "unsilence"),
        "models": ("list", "compare", "add", "promote", "rollback"),
        "score": ("errors",),
        "train": ("errors",),
    }
    for command in COMMANDS:
        for words in [[command, sub] for sub in group.get(command, ())] or [[command]]:
            shown = runner.invoke(app.build(), [*words, "--help"])
            assert shown.exit_code == 0, words
            assert "--json" in shown.output or command == "run", words


def test_the_command_line_loads_nothing_heavy() -> None:
    """Showing help imports neither the bus nor pydantic, numpy or rich."""
    heavy = ("rich", "pydantic", "nats", "numpy", "msgpack", "asyncio.subprocess", "mendbus.bus.nats")
    code = (
        "import sys; from mendbus.cli.app import build; from typer.testing import CliRunner;"
        f"build(); print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['asyncio.subprocess']")


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with the status that shells know."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mendbus.cli.app.run", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_version_is_the_distribution_s(runner: CliRunner) -> None:
    """--version prints the version of the installed distribution."""
    assert runner.invoke(app.build(), ["--version"]).output.strip() == version("mendbus")


@pytest.mark.parametrize(
    "words",
    [
        ["incidents", "--nats-url", NOWHERE],
        ["explain", "0123", "--nats-url", NOWHERE],
        ["dead", "list", "--nats-url", NOWHERE],
        ["report", "a/b", "--type", "X", "--message", "y", "--nats-url", NOWHERE],
        ["conformance", "--agent", "a/b", "--nats-url", NOWHERE],
        ["watch", "--nats-url", NOWHERE],
        ["audit", "verify", "--nats-url", NOWHERE],
        ["audit", "verify", "--heads", "/no/such/file"],
        ["export", "audit", "--nats-url", NOWHERE],
        ["export", "incidents", "--output", "/no/such/folder/file"],
        ["profile", "executor", "--nats-url", NOWHERE],
        ["profile", "0123", "--nats-url", NOWHERE],
        ["inject", "refused", "--agent", "a/b", "--nats-url", NOWHERE],
        ["capacity", "--nats-url", NOWHERE],
        ["predictions", "--nats-url", NOWHERE],
        ["trace"],
        ["trace", "--incident", "0123", "--nats-url", NOWHERE],
        ["decode", "/no/such/file"],
        ["analytics", "--nats-url", NOWHERE],
        ["note", "0123", "text", "--nats-url", NOWHERE],
        ["relabel", "0123", "--category", "build", "--reason", "why", "--nats-url", NOWHERE],
        ["export", "alerts", "--nats-url", NOWHERE],
        ["pause", "--all", "--nats-url", NOWHERE],
        ["resume", "runtime/r1", "--nats-url", NOWHERE],
        ["approve", "0123", "--nats-url", NOWHERE],
        ["close", "0123", "--nats-url", NOWHERE],
        ["replay", "--policy", "/no/such/file"],
        ["pauses", "--nats-url", NOWHERE],
        ["checkpoints", "a/b", "--nats-url", NOWHERE],
    ],
)
def test_a_failure_is_one_sentence_and_status_1(runner: CliRunner, words: list[str]) -> None:
    """What cannot be done is said on standard error without a traceback, with status 1."""
    shown = runner.invoke(app.build(), words)
    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith("mendbus: ")
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["inject"],
        ["inject", "refused"],
        ["inject", "no_such_fault", "--agent", "a/b"],
        ["inject", "refused", "--agent", "nobody"],
        ["inject", "refused", "--agent", "a/b", "--seconds", "301"],
        ["inject", "refused", "--agent", "a/b", "--pid", "4711"],
        ["inject", "flaky", "--agent", "a/b", "-p", "probability=2"],
        ["inject", "flaky", "--agent", "a/b", "-p", "odds=0.5"],
        ["inject", "flaky", "--agent", "a/b", "-p", "probability"],
        ["inject", "kill", "--agent", "a/b", "--operation", "fetch"],
        ["capacity", "a.b"],
        ["checkpoints", "nobody"],
        ["incidents", "--since", "yesterday"],
        ["incidents", "--agent", "nobody"],
        ["report", "a.b/c", "--type", "X", "--message", "y"],
        ["report", "a/b", "--type", "X"],
        ["report", "a/b", "--type", "X", "--message", "y", "--severity", "dire"],
        ["run", "nobody"],
        ["audit", "verify", "--partition", "first"],
        ["export", "audit", "--since", "yesterday"],
        ["export", "incidents", "--until", "2026-13-01T00:00:00Z"],
        ["export", "audit", "--format", "xml"],
        ["profile", "executor", "--seconds", "31"],
        ["up", "--nats-port", "70000"],
        ["incidents", "--root", "spaces are wrong"],
        ["pause"],
        ["resume"],
        ["pause", "runtime", "--all"],
        ["pause", "a.b/c"],
        ["pause", "--all", "--for", "8d"],
        ["analytics", "--from", "yesterday"],
        ["analytics", "--from", "1h", "--to", "2h"],
        ["note", "0123"],
        ["note", "0123", " "],
        ["note", "0123", "x" * 1025],
        ["relabel", "0123", "--category", "build"],
        ["relabel", "0123", "--category", "weather", "--reason", "why"],
        ["relabel", "0123", "--category", "unknown", "--reason", "why"],
    ],
)
def test_wrong_usage_is_status_2(runner: CliRunner, words: list[str]) -> None:
    """Arguments and settings that make no sense end with status 2, and are named."""
    shown = runner.invoke(app.build(), words)
    assert shown.exit_code == 2
    assert shown.stderr


def test_an_unknown_setting_is_status_2(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable of the environment is named, not passed over."""
    monkeypatch.setenv("MENDBUS_DATADIR", "x")
    shown = runner.invoke(app.build(), ["incidents"])
    assert shown.exit_code == 2
    assert "MENDBUS_DATADIR" in shown.stderr


class _BecameError(Exception):
    pass


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Command lines that this process would have become."""
    lines: list[list[str]] = []

    def execv(_program: str, arguments: list[str]) -> None:
        lines.append(arguments)
        raise _BecameError

    monkeypatch.setattr("os.execv", execv)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield lines
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_run_becomes_the_service(runner: CliRunner, became: list[list[str]]) -> None:
    """`mendbus run` leaves nothing of the command line in memory."""
    runner.invoke(app.build(), ["run", "classifier"])
    assert became == [[sys.executable, "-m", "mendbus.service", "classifier"]]


@pytest.mark.parametrize(
    ("words", "port"),
    [([], up.HTTP_PORT), (["--http-port", "0"], 0), (["--http-port", "8123"], 8123)],
)
def test_up_becomes_the_supervisor(
    runner: CliRunner, became: list[list[str]], words: list[str], port: int, tmp_path: Path
) -> None:
    """`mendbus up` hands its options over, the defaults too."""
    from mendbus.up import Options

    runner.invoke(app.build(), ["up", "--single-process", *words])
    assert became[0][:3] == [sys.executable, "-m", "mendbus.up"]
    options = Options.from_json(became[0][3])
    assert options == Options(
        nats_port=up.NATS_PORT,
        http_port=port,
        data_dir=str(tmp_path),
        single_process=True,
        json=False,
        dashboard_port=up.DASHBOARD_PORT,
    )


def test_up_takes_its_ports_from_the_settings(
    runner: CliRunner, became: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MENDBUS_HTTP_PORT and MENDBUS_DASHBOARD_PORT count where no option is given, and not where one is."""
    monkeypatch.setenv("MENDBUS_HTTP_PORT", "9001")
    monkeypatch.setenv("MENDBUS_DASHBOARD_PORT", "9002")
    runner.invoke(app.build(), ["up"])
    assert '"http_port": 9001' in became[0][3]
    assert '"dashboard_port": 9002' in became[0][3]
    runner.invoke(app.build(), ["up", "--dashboard-port", "-1"])
    assert '"dashboard_port": -1' in became[1][3]


def test_bench_becomes_the_checkout_s_bench(
    runner: CliRunner, became: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`mendbus bench` runs in the checkout and hands its arguments on; elsewhere it says that it needs one."""
    root = checkout()
    assert root is not None
    monkeypatch.chdir(root)
    runner.invoke(app.build(), ["bench", "--quick", "--only", "start"])
    assert became == [[sys.executable, "-m", "tests.bench", "--quick", "--only", "start"]]
    monkeypatch.setattr("mendbus.cli.bench.__file__", str(tmp_path / "site" / "bench.py"))
    monkeypatch.chdir(tmp_path)
    shown = runner.invoke(app.build(), ["bench"])
    assert shown.exit_code == 1
    assert "checkout" in shown.stderr


@pytest.mark.parametrize("status", [0, 1])
def test_demo_ends_with_the_demo_s_status(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """`mendbus demo` plays the demo, in the wanted form, and returns what it returned."""
    played: list[tuple[bool, bool]] = []

    def play(*, as_json: bool, secure: bool) -> int:
        played.append((as_json, secure))
        return status

    monkeypatch.setattr("mendbus.demo.main", play)
    assert runner.invoke(app.build(), ["demo", "--json"]).exit_code == status
    assert runner.invoke(app.build(), ["demo", "--secure"]).exit_code == status
    assert played == [(True, False), (False, True)]
