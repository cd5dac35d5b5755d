"""What a webhook gets: the body of a notification, its signature, and one request under a deadline.

A receiver checks `Mendbus-Signature`: `v1=` and the hex digits of HMAC-SHA256 over `v1:`, the text of
`Mendbus-Timestamp` (seconds since 1970), `:` and the body. It refuses what is older than a few minutes, and takes two
requests with the same `Mendbus-Delivery` for one.
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from mendbus.alert_policy import AlertTimes, Webhook
from mendbus.contracts.messages import Alert
from mendbus_health_monitor.alert_notices import Notice

LISTED: Final = 50
"""Alerts named in one body; of the others their number."""
_HEAD_BYTES: Final = 16 * 1024
_MARKS: Final = {"info": "⚪", "warning": "🟡", "minor": "🟠", "major": "🔴", "critical": "🚨"}


class Failed(Exception):
    """A webhook did not take a notification. `lasting`: trying again would not help."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting


class Request(NamedTuple):
    """One request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes


def request(webhook: Webhook, notice: Notice, times: AlertTimes, url: str, secret: str, now: int) -> Request:
    """The request of a notification at a time (nanoseconds since 1970), signed if there is a secret."""
    make = _slack if webhook.format == "slack" else _generic
    body = json.dumps(make(notice, times), ensure_ascii=False).encode("utf-8", "replace")
    timestamp = str(now // 1_000_000_000)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "mendbus",
        "Mendbus-Delivery": notice.id,
        "Mendbus-Timestamp": timestamp,
    }
    if secret:
        headers["Mendbus-Signature"] = sign(secret, timestamp, body)
    return Request(url, headers, body)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a body sent at a time."""
    mac = hmac.new(secret.encode(), b"v1:" + timestamp.encode() + b":" + body, hashlib.sha256)
    return "v1=" + mac.hexdigest()


def digest(group: str) -> str:
    """The name of a group where a token is wanted."""
    return hashlib.sha256(group.encode()).hexdigest()[:24]


def title(notice: Notice) -> str:
    """A notification in one line."""
    over = f"resolved: {_counted(len(notice.resolved))}" if notice.resolved else ""
    if not notice.alerts:
        return f"{over}: {notice.resolved[0].summary}" if len(notice.resolved) == 1 else over
    gravest = next(iter(notice.alerts))
    if notice.why == "resolved":
        return f"{over}, {_counted(len(notice.alerts))} still open: {gravest.summary}"
    word = {"raised": "", "worsened": "worse: ", "repeated": "again: "}[notice.why]
    more = f" (and {len(notice.alerts) - 1} more)" if len(notice.alerts) > 1 else ""
    return f"{gravest.severity}: {word}{gravest.summary}{more}"


def links(alert: Alert, times: AlertTimes) -> dict[str, str]:
    """Addresses of an alert's incident and trace, where the policy says what they look like."""
    found: dict[str, str] = {}
    if times.incident_url and alert.incident_id:
        found["incident"] = times.incident_url.replace("{incident}", alert.incident_id)
    if times.trace_url and alert.trace_id:
        found["trace"] = times.trace_url.replace("{trace}", alert.trace_id)
    return found


def _counted(number: int) -> str:
    return f"{number} alert{'' if number == 1 else 's'}"


def _generic(notice: Notice, times: AlertTimes) -> dict[str, Any]:
    return {
        "version": 1,
        "id": notice.id,
        "group": notice.group,
        "why": notice.why,
        "severity": notice.severity,
        "title": title(notice),
        "open": len(notice.alerts),
        "alerts": [_facts(one, times) for one in (*notice.alerts, *notice.resolved)[:LISTED]],
        "left_out": max(0, len(notice.alerts) + len(notice.resolved) - LISTED),
    }


def _facts(alert: Alert, times: AlertTimes) -> dict[str, Any]:
    said = alert.model_dump(exclude_none=True, exclude={"id", "version", "sequence", "waiting_unix_nano"})
    return said | {"links": links(alert, times)}


def _slack(notice: Notice, times: AlertTimes) -> dict[str, Any]:
    lines: list[str] = []
    for one in (*notice.alerts, *notice.resolved)[:LISTED]:
        mark = "✅ resolved" if one.state == "resolved" else f"{_MARKS[one.severity]} *{one.severity}*"
        held = f" (acknowledged by {_escaped(one.acknowledged_by)})" if one.acknowledged_by else ""
        lines.append(f"{mark} {_escaped(one.summary)}{held if one.state == 'acknowledged' else ''}")
        if one.state != "resolved" and one.hint:
            lines.append(f"    _{_escaped(one.hint)}_")
        joined = " · ".join(f"<{_escaped(url)}|{name}>" for name, url in links(one, times).items())
        lines += [f"    {joined}"] if joined else []
        lines += [f"    `mendbus alerts ack {_escaped(one.key)}`"] if one.state == "raised" else []
    left = len(notice.alerts) + len(notice.resolved) - LISTED
    lines += [f"and {left} more"] if left > 0 else []
    return {"text": _escaped(title(notice)), "blocks": _blocks(lines)}


def _blocks(lines: list[str]) -> list[dict[str, Any]]:
    # A section takes 3000 characters, a message 50 blocks.
    parts: list[str] = [""]
    for line in lines:
        if len(parts[-1]) + len(line) > 2800:
            parts.append("")
        parts[-1] += line[:2800] + "\n"
    return [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts[:50]]


def _escaped(text: str) -> str:
    # What agents write must not become a mention or a link.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def send(wanted: Request, seconds: float) -> int:
    """Sends one request, the whole of it under a deadline; returns the status when it was taken (2xx).

    Raises `Failed`, whose text names the host but never path, secret or body.
    """
    parts = urlsplit(wanted.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(seconds):
            context = await asyncio.to_thread(_context) if secure else None
            reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_HEAD_BYTES)
            try:
                writer.write(_bytes(wanted, parts.path or "/", parts.query, parts.netloc))
                await writer.drain()
                status = _status(await reader.readuntil(b"\r\n"))
            finally:
                writer.close()
    except TimeoutError:
        raise Failed(f"{where} did not answer within {seconds:g} s") from None
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
        raise Failed(f"{where} gave no answer: {type(error).__name__}: {error}") from None
    if 200 <= status < 300:
        return status
    # 408, 429 and what the other side did wrong itself may pass; the rest is about this request.
    lasting = status < 500 and status not in (408, 425, 429)
    raise Failed(f"{where} answered {status}{': give its new address' if 300 <= status < 400 else ''}", lasting=lasting)


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _bytes(wanted: Request, path: str, query: str, host: str) -> bytes:
    target = path + ("?" + query if query else "")
    headers = {"Host": host, **wanted.headers, "Content-Length": str(len(wanted.body)), "Connection": "close"}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + wanted.body


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        msg = "the answer is no HTTP"
        raise ValueError(msg)
    return int(rest[:3])
