"""What a signature costs each command: `python -m tests.bench.signing` prints microseconds; needs no server."""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.subjects import Subjects
from mendbus.security import credentials, keys
from mendbus.security.credentials import Credentials, Identity
from mendbus.security.keys import KeyPair
from mendbus.security.signing import Guard, Signer, Trust

_RUNS = 2000
_SECOND = 1_000_000_000


def microseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile of one run."""
    took: list[float] = []
    for _ in range(_RUNS):
        begun = time.perf_counter_ns()
        _ = work()
        took.append((time.perf_counter_ns() - begun) / 1000)
    cut = statistics.quantiles(took, n=100)
    return cut[49], cut[98]


def main() -> int:
    """Prints one line for signing and one for checking."""
    pair, subjects = KeyPair.generate(), Subjects()
    signing = pair.for_signatures()
    subject = subjects.command("runtime", "r1")
    deadline = time.time_ns() + 5 * _SECOND
    content = {"command_id": "c", "incident_id": "i", "attempt": 1, "agent": {"kind": "runtime", "id": "r1"}}
    content |= {"action": "apply", "strategy": "retry", "parameters": {}, "instance": "b", "fence": 1}
    body = codec.pack(content | {"timeout_ms": 5000, "deadline_unix_nano": deadline})
    with tempfile.TemporaryDirectory(prefix="mendbus-signing-") as name:
        file, trusted = Path(name) / "executor.nk", Path(name) / "keys.json"
        credentials.write(file, Identity("service/executor", pair))
        key = {"kid": signing.kid, "public": keys.to_base64(signing.public), "user": "service/executor"}
        _ = trusted.write_text(json.dumps({"keys": [key | {"role": "executor"}]}))
        signer, guard = Signer(Credentials(file, "service/executor"), subjects), Guard(Trust(trusted), subjects)
        message = Message(subject, body, dict(signer.headers(subject, body, {}) or {}))
        for what, work in (
            ("sign a command", lambda: signer.headers(subject, body, {})),
            ("check a command", lambda: guard.check(message)),
        ):
            middle, slow = microseconds(work)
            sys.stdout.write(f"{what}: p50 {middle:.1f} us, p99 {slow:.1f} us ({_RUNS} runs, {len(body)} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
