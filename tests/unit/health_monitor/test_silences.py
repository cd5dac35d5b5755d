"""Silences and inhibition: what shall notify nobody, and that it is never everything."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.health_monitor.alert_samples import agent, alert
from tests.unit.health_monitor.test_alerts import quick

from mendbus_health_monitor.alert_inhibition import Dependencies, inhibited
from mendbus_health_monitor.silences import Silence, silenced


def silence(name: str = "s1", begun: int = 0, until: int = 100, **named: str) -> Silence:
    return Silence.model_validate(
        {"id": name, "by": "kim", "begun_unix_nano": begun, "until_unix_nano": until, **named}
    )


def test_a_silence_mutes_what_fits_all_that_it_names() -> None:
    """Key and rule may hold wildcards; whatever is named must fit."""
    found = alert("rule:queue:runtime/a1", rule="queue")
    for named in ({"key": "rule:*"}, {"rule": "que?e"}, {"kind": "runtime"}, {"agent": "runtime/a1", "rule": "queue"}):
        assert silence(**named).fits(found)
        assert silence(**named).target
    for named in ({"key": "rule"}, {"rule": "x*"}, {"kind": "build"}, {"agent": "runtime/a1", "rule": "other"}):
        assert not silence(**named).fits(found)
    assert not silence(kind="runtime").fits(alert("service:executor", agent=None))


def test_an_empty_silence_mutes_nothing() -> None:
    """Who names nothing means nothing."""
    assert silence().empty
    assert not silence().fits(alert())


def test_a_silence_has_a_beginning_and_an_end() -> None:
    """At its end it mutes no more; of several the one that lasts longest is named."""
    both = [silence(kind="runtime"), silence("s2", until=200, rule="r1")]
    assert silenced(alert(), both, 99) == "silence:s2"
    assert silenced(alert(), both, 150) == "silence:s2"
    assert silenced(alert(), both, 200) is None
    assert silenced(alert(), [silence(begun=50, kind="runtime")], 49) is None


def depending(**edges: tuple[str, ...]) -> Dependencies:
    found = Dependencies()
    for name, targets in edges.items():
        found.hear(name.replace("_", "/"), targets)
    return found


def test_an_alert_of_an_agent_upstream_mutes_those_of_its_dependents() -> None:
    """Directly or not, by agent or kind; a graver alert is not muted by a lighter one."""
    graph = depending(web_1=("api",), api_1=("db/main",))
    web = alert("web", agent=agent("web/1"))
    database = alert("db", "major", agent=agent("db/main"))
    assert inhibited([web, database], [web, database], graph) == {"web": "alert:db"}
    assert inhibited([database], [web, database], graph) == {}
    graver = alert("web", "critical", agent=agent("web/1"))
    assert inhibited([graver], [graver, database], graph) == {}
    api = alert("api", agent=agent("api/9"))
    assert inhibited([web], [web, api], graph) == {"web": "alert:api"}
    other = alert("x", agent=None)
    assert inhibited([other], [other, database], graph) == {}


def test_what_an_agent_depends_on_may_change() -> None:
    """A new hello counts, and so does that it has left."""
    graph = depending(web_1=("api/1",))
    assert graph.upstream("web/1") == {"api/1"}
    graph.hear("web/1", ("db/1",))
    assert graph.upstream("web/1") == {"db/1"}
    graph.forget("web/1")
    graph.forget("web/1")
    assert graph.upstream("web/1") == frozenset()


def test_agents_of_a_circle_do_not_mute_one_another() -> None:
    """Or nobody would hear of any of them."""
    graph = depending(a_1=("b/1",), b_1=("a",))
    found = [alert("a", agent=agent("a/1")), alert("b", agent=agent("b/1"))]
    assert inhibited(found, found, graph) == {}


names = st.sampled_from([f"{kind}/{number}" for kind in "abc" for number in (1, 2)])
targets = st.sampled_from(["a", "b", "c", "a/1", "a/2", "b/1", "b/2", "c/1", "c/2", "d/1"])


@quick
@given(
    st.dictionaries(names, st.lists(targets, max_size=3), max_size=6),
    st.lists(st.tuples(names, st.sampled_from(["minor", "major"])), min_size=1, max_size=8),
)
def test_of_all_alerts_at_least_the_gravest_is_heard(
    edges: dict[str, list[str]], raised: list[tuple[str, str]]
) -> None:
    """However agents depend on one another, one alert is not muted, and what mutes is open itself."""
    graph = Dependencies()
    for name, found in edges.items():
        graph.hear(name, found)
    alerts = [alert(f"k{n}", severity, agent=agent(name)) for n, (name, severity) in enumerate(raised)]
    muted = inhibited(alerts, alerts, graph)
    assert len(muted) < len(alerts)
    assert set(muted.values()) <= {f"alert:{one.key}" for one in alerts}
