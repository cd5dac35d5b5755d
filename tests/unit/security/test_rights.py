"""The rights of every user, from the table of subjects."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from mendbus.contracts.catalogue import FAMILIES
from mendbus.contracts.errors import CredentialsError, SettingsError
from mendbus.contracts.fields import MAX_TIMEOUT_MS
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES, SEVERITIES
from mendbus.security.accounts import AGENTS, CORE, crossings
from mendbus.security.installation import check_user
from mendbus.security.rights import Rights, rights_of, subject_of
from mendbus.security.roles import LEVELS
from mendbus.security.table import document
from mendbus_strategy_selector.policy import read_policy

SUBJECTS = Subjects("site.v1")
GUIDE = Path(__file__).parents[3] / "shared" / "SECURITY.md"


def allows(patterns: tuple[str, ...], subject: str) -> bool:
    """Whether a subject is covered by one of the patterns, as the server has it."""

    def covers(pattern: str) -> bool:
        text = re.escape(pattern).replace(r"\*", r"[^.]+").replace(r"\>", ">")
        return re.fullmatch(text.removesuffix(">") + (".+" if text.endswith(">") else ""), subject) is not None

    return any(covers(pattern) for pattern in patterns)


def may(rights: Rights, subject: str) -> bool:
    """Whether a user may publish there."""
    return allows(rights.publish, subject) and not allows(rights.not_publish, subject)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_service_may_say_and_hear_what_the_catalogue_gives_it(family: object) -> None:
    """Senders may publish, receivers may subscribe, and no service that is no sender may publish."""
    found = next(one for one in FAMILIES if one is family)
    tokens = {"{kind}": "a", "{agent}": "b", "{severity}": "warning", "{verb}": "pause"}
    subject = ".".join((SUBJECTS.root, *(tokens.get(token, token.strip("{}")) for token in found.address.split("."))))
    for service in SERVICES:
        rights = rights_of(f"service/{service}", SUBJECTS)
        own = subject if found.name != "dead" else SUBJECTS.dead(service)
        assert may(rights, own) == (service in found.senders)
        if service in found.receivers:
            assert subject_of(found, SUBJECTS) in rights.subscribe


def test_an_agent_s_rights_name_it_everywhere() -> None:
    """But for the notices that all hear and the bucket that all share, each subject ends in the agent."""
    rights = rights_of("agent/runtime/r1", SUBJECTS)
    shared = ("checkpoints", "site.v1.notice.>")
    for subject in (*rights.publish, *rights.subscribe):
        assert any(name in subject for name in shared) or "runtime.r1" in subject
    assert rights.answers
    assert not any("$KV" in subject or "CONSUMER" in subject for subject in rights.publish)
    standby = rights_of("agent/runtime/r2", SUBJECTS, standby="runtime/r1")
    assert "$KV.site_v1_leases.pair.runtime.r1.member.runtime.r2" in standby.publish
    assert "$KV.site_v1_leases.pair.runtime.r1.member.runtime.r1" not in standby.publish


def test_what_is_predicted_is_a_warning_and_nothing_graver() -> None:
    """The strategy-selector makes warnings of predictions; no service says in an agent's name that it has failed."""
    for service in SERVICES:
        rights = rights_of(f"service/{service}", SUBJECTS)
        said = [severity for severity in (*SEVERITIES, "unknown") if may(rights, SUBJECTS.error(severity, "a", "b"))]
        assert said == (["warning"] if service == "strategy-selector" else [])
        heard = "site.v1.prediction.>" in rights.subscribe
        assert heard == (service in ("strategy-selector", "health-monitor"))
    assert not allows(rights_of("agent/a/b", SUBJECTS).publish, SUBJECTS.error("warning", "a", "c"))
    assert not allows(rights_of("agent/a/b", SUBJECTS).publish, SUBJECTS.prediction("a", "b"))


def test_only_the_core_creates_streams() -> None:
    """The strategy-selector may create and update the installation's own; nobody but admins may do more."""
    for service in SERVICES:
        rights = rights_of(f"service/{service}", SUBJECTS)
        assert may(rights, "$JS.API.STREAM.CREATE.site_v1_ERRORS") == (service == "strategy-selector")
        assert not may(rights, "$JS.API.STREAM.CREATE.other")
        assert not may(rights, "$JS.API.STREAM.DELETE.site_v1_ERRORS")
    operator = rights_of("operator/o", SUBJECTS, "operator")
    assert not may(operator, "$JS.API.STREAM.PURGE.site_v1_ERRORS")
    for user in (operator, rights_of("service/health-monitor", SUBJECTS)):
        assert may(user, "$JS.API.CONSUMER.CREATE.site_v1_ERRORS.0123456789abcdef")
        assert not may(user, "$JS.API.CONSUMER.DELETE.site_v1_ERRORS.owner-0-normal")


