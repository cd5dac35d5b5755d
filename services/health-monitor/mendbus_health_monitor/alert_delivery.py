"""Brings notifications to webhooks, and remembers in the bucket `alerting` what each was told, so that a restart, or a
second replica, tells nothing twice. At least once: what was sent but not remembered is sent again, under the same id.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mendbus import codec
from mendbus.alert_policy import Webhook
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import BusError, Refused, WrongSequence
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY
from mendbus.runtime import Runtime, store_dead_letter
from mendbus_health_monitor import webhooks
from mendbus_health_monitor.alert_notices import Notice, Shown, due
from mendbus_health_monitor.alert_policies import Address, AlertPolicies
from mendbus_health_monitor.alerts import Alerts

log = logging.getLogger("mendbus")

_LOOK_SECONDS: Final = 0.5
_LONGEST_BACKOFF: Final = 60.0
_DEAD_PAUSE_SECONDS: Final = 300.0
"""After a dead letter the group is left alone for so long; then what is true at that time is sent."""
_CLAIM_SECONDS: Final = 15.0
"""How much longer than a try takes its claim holds, against clocks that differ."""
_FORGET_SECONDS: Final = 3600.0
_DIRECT_TRIES: Final = 3
_MAX_TRIES: Final = 10_000
_NANO: Final = 1_000_000_000
_DELETED: Final = {"KV-Operation": "DEL"}


@dataclass(slots=True)
class _Kept:
    shown: Shown
    sequence: int
    """Of the bucket's stream; 0: it is not there yet."""
    unstored: bool = False


@dataclass(slots=True)
class _Tries:
    count: int = 0
    next_unix_nano: int = 0
    dead: str = ""
    """Id of the last notice that became a dead letter."""


