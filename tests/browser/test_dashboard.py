"""The dashboard in a real browser on a real installation: what appears, what can be done, and how it looks."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from tests.browser.checks import CONTRAST, GAPS, LABELS, SEEN
from tests.browser.conftest import PATIENCE_MS, TOKEN, Tab, Up
from tests.browser.crowd import FAULTS, Member, gather, health, now

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, FailurePredicted, HealthStatus
from mendbus.testing import eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PICTURES = Path(__file__).parents[2] / "results" / "screenshots"
PAGES = {
    "overview": "",
    "incidents": "incidents",
    "approvals": "approvals",
    "alerts": "alerts",
    "pauses": "pauses",
    "strategies": "strategies",
    "analytics": "analytics",
    "capacity": "capacity",
    "dead": "dead",
}
SECURITY = next(fault for fault in FAULTS if fault.type == "PermissionError")
HOPELESS = next(fault for fault in FAULTS if fault.tries > 3)
PASSING = next(fault for fault in FAULTS if not fault.tries and fault.kind == "versioning")


async def member(bus: Bus, up: Up, kind: str) -> Member:
    """An agent of its own for a test."""
    one = Member(bus, up.subjects, kind, f"b-{new_id()[-8:]}")
    await one.join()
    return one


async def fill(tab: Tab, **values: str) -> None:
    """Fills the dialog that is open, and sends it; waits until it has closed."""
    for name, value in values.items():
        await tab.page.fill(f'dialog [name="{name}"]', value)
    await tab.page.click("dialog button[type=submit]")
    await tab.page.wait_for_selector("dialog", state="detached")


async def operated(up: Up, verb: str) -> list[dict[str, Any]]:
    """What the audit trail holds of a verb, the oldest first, as the command line exports it."""
    rows = await up.lines("export", "audit", "--since", "1h")
    return [row for row in rows if row["details"].get("type") == "operated" and row["details"]["verb"] == verb]


async def test_an_error_appears_without_a_reload(up: Up, bus: Bus, tab: Tab) -> None:
    """An error that NATS has acknowledged stands on the open page, then its end; how long that took is printed."""
    one = await member(bus, up, PASSING.kind)
    await tab.open("incidents")
    seen = asyncio.create_task(tab.page.evaluate(SEEN, one.ref.key))
    await asyncio.sleep(0)
    await one.fail(PASSING)
    sent = time.time() * 1000
    print(f"\nan error is on the page {await seen - sent:.0f} ms after NATS has it")
    await tab.page.wait_for_selector(f'.live li:has-text("{one.ref.key}") .track .over', timeout=20_000)


async def test_a_reload_loses_nothing(up: Up, bus: Bus, tab: Tab) -> None:
    """What waits for a person stands on the page after a reload as it did before, and what came meanwhile too."""
    first, second = await member(bus, up, SECURITY.kind), await member(bus, up, SECURITY.kind)
    await tab.open("incidents")
    await first.fail(SECURITY)
    await tab.page.wait_for_selector(f'.live li:has-text("{first.ref.key}"):has-text("awaiting approval")')
    await tab.page.goto("about:blank")
    await second.fail(SECURITY)
    await tab.open("incidents")
    for one in (first, second):
        await tab.page.wait_for_selector(f'.live li:has-text("{one.ref.key}"):has-text("awaiting approval")')


async def test_a_cut_connection_is_resumed(up: Up, bus: Bus, tab: Tab) -> None:
    """While the connection is cut the page says so and stays; afterwards it shows what it has missed."""
    one = await member(bus, up, SECURITY.kind)
    await tab.open("incidents")
    await tab.page.context.set_offline(True)
    await tab.page.wait_for_selector("text=Disconnected >> visible=true", timeout=60_000)
    PICTURES.mkdir(parents=True, exist_ok=True)
    await tab.page.screenshot(path=PICTURES / "disconnected-light.png")
    await one.fail(SECURITY)
    await tab.page.context.set_offline(False)
    await tab.page.wait_for_selector(f'.live li:has-text("{one.ref.key}")')
    tab.complaints.clear()  # a browser complains itself of requests that fail


def shared(share: dict[str, Any]) -> str:
    """A share as the pages write it."""
    if share["share"] is None:
        return "\N{EN DASH}"
    low, high = f"{share['low'] * 100:.0f}", f"{share['high'] * 100:.0f}"
    return f"{share['share'] * 100:.1f} % ({low} to {high} %, {share['hits']} of {share['of']})"


async def test_the_pages_show_what_the_commands_say(up: Up, bus: Bus, tab: Tab) -> None:
    """Analytics, strategies, capacity, alerts, incidents and agents on the page are those of the command line."""
    one = await member(bus, up, PASSING.kind)
    incident = await one.fail(PASSING)

    async def settled() -> bool:
        return all(
            row.get("settled") or row["outcome"] not in ("recovered", None) for row in await up.tell("incidents")
        )

    await tab.open()
    await tab.page.wait_for_selector(f'text="{one.ref.key}" >> nth=0')
    assert incident
    await eventually(settled, 60.0, every=0.5)
    report = await up.tell("analytics")
    await tab.open("analytics")
    text = await tab.page.inner_text(f'main:has-text("{shared(report["success"])}")')
    assert f"{report['incidents']}, of {report['errors']} errors" in text
    assert shared(report["needed_person"]) in text
    assert f"{report['mttr']['mean_ms']:.1f} ms (mean)" in text or report["mttr"]["mean_ms"] >= 10_000
    for row in report["categories"]:
        assert shared(row["success"]) in text
    await tab.open("strategies")
    text = await tab.page.inner_text('main:has-text("By category")')
    for row in report["strategies"]:
        assert f"{row['strategy'].replace('_', ' ').capitalize()}\t{row['attempts']}\t" in text
        assert shared(row["success"]) in text
    await tab.open("alerts")

    async def same() -> bool:
        keys = {row["summary"] for row in await up.tell("alerts")}
        return keys == set(await tab.page.locator(".live li > p:first-of-type").all_inner_texts())

    await eventually(same, 30.0)
    await tab.open()
    for row in (await up.tell("health"))["agents"]:
        key = f"{row['agent']['kind']}/{row['agent']['id']}"
        await tab.page.fill("input.find", key)
        await tab.page.wait_for_selector(f'tbody tr:has-text("{key}"):has-text("{row["status"]}")')


async def test_a_prediction_is_counted_as_the_command_counts_it(up: Up, bus: Bus, tab: Tab) -> None:
    """A failure is predicted: without a reload the page has it among those that are not judged yet."""
    one = await member(bus, up, PASSING.kind)
    await one.tell(0.0)
    await tab.open("capacity")
    card = tab.page.locator('section.card:has-text("Failures foretold")')
    predicted = FailurePredicted(
        id=new_id(),
        agent=one.ref,
        time_unix_nano=now(),
        probability=0.9,
        confidence=0.5,
        horizon_ms=1000,
        model="browser-1",
    )
    await bus.publish(up.subjects.prediction(one.kind, one.id), codec.encode(predicted))

    async def same() -> bool:
        told = await up.tell("predictions")
        names: list[str] = await card.locator("dt").all_inner_texts()
        values: list[str] = await card.locator("dd").all_inner_texts()
        shown = dict(zip(names, values, strict=True))
        expected = {
            "Came true (precision)": shared({"share": None} | told["precision"]),
            "Foretold of all failures (recall)": shared({"share": None} | told["recall"]),
            "Not judged yet": str(told["waiting"]),
        }
        return told["waiting"] > 0 and expected.items() <= shown.items()

    await eventually(same, 60.0, every=0.5)


async def test_approve_is_done_and_audited(up: Up, bus: Bus, tab: Tab) -> None:
    """A strategy that waits is approved on its page, the incident goes on, and the trail says by whom."""
    one = await member(bus, up, SECURITY.kind)
    await one.fail(SECURITY)
    await tab.open("approvals")
    await tab.page.click(f'li:has-text("{one.ref.key}") >> text=Approve')
    await fill(tab, by="kim", reason="the token was rotated")
    await tab.page.wait_for_selector(f'li:has-text("{one.ref.key}")', state="detached")
    entry = (await operated(up, "approve"))[-1]["details"]
    assert (entry["by"], entry["reason"]) == ("kim", "the token was rotated")


async def test_acknowledge_and_silence_are_done_and_audited(up: Up, bus: Bus, tab: Tab) -> None:
    """An alert is taken on and silenced on its page; both stand in the trail, and the silence in the list."""
    one = await member(bus, up, HOPELESS.kind)
    await one.fail(HOPELESS)
    await tab.open("alerts")
    card = f'.live li:has-text("{one.ref.key}")'
    await tab.page.click(f"{card} >> text=Acknowledge")
    await fill(tab, by="kim", reason="looking at the disk")
    await tab.page.wait_for_selector(f'{card}:has-text("kim has it")')
    await tab.page.click(f"{card} >> text=Silence")
    await tab.page.select_option('dialog [name="scope"]', f"agent={one.ref.key}")
    await fill(tab, reason="known")
    await tab.page.wait_for_selector(f'section:has(h2:text-is("Silences")) li:has-text("{one.ref.key}")')
    for verb in ("ack", "silence"):
        assert (await operated(up, verb))[-1]["details"]["by"] == "kim"
    assert any(one.id in str(row.get("agent")) for row in await up.tell("alerts", "silences"))


async def test_pause_and_resume_are_done_and_audited(up: Up, tab: Tab) -> None:
    """A kind is paused and resumed on the page; every page says so meanwhile, and the trail afterwards."""
    await tab.open("pauses")
    await tab.page.click('main button:text-is("Pause")')
    await tab.page.evaluate(
        "() => { const list = document.querySelector('dialog [name=scope]');"
        " list.add(new Option('x', 'target=versioning')); list.value = 'target=versioning'; }"
    )
    await fill(tab, by="kim", **{"for": "10m"})
    await tab.page.wait_for_selector('tbody tr:has-text("versioning")')
    await tab.page.wait_for_selector('.banner:has-text("Paused")')
    assert [one["scope"] for one in (await up.tell("pauses"))["pauses"]] == ["versioning"]
    await tab.page.click('tbody tr:has-text("versioning") >> text=Resume')
    await fill(tab)
    await tab.page.wait_for_selector("text=Nothing is paused")
    await tab.page.wait_for_selector('.banner:has-text("Paused")', state="detached")
    assert [(await operated(up, verb))[-1]["details"]["by"] for verb in ("pause", "resume")] == ["kim", "kim"]


async def test_a_wrong_token_is_refused(up: Up, tab: Tab) -> None:
    """With a wrong token the page shows everything, and an action is refused with a sentence and nothing done."""
    await tab.open("pauses", token="a-wrong-token-of-enough-length")
    assert TOKEN not in await tab.page.evaluate("() => location.href + document.documentElement.outerHTML")
    await tab.page.click('main button:text-is("Pause")')
    await tab.page.fill('dialog [name="by"]', "mallory")
    await tab.page.click("dialog button[type=submit]")
    await tab.page.wait_for_selector('dialog [role=alert]:has-text("token was refused")')
    PICTURES.mkdir(parents=True, exist_ok=True)
    await tab.page.screenshot(path=PICTURES / "refused-light.png")
    assert not (await up.tell("pauses"))["pauses"]
    assert not [row for row in await operated(up, "pause") if row["details"]["by"] == "mallory"]
    tab.complaints.clear()  # the browser notes the 401


async def test_everything_is_reached_by_keyboard(up: Up, bus: Bus, tab: Tab) -> None:
    """The skip link comes first, every page is reached by Tab and Enter, focus is seen, and a dialog gives it back."""
    await member(bus, up, "runtime")
    await tab.open()
    page = tab.page
    await page.keyboard.press("Tab")
    assert "Skip" in await page.evaluate("() => document.activeElement.textContent")
    await page.keyboard.press("Enter")
    assert await page.evaluate("() => document.activeElement.id") == "main"
    await page.evaluate("() => document.querySelector('.nav a').focus()")
    for name in list(PAGES)[1:]:
        await page.keyboard.press("Tab")
        assert await page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f'.nav a[aria-current=page][href="#/{PAGES[name]}"]')
        assert await page.evaluate("() => document.activeElement.tagName") == "H1"
        await page.evaluate("() => document.querySelector('.nav a[aria-current=page]').focus()")
    await page.evaluate("() => { location.hash = '#/pauses' }")
    await page.wait_for_selector('main button:text-is("Pause")')
    await page.focus('main button:text-is("Pause")')
    await page.keyboard.press("Enter")
    await page.wait_for_selector("dialog[open]")
    assert await page.evaluate("() => document.querySelector('dialog').contains(document.activeElement)")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("dialog", state="detached")
    assert await page.evaluate("() => document.activeElement.textContent") == "Pause"


async def test_the_theme_that_was_chosen_stays(up: Up, tab: Tab) -> None:
    """The theme follows the system until one is chosen, which then outlives a reload."""
    theme = "() => document.documentElement.dataset.theme"
    await tab.open()
    assert await tab.page.evaluate(theme) == "light"
    await tab.page.emulate_media(color_scheme="dark")
    await tab.page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    await tab.page.select_option(".foot select", "light")
    await tab.page.reload()
    assert await tab.page.evaluate(theme) == "light"


@pytest.mark.timeout(600)
async def test_every_page_in_both_themes_and_on_a_phone(up: Up, bus: Bus, browser: Any) -> None:
    """Each page has its labels, its contrasts and its width, in both themes and at 390 pixels; pictures are kept."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    members = await gather(bus, 12, up.subjects)
    telling = asyncio.create_task(health(members))
    try:
        for fault in FAULTS:
            await next(one for one in members if one.kind == fault.kind).fail(fault)
        await bus.publish(up.subjects.error("error", "runtime", "broken"), b"\xc1 no msgpack")
        await bus.store(up.subjects.error("error", "runtime", "broken"), b"{not msgpack", id=new_id())

        async def settled() -> list[Any]:
            return [row for row in await up.tell("incidents") if row.get("settled") and row["attempts"]]

        rows = await eventually(settled, 60.0, every=1.0)
        worth = max(rows, key=lambda row: len(row["attempts"]))
        places = {
            **PAGES,
            "agent": f"agents/{members[2].ref.key}",
            "incident": f"incidents/{worth['incident_id']}",
            "letter": "dead/1",
        }
        wrong: list[str] = []

        def said(message: Any) -> None:
            if message.type == "error":
                wrong.append(message.text)

        for look, width, height, theme in (
            ("light", 1440, 900, "light"),
            ("dark", 1440, 900, "dark"),
            ("phone", 390, 844, "light"),
        ):
            context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
            tab = Tab(await context.new_page(), up.dashboard)
            tab.page.set_default_timeout(PATIENCE_MS)
            tab.page.on("console", said)
            await tab.open()
            for name, place in places.items():
                await tab.page.evaluate("place => { location.hash = place }", f"#/{place}")
                await tab.page.wait_for_function("() => !document.querySelector('main .bone')")
                found = [*await tab.page.evaluate(LABELS), *await tab.page.evaluate(CONTRAST)]
                wrong += [f"{name}, {look}: {one}" for one in found]
                await tab.page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
            await context.close()
        assert not wrong, "\n".join(wrong)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def test_a_hundred_agents_and_a_hundred_events_a_second(up: Up, bus: Bus, tab: Tab) -> None:
    """Under 100 changes a second of 100 agents the page keeps up; how smooth it is, is printed and not judged."""
    await tab.open()
    refs = [AgentRef(kind="storm", id=f"s{place:03d}") for place in range(100)]
    measuring = asyncio.create_task(tab.page.evaluate(GAPS, 10_000))
    words = ("excellent", "good", "fair", "poor", "critical")
    begun = time.monotonic()
    for place in range(1000):
        ref, word = refs[place % 100], words[(place // 100 + place) % 5]
        status = HealthStatus(
            id=new_id(), time_unix_nano=now(), agent=ref, status=word, score=50.0 + place % 50, reason=f"change {place}"
        )
        await bus.publish(up.subjects.status(ref.kind, ref.id), codec.encode(status))
        await asyncio.sleep(max(0.0, begun + place / 100 - time.monotonic()))
    gaps = sorted(await measuring)
    print(
        f"\n{len(gaps)} frames in 10 s, gaps between them: median {statistics.median(gaps):.1f} ms, "
        f"p99 {gaps[int(len(gaps) * 0.99)]:.1f} ms, longest {gaps[-1]:.1f} ms"
    )
    await tab.page.fill("input.find", "storm/s099")
    await tab.page.wait_for_selector('tbody tr:has-text("storm/s099"):has-text("change 999")')
