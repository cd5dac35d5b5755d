"""What each user may publish and hear: generated from the table of subjects and from who uses which stream.

A service may do what its families say, answer into inboxes, and use the streams named here. An agent has its own
subjects and its own inbox, and answers only whoever asked it. Nobody but operators may create or remove a stream; the
strategy-selector may create and update those of the installation.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from mendbus import streams
from mendbus.bus.jetstream import API
from mendbus.contracts import canary
from mendbus.contracts.catalogue import FAMILIES, Family, Role
from mendbus.contracts.fields import MAX_TIMEOUT_MS
from mendbus.contracts.subjects import LANES, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.security.credentials import AGENTS_API, inbox_of
from mendbus.security.roles import ADMIN_VERBS, SERVICE_VERBS, VIEWER_VERBS, Level

Use = Literal["read", "follow", "consume", "purge"]
"""`read`: what is stored; `follow`: that and what comes; `consume`: with the owners' consumers; `purge`: remove it."""

_STREAMS: Final = ("ERRORS", "JOURNAL", "RECOVERIES", "ALERTS", "HEALTH", "DEAD")
_KEY_VALUE: Final = ("leases", "agents", "heads", "alerting", "promotions")
_OBJECTS: Final = ("checkpoints", "snapshots", "models")
_MODELS: Final[dict[str, tuple[Use, ...]]] = {"models": ("read",), "promotions": ("read",)}
_LEARN: Final = ("classifier", "predictor", "strategy-selector")
"""Services with models; each writes which one it uses."""
_USES: Final[dict[str, dict[str, tuple[Use, ...]]]] = {
    "strategy-selector": {
        "ERRORS": ("read", "consume", "purge"),
        "JOURNAL": ("read", "follow"),
        "RECOVERIES": ("read",),
        "HEALTH": ("read",),
        "agents": ("read", "follow"),
        "leases": ("read",),
        "heads": ("read",),
        "snapshots": ("read", "purge"),
        **_MODELS,
    },
    "classifier": _MODELS,
    "predictor": _MODELS,
    "health-monitor": {
        "ERRORS": ("read",),
        "JOURNAL": ("read", "follow"),
        "RECOVERIES": ("read", "follow"),
        "ALERTS": ("read", "follow"),
        "HEALTH": ("read", "follow"),
        "agents": ("read", "follow"),
        "alerting": ("read", "follow"),
    },
    "operator": {
        **dict.fromkeys((*_STREAMS, "agents", "heads", "alerting", "leases"), ("read", "follow")),
        "checkpoints": ("read",),
        **_MODELS,
    },
    "agent": {"checkpoints": ("read", "purge")},
}
_WRITES: Final[dict[str, tuple[str, ...]]] = {
    # key-value and object buckets; streams are written through their families
    "strategy-selector": ("leases", "heads", "snapshots", "models"),
    "health-monitor": ("agents", "alerting"),
    "operator": ("models", "promotions"),
    "agent": ("checkpoints",),
}
_ANSWERS: Final = ("_INBOX.>", "_R_.>")
"""Where services answer; `_R_`: what came out of the other account."""
_ALL_AGENTS: Final = frozenset(("notice",))
"""Families that agents hear of each other."""
BATCHED: Final = (".DIRECT.GET.",)
"""What marks requests that are answered by many messages."""
OWN_RIGHTS: Final = "$SYS.REQ.USER.INFO"
"""Asked of the server, which tells who one is and what one may do."""
ANSWERS_WITHIN: Final = f"{MAX_TIMEOUT_MS // 1000 + 60}s"
"""How long an agent may take to answer what it was asked: an attempt lasts no longer, and a minute for the way."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects that a user may publish to and subscribe to; `answers`: may answer each message it got, once."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False
    not_publish: tuple[str, ...] = ()

    def permissions(self) -> dict[str, Any]:
        """As the server's configuration has them."""
        publish: dict[str, Any] = {"allow": list(self.publish)}
        if self.not_publish:
            publish["deny"] = list(self.not_publish)
        found: dict[str, Any] = {"publish": publish, "subscribe": {"allow": list(self.subscribe)}}
        if self.answers:
            found["allow_responses"] = {"max": 1, "expires": ANSWERS_WITHIN}
        return found


def rights_of(user: str, subjects: Subjects, level: Level = "viewer", *, standby: str = "") -> Rights:
    """The rights of a user; `level` for operators. `standby`: the agent (`kind/id`) that an agent stands by for."""
    who, _, name = user.partition("/")
    inbox = f"{inbox_of(user)}.>"
    if who == "service":
        return _service(name, subjects, inbox)
    if who == "agent":
        kind, _, agent = name.partition("/")
        return _agent(kind, agent, subjects, inbox, standby)
    return _operator(level, subjects, inbox)