def test_levels_of_operators() -> None:
    """Viewers ask, operators order, admins rehearse."""
    for level, pause, profile in (("viewer", False, False), ("operator", True, False), ("admin", True, True)):
        rights = rights_of("operator/o", SUBJECTS, level)  # pyright: ignore[reportArgumentType]
        assert may(rights, SUBJECTS.control("status"))
        assert may(rights, SUBJECTS.control("pause")) is pause
        assert may(rights, SUBJECTS.control("profile")) is profile
        assert may(rights, SUBJECTS.rehearse("a", "b")) is profile
        assert not allows(rights.subscribe, "_INBOX.operator.other.x")
        # `mendbus checkpoints` lists them; who is no admin alters none.
        bucket = SUBJECTS.bucket("checkpoints")
        assert may(rights, f"$JS.API.DIRECT.GET.OBJ_{bucket}")
        assert may(rights, f"$JS.API.STREAM.PURGE.OBJ_{bucket}") is profile
        assert may(rights, f"$O.{bucket}.M.x") is profile


def test_models_are_changed_by_operators_and_by_the_service_that_learns() -> None:
    """A viewer and every service that uses models read them; no agent and no other service does."""
    key, model = SUBJECTS.key("promotions", "classifier"), f"$O.{SUBJECTS.bucket('models')}.M.x"
    reads = f"$JS.API.DIRECT.GET.{SUBJECTS.bucket_stream('promotions')}.{key}"
    users = {f"service/{name}": rights_of(f"service/{name}", SUBJECTS) for name in SERVICES}
    users |= {level: rights_of("operator/o", SUBJECTS, level) for level in LEVELS}
    users["agent"] = rights_of("agent/runtime/r1", SUBJECTS)
    learn = {"service/classifier", "service/predictor", "service/strategy-selector"}
    assert {user for user, rights in users.items() if may(rights, reads)} == {*learn, *LEVELS}
    assert {user for user, rights in users.items() if may(rights, key)} == {"service/classifier", "operator", "admin"}
    # It keeps the model of its package when that shows lift.
    keepers = {"service/strategy-selector", "operator", "admin"}
    assert {user for user, rights in users.items() if may(rights, model)} == keepers


def test_between_the_accounts_goes_what_the_catalogue_sends() -> None:
    """What is not of agents does not cross, and every export has its import on the other side."""
    crossing = crossings(SUBJECTS)
    for giver, taker in ((CORE, AGENTS), (AGENTS, CORE)):
        given = {
            next(iter(one[kind] for kind in ("service", "stream") if kind in one)) for one in crossing[giver]["exports"]
        }
        taken = {
            next(iter(one[kind]["subject"] for kind in ("service", "stream") if kind in one))
            for one in crossing[taker]["imports"]
        }
        assert given == taken
    crossed = str(crossing)
    for name in ("journal", "control", "classifier", "predictor.assess", "executor", "dead", "alert", "history"):
        assert f"{SUBJECTS.root}.{name}" not in crossed


def test_an_agent_may_answer_as_long_as_an_attempt_may_last() -> None:
    """Neither its right to answer nor the way between the accounts ends before the longest that a policy allows."""
    longest = timedelta(milliseconds=MAX_TIMEOUT_MS)
    with pytest.raises(SettingsError, match="recovery_timeout_ms"):
        _ = read_policy(f"recovery_timeout_ms = {MAX_TIMEOUT_MS + 1}\n", "policy.toml")
    allowed = rights_of("agent/runtime/r1", SUBJECTS).permissions()["allow_responses"]
    ways = [one["response_threshold"] for one in crossings(SUBJECTS)[AGENTS]["exports"] if "service" in one]
    assert len(ways) == len(["command", "probe", "rehearse"])
    for told in (allowed["expires"], *ways):
        assert timedelta(seconds=int(told.removesuffix("s"))) > longest


@pytest.mark.parametrize(
    "user", ["", "agent", "agent/a", "agent/a/b/c", "agent/a b/c", "service/other", "root/x", "operator/a/b"]
)
def test_what_names_no_user_is_refused(user: str) -> None:
    """A user is a service, an agent or an operator, of tokens."""
    with pytest.raises(CredentialsError, match="names no user"):
        check_user(user)


def test_the_guide_holds_the_table_of_rights() -> None:
    """SECURITY.md shows what is generated: python -m mendbus.security.table shared/SECURITY.md writes it anew."""
    text = GUIDE.read_text(encoding="utf-8")
    assert document(text) == text