class Deliveries:
    """A task for each webhook. `told` hears since when a webhook has not taken anything (None: it takes)."""

    def __init__(
        self, runtime: Runtime, alerts: Alerts, policies: AlertPolicies, told: Callable[[str, int | None], None]
    ) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._alerts = alerts
        self._policies = policies
        self._told = told
        self._kept: dict[str, _Kept] = {}
        self._absent: dict[str, int] = {}
        """Sequence of what marks a key of the bucket as deleted."""
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()
        self._failing: dict[str, int] = {}
        self._workers: set[str] = set()
        self.sent = 0
        """Notifications that were taken."""
        self.failed = 0
        """Requests that were not."""

    async def start(self) -> None:
        """Reads what was told before, then follows it. Raises `BusError`."""
        runtime, subjects, bus = self._runtime, self._subjects, self._runtime.bus
        stream, every = subjects.bucket_stream("alerting"), subjects.key("alerting", "notice", ">")
        async for stored in bus.read(stream, every):
            await self._stored(stored)
        runtime.subscriptions.append(await bus.follow(stream, every, self._stored, last_per_subject=True))
        self.staff()

    def staff(self) -> None:
        """A worker for each webhook of the policy that has none; one whose webhook is gone ends by itself."""
        for webhook in self._policies.current.webhooks:
            if webhook.name not in self._workers:
                self._workers.add(webhook.name)
                _ = self._runtime.spawn(self._work(webhook.name), f"webhook {webhook.name}")

    def directly(self, alert: Alert) -> None:
        """Tells every webhook at once, whatever it wants to hear, without the bus: which may be the trouble."""
        over = alert.state == "resolved"
        notice = Notice(
            id=f"direct-{alert.id}",
            webhook="",
            group=f"direct={alert.key}",
            why="resolved" if over else "raised",
            alerts=() if over else (alert,),
            resolved=(alert,) if over else (),
            shown={},
            since_unix_nano=alert.time_unix_nano,
        )
        for webhook in self._policies.current.webhooks:
            _ = self._runtime.spawn(self._direct(webhook.name, notice), f"direct to webhook {webhook.name}")

    async def _direct(self, name: str, notice: Notice) -> None:
        for number in range(_DIRECT_TRIES):
            found = self._policies.webhook(name)
            if found is None or await self._try(*found, notice) is None:
                return
            await asyncio.sleep(_backoff(found[0], number + 1))

    async def _work(self, name: str) -> None:
        while (found := self._policies.webhook(name)) is not None:
            notice = self._next(found[0])
            if notice is None:
                await self._remember_again(name)
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            await self._deliver(*found, notice)
        self._workers.discard(name)
        self._tell(name, None)

    def _next(self, webhook: Webhook) -> Notice | None:
        now = self._runtime.now()
        shown = {kept.shown.group: kept.shown for kept in self._kept.values() if kept.shown.webhook == webhook.name}
        times, alerts = self._policies.current.alerts, self._alerts
        for notice in due(webhook, times, alerts.open.values(), alerts.resolved, shown, now):
            tries = self._tries.get((webhook.name, notice.group))
            if tries is not None and tries.next_unix_nano > now:
                continue
            known = shown.get(notice.group)
            if known and known.claimed_by != self._runtime.instance and known.claimed_until_unix_nano > now:
                continue
            return notice
        return None

    async def _deliver(self, webhook: Webhook, address: Address, notice: Notice) -> None:
        at, subject = self._runtime.now(), self._subject(notice)
        tries = self._tries.setdefault((webhook.name, notice.group), _Tries())
        if len(self._tries) > _MAX_TRIES:
            _ = self._tries.popitem(last=False)
        kept = self._kept.get(subject)
        before = kept.shown if kept else Shown(webhook=webhook.name, group=notice.group)
        wait = _backoff(webhook, tries.count + 1)
        until = at + int((webhook.timeout_seconds + wait + _CLAIM_SECONDS) * _NANO)
        claim = {"claimed_by": self._runtime.instance, "claimed_until_unix_nano": until}
        if not await self._remember(subject, before.model_copy(update=claim), fenced=True):
            return
        failed = await self._try(webhook, address, notice)
        if failed is None:
            _ = self._tries.pop((webhook.name, notice.group), None)
            self.sent += 1
            self._tell(webhook.name, None)
            told = Shown(webhook=webhook.name, group=notice.group, at_unix_nano=at, alerts=notice.shown)
            _ = await self._remember(subject, told, fenced=False)
            return
        tries.count += 1
        self._tell(webhook.name, self._failing.get(webhook.name, notice.since_unix_nano))
        if not failed.lasting and tries.count < webhook.tries:
            tries.next_unix_nano = self._runtime.now() + int(wait * _NANO)
            return
        await self._give_up(webhook, notice, failed, tries)
        _ = await self._remember(subject, before.model_copy(update={"claimed_until_unix_nano": 0}), fenced=False)

    async def _try(self, webhook: Webhook, address: Address, notice: Notice) -> webhooks.Failed | None:
        times, now = self._policies.current.alerts, self._runtime.now()
        request = webhooks.request(webhook, notice, times, address.url, address.secret, now)
        try:
            _ = await webhooks.send(request, webhook.timeout_seconds)
        except webhooks.Failed as failed:
            self.failed += 1
            log.warning("the webhook %s did not take %s: %s", webhook.name, notice.id, failed.reason)
            return failed
        return None

    async def _give_up(self, webhook: Webhook, notice: Notice, failed: webhooks.Failed, tries: _Tries) -> None:
        count, tries.count = tries.count, 0
        tries.next_unix_nano = self._runtime.now() + int(_DEAD_PAUSE_SECONDS * _NANO)
        if tries.dead == notice.id:
            return
        body = webhooks.request(webhook, notice, self._policies.current.alerts, "", "", self._runtime.now()).body
        # No subject: `mendbus dead replay` has nowhere to send it, this service tries again by itself.
        why = Refused("undelivered", f"the webhook {webhook.name} did not take it in {count} tries: {failed.reason}")
        headers = {"Content-Type": "application/json", "Mendbus-Delivery": notice.id}
        try:
            dead = self._subjects.dead(self._runtime.service)
            await store_dead_letter(self._runtime.bus, dead, "", body, headers, why, self._runtime.meter)
        except BusError as error:
            log.error("a notification that webhook %s did not take is not in DEAD either: %s", webhook.name, error)
            return
        tries.dead = notice.id

    def _tell(self, name: str, since: int | None) -> None:
        if since is None:
            _ = self._failing.pop(name, None)
        else:
            self._failing[name] = since
        self._told(name, since)

    # The bucket

    def _subject(self, notice: Notice) -> str:
        digest = webhooks.digest(notice.group)
        return self._subjects.key("alerting", "notice", notice.webhook, digest)

    async def _remember(self, subject: str, shown: Shown, *, fenced: bool) -> bool:
        """Writes what is known of a group; False when another replica was faster. Without the bus it goes on."""
        kept = self._kept.setdefault(subject, _Kept(shown, self._absent.pop(subject, 0)))
        expected = kept.sequence if fenced else None
        kept.shown, kept.unstored = shown, True
        try:
            stored = await self._runtime.bus.store(
                subject, codec.encode(shown), {HEADER_CONTENT_TYPE: CONTENT_TYPE}, expected_last=expected
            )
        except WrongSequence:
            kept.unstored = False
            await self._read(subject)
            return False
        except BusError as error:
            log.warning("what a webhook was told is not on disk yet: %s", error)
            return True
        kept.sequence, kept.unstored = stored.sequence, False
        return True

    async def _read(self, subject: str) -> None:
        try:
            found = await self._runtime.bus.last(self._subjects.bucket_stream("alerting"), subject)
        except BusError as error:
            log.debug("%s could not be read: %s", subject, error)
            return
        if found is not None:
            await self._stored(found)

    async def _remember_again(self, name: str) -> None:
        now = self._runtime.now()
        for subject, kept in list(self._kept.items()):
            if kept.shown.webhook != name:
                continue
            if kept.unstored and self._runtime.bus.connected:
                _ = await self._remember(subject, kept.shown, fenced=False)
            elif not kept.shown.alerts and now - kept.shown.at_unix_nano > _FORGET_SECONDS * _NANO:
                await self._forget(subject, kept)

    async def _forget(self, subject: str, kept: _Kept) -> None:
        try:
            stored = await self._runtime.bus.store(subject, b"", _DELETED, expected_last=kept.sequence)
        except BusError as error:
            log.debug("%s is not forgotten: %s", subject, error)
            return
        _ = self._kept.pop(subject, None)
        self._absent[subject] = stored.sequence

    async def _stored(self, stored: StoredMessage) -> None:
        kept = self._kept.get(stored.subject)
        if kept is not None and stored.sequence <= kept.sequence:
            return
        if not stored.body:
            _ = self._kept.pop(stored.subject, None)
            self._absent[stored.subject] = stored.sequence
            return
        try:
            shown = codec.decode(Shown, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
            return
        self._kept[stored.subject] = _Kept(shown, stored.sequence)


def _backoff(webhook: Webhook, number: int) -> float:
    """Seconds before the next try, with full jitter: together, many that failed at once come one after another."""
    longest = min(_LONGEST_BACKOFF, webhook.backoff_seconds * 2 ** min(number - 1, 10))
    return random.uniform(0.0, longest)
