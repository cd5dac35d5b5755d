"""`python -m tests.cluster`: a cluster of three under fire, from a seed; says what must hold, how available it was."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import results
from tests.cluster.books import (
    AIM,
    DEADLINE_SECONDS,
    MUST,
    WELL,
    Recovery,
    availability,
    lost,
    pauses,
    quantile,
    twice,
)
from tests.cluster.plan import KILLS, KINDS, Kind, blows
from tests.cluster.rig import Rig, recoveries, rig
from tests.harness import assert_exact, settled_ledger

from mendbus.service import run_loop

JUDGED = 10_000
"""Recoveries that a run must have for its figures to be kept."""


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures. Raises `AssertionError` when anything was lost, counted twice or effective twice."""
    async with rig(folder, options.agents) as made:
        assert await made.cluster.synced(), "a node does not sync every write"
        if not made.cluster.may_fill:
            print("no disk is filled: this process may not mount a small file system", flush=True)
        begun = time.monotonic()
        loading = asyncio.create_task(made.load(options.recoveries, options.rate, options.seed), name="load")
        kinds = [kind for kind in options.only if made.cluster.may_fill or kind != "fill"]
        drawn = blows(options.seed, kinds)
        await made.strike(drawn, loading.done, lambda words: print(f"{time.monotonic() - begun:6.1f} s  {words}"))
        await loading
        async with made.bus("reader") as bus:
            ledger = await settled_ledger(bus, made.subjects, made.agents, timeout=options.patience)
            assert_exact(ledger, made.agents)
            return _figures(made, await recoveries(bus, made, ledger), ledger.counted, time.monotonic() - begun)


def _figures(made: Rig, found: list[Recovery], counted: "Counter[str]", seconds: float) -> dict[str, Any]:
    good = availability(found)
    acknowledged = list(made.notes)
    times = [one.seconds for one in found if one.recovered]
    ack = [one.acknowledged - one.reported for one in found]
    otherwise = Counter(f"{one.outcome}: {one.reason}"[:100] for one in found if one.outcome != "recovered")
    late = sum(one.outcome in WELL and not one.good for one in found)
    print(f"\n{len(made.held)} blows in {seconds:.0f} s: {dict(Counter(held.kind for held in made.held))}")
    print(f"services started again: {dict(made.started)}; connections of hosts renewed: {_renewed(made)}")
    for words in made.never_whole:
        print(f"NOT WHOLE AGAIN within the time: {words}")
    print("by kind of blow: how often; longest recovery of a failure since then, median and worst; recovered well, of")
    for kind, cost in pauses(found, made.held).items():
        print(f"  {kind:16} {cost.number:4}  {cost.median:6.2f} s  {cost.worst:6.2f} s  {cost.good:6} {cost.of:6}")
    p50, p99 = (quantile(times, share) for share in (0.5, 0.99))
    print(f"failure -> recovered: p50 {p50:.3f} s, p99 {p99:.3f} s, longest {max(times, default=0.0):.2f} s")
    print(f"failure -> acknowledged: p99 {quantile(ack, 0.99):.3f} s, longest {max(ack, default=0.0):.2f} s")
    print(f"ended otherwise: {dict(otherwise)}; recovered later than after {DEADLINE_SECONDS:g} s: {late}")
    missing, double = lost(acknowledged, counted), twice(acknowledged, counted)
    print(
        f"{len(acknowledged)} events acknowledged, every node with sync always: {len(missing)} lost, {len(double)} "
        f"counted twice; all nodes killed with SIGKILL {sum(held.kind == 'kill all' for held in made.held)} times"
    )
    low, high = good.low or 0.0, good.high or 0.0
    print(
        f"availability {100 * (good.share or 0.0):.3f} % of {good.of} recoveries, interval (95 %) {100 * low:.3f} to "
        f"{100 * high:.3f} %; must {100 * MUST:g} %, aim {100 * AIM:g} %"
    )
    return {
        "chaos.recoveries": good.of,
        "chaos.succeeded_percent": {"value": 100 * (good.share or 0.0), "interval": [100 * low, 100 * high]},
        "chaos.lost": len(missing),
        "chaos.twice": len(double),
        "chaos.late": late,
        "chaos.blows": len(made.held),
        "chaos.longest_seconds": max(times, default=0.0),
    }


def _renewed(made: Rig) -> int:
    return sum(host.renewed for host in made.hosts)


def main() -> int:
    """Returns the exit status: 1 when something was lost or done twice, 2 when the must was missed."""
    options = _options()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mendbus-cluster-", ignore_cleanup_errors=True) as name:
        try:
            figures = run_loop_returning(options, Path(name))
        except* AssertionError as broken:
            for error in broken.exceptions:
                print(f"BROKEN, seed {options.seed}: {error!r}")
    if not figures:
        return 1
    print(f"seed {options.seed}: nothing lost, counted twice or effective twice")
    if options.recoveries >= JUDGED:
        _write(figures, options)
    return 0 if figures["chaos.succeeded_percent"]["value"] >= 100 * MUST else 2


def _write(figures: dict[str, Any], options: argparse.Namespace) -> None:
    """For the report; what a short run comes to is no figure."""
    conditions = results.conditions(
        " ".join(["python -m tests.cluster", *sys.argv[1:]]),
        seed=options.seed,
        rate=options.rate,
        deadline_seconds=DEADLINE_SECONDS,
    )
    file = results.write("chaos", {"figures": figures, "conditions": conditions})
    print(f"written to {file.name}")


def run_loop_returning(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What `run` returns, on the loop that services use."""
    found: dict[str, Any] = {}

    async def whole() -> None:
        found.update(await run(options, folder))

    run_loop(whole())
    return found


def _kinds(text: str) -> Sequence[Kind]:
    wanted = KILLS if text == "kills" else text.split(",")
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        msg = f"there is no kind {', '.join(unknown)}; there are {', '.join(KINDS)}, and `kills` for some of them"
        raise argparse.ArgumentTypeError(msg)
    return [kind for kind in KINDS if kind in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A NATS cluster of three under fire.")
    _ = parser.add_argument("--seed", type=int, default=1, help="blows and load are drawn from it (1)")
    _ = parser.add_argument("--recoveries", type=int, default=10_000, help="failures, each of its own kind (10000)")
    _ = parser.add_argument("--rate", type=float, default=8.0, help="failures a second (8)")
    _ = parser.add_argument("--agents", type=int, default=120, help="agents (120)")
    _ = parser.add_argument(
        "--only",
        type=_kinds,
        default=KINDS,
        metavar="KIND,...",
        help=f"kills ({', '.join(KILLS)}), or of: {', '.join(KINDS)}",
    )
    _ = parser.add_argument("--patience", type=float, default=600.0, help="seconds for what is left at the end (600)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
