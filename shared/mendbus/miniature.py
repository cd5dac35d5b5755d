"""The whole pipeline in miniature, for tests of agents: a real NATS server and the five services in one process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from mendbus.testing import eventually

if TYPE_CHECKING:
    from mendbus.conformance import Check
    from mendbus.contracts.messages import RecoveryOutcome

__all__ = ["Pipeline", "pipeline"]

READY_SECONDS: Final = 60.0
"""Longest that the services may take to become ready, on a machine that has much else to do."""
_END_SECONDS: Final = 40.0
_LOG_BYTES: Final = 4000


class Pipeline:
    """A running pipeline. `url` is what an agent connects to, as `nats_url` or `NATS_URL`."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def outcome(self, kind: str, agent_id: str, *, timeout: float = 20.0) -> "RecoveryOutcome":
        """The newest outcome of an agent's recoveries; waits for the first, `timeout` seconds at most.

        Raises `AssertionError` when none comes.
        """
        from mendbus import codec
        from mendbus.bus.nats import connect
        from mendbus.contracts.messages import RecoveryOutcome
        from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

        subjects = Subjects()
        bus = await connect(self.url, name="miniature")
        try:
            stored = await eventually(
                lambda: bus.last(subjects.stream("RECOVERIES"), subjects.outcome(kind, agent_id)), timeout, every=0.05
            )
            assert stored is not None
            return codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        finally:
            await bus.close()

    async def conformance(self, kind: str, agent_id: str, *, timeout: float = 5.0) -> "list[Check]":
        """What `mendbus conformance` finds of a live agent: each duty, and whether it is kept."""
        from mendbus.bus.nats import connect
        from mendbus.conformance import conform
        from mendbus.contracts.subjects import Subjects

        bus = await connect(self.url, name="miniature")
        try:
            return await conform(bus, Subjects(), kind, agent_id, timeout=timeout)
        finally:
            await bus.close()


@contextmanager
def pipeline(*, policy: str = "") -> Generator[Pipeline]:
    """A pipeline for the length of a block, under the default policy or one given as TOML text.

    Its files are temporary. What the environment sets for Mendbus does not reach it. Raises `RuntimeError` when it does
    not become ready.
    """
    with TemporaryDirectory(prefix="mendbus-miniature-") as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MENDBUS_", "OTEL_"))}
        environment |= {"MENDBUS_CANARY_SECONDS": "0", "MENDBUS_DATA_DIR": str(folder / "data")}
        if policy:
            (folder / "policy.toml").write_text(policy, encoding="utf-8")
            environment["MENDBUS_POLICY_FILE"] = str(folder / "policy.toml")
        options = {
            "nats_port": 0,
            "http_port": 0,
            "data_dir": environment["MENDBUS_DATA_DIR"],
            "single_process": True,
            "json": True,
        }
        told, log = folder / "told.jsonl", folder / "log.txt"
        with told.open("wb") as out, log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "mendbus.up", json.dumps(options)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )
        try:
            yield Pipeline(_ready(process, told, log))
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: "subprocess.Popen[bytes]", told: Path, log: Path) -> str:
    """The address of NATS, once everything is ready."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        # the last line may be half written
        lines = told.read_text(encoding="utf-8").split("\n")[:-1]
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if any(event["event"] == "ready" for event in events):
            return next(event["url"] for event in events if event["event"] == "nats")
        time.sleep(0.02)
    status = process.poll()
    why = f"did not become ready within {READY_SECONDS:g} s" if status is None else f"ended with status {status}"
    msg = f"the pipeline {why}; the end of its log:\n{log.read_text(encoding='utf-8')[-_LOG_BYTES:]}"
    raise RuntimeError(msg)
