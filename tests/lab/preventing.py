"""`python -m tests.lab.preventing`: failures that are avoided where predictions are acted upon, and what that costs.

The same faults grow in the same agents of the lab's toolchain twice, beside the five services: once nothing is done
before a failure, once the policy has the strategies named here done as soon as one is predicted, none held out. Some
only look like a fault and go so far that nobody is the worse for it: what users notice of those is harm. A fault counts
as avoided when those who use the agent never noticed it. Up to three grow in one toolchain, and what fails takes along
who needs it, in either arm; `--alone` gives each a toolchain to itself, for three times as long. The plan follows from
the seed, as in `tests.lab.planning`; intervals are of 95 % (Wilson's for shares, Newcombe's for differences).
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from tests import results
from tests.harness import installation
from tests.lab.faults.drift import DRIFTS
from tests.lab.kinds import ORDER
from tests.lab.planning import plan
from tests.lab.prevented import ARMS, Acted, Tale, arm, content, table
from tests.lab.processes import end_in_order
from tests.lab.record import LINES, live_all
from tests.lab.recording import Run
from tests.lab.rounds import WARM_SECONDS
from tests.lab.users import AgentRefused
from tests.lab.world import world

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts import foreseen
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.service import run_loop
from mendbus_strategy_selector.policy import PREVENTIVE_MAY, read_policy

ROOT = Path(__file__).parents[2]
RUNS = 80
SECONDS = 120.0
STRATEGIES = "restart,scale_down,graceful_degradation,rollback"


@dataclass
class Ear:
    """Hears what became of predictions: the incidents that they opened, and what was done in them."""

    zero_unix_nano: int = 0
    heard: dict[str, Acted] = field(default_factory=dict[str, Acted])

    async def outcome(self, message: Message) -> None:
        """Notes an outcome of a prediction; later ones of the incident say what came of what was done at first."""
        with suppress(Refused):
            told = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
            if told.error is None or not foreseen.is_predicted(told.error):
                return
            first = told.attempts[0] if told.attempts else None
            self.heard[told.incident_id] = Acted(
                round((told.error.time_unix_nano - self.zero_unix_nano) / 1e9, 3),
                told.agent.kind,
                told.prediction.probability if told.prediction else 0.0,
                first.strategy if first else "",
                first is not None and first.verified and not first.undone,
                (told.reason or "")[:200],
            )


def policy_of(arm_name: str, strategies: Sequence[str], least: float) -> str:
    """The text of the policy of an arm. Raises `SettingsError` for strategies that may not be used."""
    if arm_name == "off":
        return "# nothing here: every setting has its default\n"
    listed = json.dumps(list(strategies))
    kinds = "".join(f"{kind} = {listed}\n" for kind in ORDER)
    text = f"[preventive]\nleast_probability = {least}\nholdout_share = 0.0\n[preventive.strategies]\n{kinds}"
    _ = read_policy(text, "the policy of this run")
    return text


async def play(arm_name: str, policy: str, runs: Sequence[Run], folder: Path) -> list[Tale]:
    """The runs of one toolchain under one policy. Raises what setting up raises."""
    load = os.getloadavg()[0]
    first = runs[0]
    seed = first.seed * 100_003 + first.number
    async with (
        installation(folder / "system", policy=policy) as system,
        world(folder / "world", system.server.url, lines=LINES, seed=seed) as toolchain,
    ):
        for member in toolchain.members.values():
            await member.inside("drift.prepare")
        await asyncio.sleep(WARM_SECONDS)
        ear = Ear(time.time_ns())
        bus = await system.connect("ear")
        _ = await bus.subscribe(system.subjects.everyone("outcome"), ear.outcome)
        await bus.barrier()
        await live_all(runs, toolchain, time.monotonic(), load)
        await bus.close()
    with_fault = frozenset(run.agent for run in runs)
    heard = sorted(ear.heard.values(), key=lambda one: one.at)
    # Of agents with no fault of their own the first tale tells.
    return [
        Tale(arm_name, run, heard, with_fault - {run.agent} if run is first else frozenset(ORDER) - {run.agent})
        for run in runs
    ]


async def play_all(
    worlds: Sequence[Sequence[Run]], policies: Mapping[str, str], folder: Path, told: list[Tale], broken: list[str]
) -> None:
    """Plays each toolchain once in each arm, in turn, so that what the machine does meets both.

    Adds to `told` what came of them, and to `broken` a sentence for each that could not be played.
    """
    for number, runs in enumerate(worlds):
        for name in ARMS if number % 2 == 0 else reversed(ARMS):
            begun, place = time.monotonic(), folder / f"{number}-{name}"
            place.mkdir()
            try:
                tales = await play(name, policies[name], deepcopy(list(runs)), place)
            except (OSError, TimeoutError, AssertionError, AgentRefused, ExceptionGroup) as problem:
                broken.append(f"toolchain {number}, {name}: {repr(problem)[-400:]}")
                print(f"NOT PLAYED {broken[-1]}", file=sys.stderr, flush=True)
                continue
            told += tales
            line = ", ".join(
                f"{tale.run.name} {'noticed' if tale.felt else 'not noticed'}"
                f" ({' '.join(one.strategy for one in tale.mine() if one.strategy) or 'nothing done'})"
                for tale in tales
            )
            clock = f"{time.monotonic() - begun:.0f} s"
            print(f"[{number + 1}/{len(worlds)}, {name}, {clock}] {line}", file=sys.stderr, flush=True)


def planned(runs: int, seconds: float, seed: int, *, alone: bool = False) -> list[list[Run]]:
    """The toolchains of a seed, each with what grows in it or looks like it; nothing else befalls them."""
    worlds: dict[int, list[Run]] = {}
    for run in plan(runs, seconds, seed):
        if run.name in DRIFTS:
            worlds.setdefault(run.number if alone else run.world, []).append(run)
    return list(worlds.values())


def main() -> int:
    """Returns the exit status: 1 when a toolchain could not be played."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.preventing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="drawn, of which two thirds grow (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a toolchain (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="one fault a toolchain")
    parser.add_argument("--least", type=float, default=0.0, help="least probability acted upon (default: %(default)g)")
    parser.add_argument(
        "--strategies", default=STRATEGIES, metavar="STRATEGY,...", help=f"of: {', '.join(PREVENTIVE_MAY)}"
    )
    options = parser.parse_args()
    strategies = options.strategies.split(",")
    if unknown := set(strategies) - set(PREVENTIVE_MAY):
        parser.error(f"{', '.join(sorted(unknown))} may not be used before a failure: {', '.join(PREVENTIVE_MAY)}")
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    end_in_order()
    begun = time.monotonic()
    worlds = planned(options.runs, options.seconds, options.seed, alone=options.alone)
    policies = {name: policy_of(name, strategies, options.least) for name in ARMS}
    tales, broken = list[Tale](), list[str]()
    with tempfile.TemporaryDirectory(prefix="mendbus-preventing-", ignore_cleanup_errors=True) as folder:
        run_loop(play_all(worlds, policies, Path(folder), tales, broken))
    arms = {name: arm([tale for tale in tales if tale.arm == name]) for name in ARMS}
    conditions = results.conditions(
        " ".join(["python -m tests.lab.preventing", *sys.argv[1:]]),
        seed=options.seed,
        alone=options.alone,
        strategies=strategies,
        least_probability=options.least,
        seconds=round(time.monotonic() - begun, 1),
        toolchains=len(worlds),
        not_played=broken,
    )
    print(table(arms))
    file = results.write("preventing", content(tales, arms, conditions))
    print(f"written to {file.relative_to(ROOT)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