def subject_of(family: Family, subjects: Subjects) -> str:
    """All subjects of a family."""
    return _subject(family, subjects, None)


def as_agents_ask(subject: str) -> str:
    """A subject of the JetStream API under the name by which agents ask the services' account for it.

    Under its own name the server answers at once that their account has no JetStream. Direct gets are not asked of the
    API but of the stream.
    """
    asked = subject.startswith(API) and ".DIRECT.GET." not in subject
    return subject.replace(API, AGENTS_API, 1) if asked else subject


def used_by_agents(subjects: Subjects, *, standby: bool) -> tuple[str, ...]:
    """What agents need beside their families: their checkpoints, and what they share while one stands by."""
    found = _stored("agent", subjects)
    if standby:
        found += [subjects.key("leases", "pair", ">"), *_used(subjects, "leases", ("read", "follow"))]
    return _tidy(found)


def _agent(kind: str, agent: str, subjects: Subjects, inbox: str, standby: str = "") -> Rights:
    publish, subscribe = _of_families("agent", subjects, (kind, agent))
    publish += _stored("agent", subjects)
    if standby:
        pair = subjects.key("leases", "pair", *standby.split("/"))
        publish += [f"{pair}.lease", f"{pair}.wanted", f"{pair}.member.{kind}.{agent}"]
        publish += _used(subjects, "leases", ("read", "follow"))
    publish = [as_agents_ask(subject) for subject in publish]
    return Rights(_tidy([*publish, inbox]), _tidy([*subscribe, inbox]), answers=True)


def _service(name: str, subjects: Subjects, inbox: str) -> Rights:
    role: Role = next(service for service in SERVICES if service == name)
    publish, subscribe = _of_families(role, subjects, None)
    publish = [subject for subject in publish if subject != f"{subjects.root}.dead.>"]
    if role == "strategy-selector":
        # Of what was predicted it makes warnings; everything else is for agents to say.
        publish = [subject for subject in publish if subject != f"{subjects.root}.error.>"]
        publish.append(f"{subjects.root}.error.warning.>")
    publish += [subjects.dead(role), *_ANSWERS, *_stored(role, subjects)]
    publish += [subjects.control(verb) for verb in SERVICE_VERBS.get(role, ())]
    for verb in ("PING", "INFO", "STATS"):
        subscribe += [f"$SRV.{verb}", f"$SRV.{verb}.{role}", f"$SRV.{verb}.{role}.*"]
    publish += ["$JS.API.INFO", "$JS.API.STREAM.NAMES", f"$JS.API.CONSUMER.INFO.{subjects.stream('ERRORS')}.*"]
    publish += [f"$JS.API.STREAM.INFO.{stream}" for stream in _all_streams(subjects)]
    if role in _LEARN:
        publish.append(subjects.key("promotions", role))
    if role == "strategy-selector":
        publish += [f"$JS.API.STREAM.{verb}.{s}" for s in _all_streams(subjects) for verb in ("CREATE", "UPDATE")]
        subscribe.append(subjects.key("leases", "*"))
    if role == "health-monitor":
        sent, heard = _of_families("agent", subjects, (canary.KIND, canary.ID))
        # It reads what another replica of it tells.
        subscribe += [_subject(family, subjects, None) for family in FAMILIES if role in family.senders]
        publish += [*sent, *(f"$SRV.PING.{service}" for service in SERVICES)]
        subscribe += heard
    denied = () if role == "strategy-selector" or "ERRORS" not in _USES.get(role, {}) else _owners_consumers(subjects)
    return Rights(_tidy(publish), _tidy([*subscribe, inbox]), not_publish=denied)


def _operator(level: Level, subjects: Subjects, inbox: str) -> Rights:
    root = subjects.root
    hears = (f"{root}.>", "$SRV.>", inbox)
    if level == "admin":
        stores = [f"$KV.{subjects.prefix}_{bucket}.>" for bucket in _KEY_VALUE]
        stores += [f"$O.{subjects.prefix}_{bucket}.>" for bucket in _OBJECTS]
        return Rights(_tidy([f"{root}.>", "$JS.API.>", "$SRV.>", OWN_RIGHTS, *stores, inbox]), hears)
    # To its own inbox a user also writes: so a connection is seen to be alive.
    publish = [inbox, OWN_RIGHTS, *(f"$SRV.{verb}.>" for verb in ("PING", "INFO", "STATS"))]
    publish += ["$JS.API.INFO", "$JS.API.STREAM.NAMES", f"$JS.API.CONSUMER.INFO.{subjects.stream('ERRORS')}.*"]
    publish += [f"$JS.API.STREAM.INFO.{stream}" for stream in _all_streams(subjects)]
    for name, uses in _USES["operator"].items():
        publish += _used(subjects, name, uses)
    # What an agent is told to do, and what it said of itself to one service, is no business of theirs.
    seen = [f for f in FAMILIES if f.name not in ("command", "probe", "rehearse", "settled")]
    hears = _tidy([*(_subject(family, subjects, None) for family in seen), inbox])
    if level == "viewer":
        asked = [subjects.control(verb) for verb in VIEWER_VERBS]
        return Rights(_tidy([*publish, *asked]), hears, not_publish=_owners_consumers(subjects))
    denied = (*sorted(subjects.control(verb) for verb in ADMIN_VERBS), *_owners_consumers(subjects))
    return Rights(_tidy([*publish, *_written("operator", subjects), f"{root}.control.*"]), hears, not_publish=denied)


