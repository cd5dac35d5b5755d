"""The command `predictions`: what predicted failures were worth, counted by what came of them."""

from typing import TYPE_CHECKING, Any

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings

if TYPE_CHECKING:
    from mendbus.settings import Settings


@with_settings
def predictions(settings: "Settings", as_json: AsJson = False) -> None:
    """Show what predicted failures were worth.

    How many came true (precision), how many failures were foretold (recall) and how long before, with intervals of
    95 % confidence, false alarms, and how far probabilities were off; since the health-monitor was started. What was
    acted upon is left out: nobody knows what would have come of it.
    """
    run(show(settings, as_json=as_json))


async def show(settings: "Settings", *, as_json: bool) -> None:
    """Prints what predictions were worth."""
    from mendbus.asking import health
    from mendbus.cli.output import clean, document, moment, say, table

    async with connected(settings) as bus:
        told = await health.predictions(bus, settings.subjects)
    if as_json:
        document(told)
        return
    wrong, lead, hours = told["false_alarms"], told["lead"], told["agent_hours"]
    say(f"since {moment(told['since_unix_nano'])}, {hours:.2f} agent hours; {told['waiting']} not judged yet")
    say(f"precision       {_share(told['precision'])} of predictions came true")
    say(f"recall          {_share(told['recall'])} of failures were foretold")
    say(f"lead time       {_lead(lead)}")
    say(f"false alarms    {wrong['count']}{_rate(wrong)}")
    say(f"calibration     {_calibration(told['calibration'])}")
    say(f"left out        {_counts(told['left_out'])}; failures: {_counts(told['failures_left_out'])}")
    if told["models"]:
        say()
        rows = [
            (clean(row["model"]), _share(row["precision"]), _calibration(row["calibration"]), _counts(row["left_out"]))
            for row in told["models"]
        ]
        table(("model", "precision", "calibration", "left out"), rows)


def _share(share: dict[str, Any]) -> str:
    if "share" not in share:
        return "-"
    return f"{share['share']:.1%} ({share['low']:.0%}-{share['high']:.0%}, {share['hits']} of {share['of']})"


def _lead(lead: dict[str, Any]) -> str:
    if not lead["n"]:
        return "-"
    return f"{lead['median_ms'] / 1000:.1f} s (median), {lead['mean_ms'] / 1000:.1f} s (mean) of {lead['n']}"


def _rate(wrong: dict[str, Any]) -> str:
    return f", {wrong['per_agent_hour']:.2f} an agent hour" if "per_agent_hour" in wrong else ""


def _calibration(found: dict[str, Any]) -> str:
    return f"error {found['error']:.3f}, Brier {found['brier']:.3f}, of {found['of']}" if found["of"] else "-"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "none"
