"""Webhooks: signed, bounded, linked, under a deadline; no secret in any word."""

import json
from typing import Any

import pytest
from tests.unit.health_monitor.alert_samples import SECOND, alert
from tests.unit.health_monitor.receiver import receiving

from mendbus.alert_policy import AlertTimes, Webhook
from mendbus.contracts.messages import Alert
from mendbus_health_monitor import webhooks
from mendbus_health_monitor.alert_notices import Notice, Why

NOW = 1_700_000_000 * SECOND
TIMES = AlertTimes(incident_url="https://m.example/i/{incident}", trace_url="https://j.example/t/{trace}")
HOOK = Webhook(name="w", url="http://localhost/")
SLACK = Webhook(name="w", url="http://localhost/", format="slack")


def notice(*alerts: Alert, resolved: tuple[Alert, ...] = (), why: Why = "raised") -> Notice:
    return Notice("n1", "w", "rule=r1", why, alerts, resolved, {}, 0)


def body(hook: Webhook, told: Notice) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(webhooks.request(hook, told, TIMES, "http://localhost/", "", NOW).body)
    return made


def test_the_generic_body_has_the_facts_and_the_links() -> None:
    """Each alert with severity, summary, hint, agent, and where to see incident and trace."""
    made = body(HOOK, notice(alert(incident_id="i1", trace_id="t1", hint="mend it"), resolved=(alert("c2"),)))
    assert (made["version"], made["id"], made["severity"], made["open"]) == (1, "n1", "minor", 1)
    first = made["alerts"][0]
    assert first["links"] == {"incident": "https://m.example/i/i1", "trace": "https://j.example/t/t1"}
    assert (first["hint"], first["agent"]["id"], made["alerts"][1]["links"]) == ("mend it", "a1", {})


def test_the_slack_body_cannot_be_talked_into_a_mention() -> None:
    """What an agent wrote is escaped; who has it, what to do and where to look are there."""
    told = notice(
        alert(summary="<!channel> & <http://evil|x>", hint="mend", incident_id="i1"),
        alert("c2", state="acknowledged", acknowledged_by="kim"),
        resolved=(alert("c3", state="resolved"),),
    )
    made = body(SLACK, told)
    text = json.dumps(made)
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp;" in text
    assert "acknowledged by kim" in text
    assert "mendbus alerts ack c1" in text
    assert "<https://m.example/i/i1|incident>" in text
    assert "resolved" in text


@pytest.mark.parametrize("hook", [HOOK, SLACK])
def test_a_body_is_bounded(hook: Webhook) -> None:
    """A storm of alerts is fifty of them and the number of the others."""
    many = tuple(alert(f"c{number}", summary="x" * 1000) for number in range(500))
    made = webhooks.request(hook, notice(*many), TIMES, "http://localhost/", "", NOW)
    assert len(made.body) < 200_000
    if hook is SLACK:
        assert all(len(block["text"]["text"]) <= 3000 for block in json.loads(made.body)["blocks"])
    else:
        assert json.loads(made.body)["left_out"] == 450


def test_titles_say_what_happened() -> None:
    """Raised, worse, again, over, partly over."""
    one, other, gone = alert(summary="it broke"), alert("c2"), alert("c3", state="resolved", summary="well again")
    assert webhooks.title(notice(one)) == "minor: it broke"
    assert webhooks.title(notice(one, other)) == "minor: it broke (and 1 more)"
    assert webhooks.title(notice(one, why="worsened")) == "minor: worse: it broke"
    assert webhooks.title(notice(one, why="repeated")) == "minor: again: it broke"
    assert webhooks.title(notice(resolved=(gone,), why="resolved")) == "resolved: 1 alert: well again"
    assert webhooks.title(notice(resolved=(gone, gone), why="resolved")) == "resolved: 2 alerts"
    assert webhooks.title(notice(one, resolved=(gone,), why="resolved")) == (
        "resolved: 1 alert, 1 alert still open: it broke"
    )


async def test_a_receiver_with_the_secret_finds_the_request_genuine() -> None:
    """And one with another secret does not; path and query arrive as they are."""
    async with receiving("s3cret") as receiver:
        good = webhooks.request(HOOK, notice(alert()), TIMES, receiver.url, "s3cret", NOW)
        assert await webhooks.send(good, 5.0) == 200
        forged = webhooks.request(HOOK, notice(alert()), TIMES, receiver.url, "other", NOW)
        with pytest.raises(webhooks.Failed) as failed:
            await webhooks.send(forged, 5.0)
        assert failed.value.lasting
        assert (len(receiver.bodies), receiver.paths[0]) == (1, "/hook?a=b")
        assert receiver.headers[0]["mendbus-delivery"] == "n1"
        assert receiver.headers[0]["mendbus-timestamp"] == "1700000000"


@pytest.mark.parametrize(
    ("status", "lasting"),
    [(500, False), (503, False), (429, False), (408, False), (400, True), (404, True), (301, True)],
)
async def test_what_may_pass_is_told_from_what_will_not(status: int, lasting: bool) -> None:
    """Trouble of the other side is tried again, a wrong address or body is not."""
    async with receiving(answers=[status]) as receiver:
        with pytest.raises(webhooks.Failed, match=f"answered {status}") as failed:
            await webhooks.send(webhooks.request(HOOK, notice(alert()), TIMES, receiver.url, "", NOW), 5.0)
        assert failed.value.lasting is lasting


@pytest.mark.parametrize(("answer", "words"), [(0, "did not answer within"), (-1, "gave no answer")])
async def test_no_answer_ends_with_the_deadline(answer: int, words: str) -> None:
    """One that says nothing or no HTTP; the reason names the host and neither path nor secret."""
    async with receiving(answers=[answer]) as receiver:
        request = webhooks.request(HOOK, notice(alert()), TIMES, receiver.url, "s3cret", NOW)
        with pytest.raises(webhooks.Failed, match=words) as failed:
            await webhooks.send(request, 0.2)
        assert "hook" not in failed.value.reason
        assert "s3cret" not in failed.value.reason
        assert not failed.value.lasting


async def test_nobody_there_is_a_failure_that_may_pass() -> None:
    """A closed port, and a host whose certificate nobody vouches for."""
    async with receiving() as receiver:
        url = receiver.url
    for address in (url, url.replace("http:", "https:")):
        with pytest.raises(webhooks.Failed, match="gave no answer") as failed:
            await webhooks.send(webhooks.request(HOOK, notice(alert()), TIMES, address, "", NOW), 5.0)
        assert not failed.value.lasting