def _owners_consumers(subjects: Subjects) -> tuple[str, ...]:
    """What would disturb the consumers from which errors are pulled, for those who read ERRORS in passing."""
    stream = subjects.stream("ERRORS")
    names = [subjects.consumer(partition, lane) for partition in range(PARTITIONS) for lane in LANES]
    verbs = ("CREATE", "DELETE", "MSG.NEXT")
    return tuple(f"$JS.API.CONSUMER.{verb}.{stream}.{name}" for verb in verbs for name in names)


def _of_families(role: Role, subjects: Subjects, agent: tuple[str, str] | None) -> tuple[list[str], list[str]]:
    publish = [_subject(family, subjects, agent) for family in FAMILIES if role in family.senders]
    subscribe = [
        _subject(family, subjects, None if family.name in _ALL_AGENTS else agent)
        for family in FAMILIES
        if role in family.receivers
    ]
    return publish, subscribe


def _subject(family: Family, subjects: Subjects, agent: tuple[str, str] | None) -> str:
    """The subject of a family, with wildcards for what varies: `>` for the end of it, since that is listened to."""
    known: dict[str, str] = {"{kind}": agent[0], "{agent}": agent[1]} if agent else {}
    tokens = [known.get(token, "*" if token.startswith("{") else token) for token in family.address.split(".")]
    while tokens[-1] == "*":
        _ = tokens.pop()
    if len(tokens) < len(family.address.split(".")):
        tokens.append(">")
    return ".".join((subjects.root, *tokens))


def _stored(role: str, subjects: Subjects) -> list[str]:
    found = [subject for name, uses in _USES.get(role, {}).items() for subject in _used(subjects, name, uses)]
    return found + _written(role, subjects)


def _written(role: str, subjects: Subjects) -> list[str]:
    found: list[str] = []
    for bucket in _WRITES.get(role, ()):
        if bucket in _OBJECTS:
            found += [f"$O.{subjects.bucket(bucket)}.C.*", f"$O.{subjects.bucket(bucket)}.M.*"]
        else:
            found.append(subjects.key(bucket, ">"))
    return found


def _used(subjects: Subjects, name: str, uses: tuple[Use, ...]) -> list[str]:
    """The subjects of the JetStream API that these uses need."""
    stream = _stream(subjects, name)
    api = "$JS.API"
    found = [f"{api}.STREAM.INFO.{stream}"] if "follow" in uses else []
    if "read" in uses:
        found += [f"{api}.DIRECT.GET.{stream}", f"{api}.DIRECT.GET.{stream}.>"]
    if ("read" in uses and name in _STREAMS) or "follow" in uses:
        # Passing consumers: of their own names, which no wildcard can tell from the owners'.
        found += [f"{api}.CONSUMER.CREATE.{stream}.*", f"{api}.CONSUMER.DELETE.{stream}.*"]
        if name in _STREAMS:
            found.append(f"{api}.CONSUMER.MSG.NEXT.{stream}.*")
    if "consume" in uses:
        for partition in range(PARTITIONS):
            found += [f"{api}.CONSUMER.MSG.NEXT.{stream}.{subjects.consumer(partition, lane)}" for lane in LANES]
        found += [f"$JS.ACK.{stream}.*.>", f"$JS.ACK.*.*.{stream}.*.>"]
    if "purge" in uses:
        found.append(f"{api}.STREAM.PURGE.{stream}")
    return found


def _stream(subjects: Subjects, name: str) -> str:
    if name in _STREAMS:
        return subjects.stream(name)
    return f"OBJ_{subjects.bucket(name)}" if name in _OBJECTS else subjects.bucket_stream(name)


def _all_streams(subjects: Subjects) -> list[str]:
    return [spec.name for spec in streams.streams(subjects, -1)]


def _tidy(listed: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(listed)))
