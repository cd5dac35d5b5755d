"""What may keep a failure from coming back: one sentence for a category and the strategy that helped.

That a strategy helped narrows the cause down, it does not prove it: the sentences say where to look, not what is so.
"""

from typing import Final

from mendbus.contracts.vocabulary import Category, Strategy

_HINTS: Final[dict[tuple[Category, Strategy], str]] = {
    (
        "memory",
        "restart",
    ): "memory is probably not given back: take a heap profile over some hours, look for caches and "
    "queues without a bound, and state a limit for memory",
    (
        "memory",
        "graceful_degradation",
    ): "an optional feature may be what fills memory: measure it with each feature off, and bound what it keeps",
    (
        "memory",
        "rollback",
    ): "the newer version or state may need more memory: compare memory before and after the change "
    "that was rolled back",
    (
        "memory",
        "scale_down",
    ): "less work at a time was enough: lower concurrency or batch size for good, or give it more memory",
    (
        "network",
        "retry",
    ): "the failures passed by themselves: look at time-outs, connection reuse and the link between the "
    "two, and give the call a time-out with back-off of its own",
    (
        "network",
        "fallback",
    ): "the alternative was in reach when the first choice was not: look at that endpoint, its DNS "
    "name and the way to it, and consider more than one address",
    ("network", "failover"): "another instance got through: look at this host's network, DNS and firewall",
    (
        "network",
        "graceful_degradation",
    ): "the call that failed was not essential: make it optional, with a short time-out",
    ("network", "restart"): "a new process got through: look for stale connections and cached addresses that are never "
    "renewed",
    (
        "storage",
        "retry",
    ): "the failures passed by themselves: look at locks, slow or remote disks and several writers of one file",
    (
        "storage",
        "fallback",
    ): "the other place could be written: look at free space, rights and mount of the first one, and watch its disk",
    (
        "storage",
        "rollback",
    ): "the last good state was readable: write files atomically (a new file, synced, renamed), and "
    "check a digest when reading",
    ("build", "rollback"): "the last good version builds: let a change build before agents get it, and pin what it is "
    "built with",
    ("build", "retry"): "the same input built the second time: look for steps that race, shared caches and downloads "
    "during the build",
    ("build", "fallback"): "the other way of building works: compare tool versions and flags of the two",
    (
        "runtime",
        "rollback",
    ): "the version or state before works: look at the change that was rolled back, and add a test with this input",
    (
        "runtime",
        "restart",
    ): "a fresh process works: look for state that goes bad with time, and for this input in a test",
    ("runtime", "fallback"): "the alternative copes with what the first choice does not: add a test with this input",
    ("runtime", "retry"): "the same call worked later: look for a race, or for something it needs that was not ready",
    ("dependency", "fallback"): "the alternative was there when the dependency was not: look at its own incidents, and "
    "agree on what happens while it is away",
    ("dependency", "rollback"): "the versions before fit together: pin what is depended upon, and try an update before "
    "agents get it",
    ("dependency", "restart"): "it came up once what it needs was there: wait for dependencies at the start instead of "
    "failing",
    (
        "dependency",
        "retry",
    ): "the dependency came back by itself: retry with back-off in the caller, and look at its own incidents",
    (
        "configuration",
        "rollback",
    ): "the configuration before works: check a configuration against its schema before it is taken over",
    (
        "configuration",
        "restart",
    ): "it works with what it reads at the start: look for configuration that is changed while "
    "it runs and only partly taken over",
    ("performance", "scale_down"): "less work at a time was enough: lower concurrency for good, add replicas, or admit "
    "less when queues grow",
    ("performance", "graceful_degradation"): "it keeps up without its optional features: measure what each costs, and "
    "switch the dear ones off under load",
    ("performance", "failover"): "another instance keeps up: compare load, version and host of the two",
    (
        "performance",
        "restart",
    ): "a fresh process is fast: look for growing lists, caches and handles that are not closed",
    (
        "concurrency",
        "retry",
    ): "the second try found its way: look for a race or a deadlock, a lock order, and time-outs of locks",
    ("concurrency", "restart"): "only a fresh process went on: it probably hung on a lock; take stacks when it hangs "
    "(`mendbus profile`), and give locks time-outs",
    (
        "security",
        "isolate",
    ): "cutting it off kept the rest safe, and repaired nothing: rotate what may be known to others, "
    "and find the way in before it is let back",
}
"""What the ladders of the default policy can come to, and what else is common."""

_STRATEGIES: Final[dict[Strategy, str]] = {
    "retry": "the same call worked later: look for something that is only now and then not ready, and retry with "
    "back-off in the caller",
    "fallback": "the alternative worked: find out what the first choice needs and did not have",
    "rollback": "the state or version before works: look at the change that was rolled back",
    "isolate": "cutting the agent off kept the others well, and repaired nothing: find out what it does to them",
    "restart": "a fresh process works: look for state that goes bad with time",
    "scale_down": "less work at a time was enough: lower concurrency for good, or give it more room",
    "graceful_degradation": "it works without its optional features: find out which of them fails, and keep it apart",
    "failover": "another instance works: compare version, configuration and host of the two",
    "escalate": "a person was needed: note on the incident what helped, so that it can be made a strategy",
}

_UNHELPED: Final[dict[Category, str]] = {
    "memory": "nothing helped by itself: take a heap profile, and check whether the limit is above what the work needs",
    "network": "nothing helped by itself: check address, DNS, firewall and certificates from this host",
    "storage": "nothing helped by itself: check free space, inodes, rights and the health of the disk",
    "build": "nothing helped by itself: build the same input by hand, with the same tool versions",
    "runtime": "nothing helped by itself: reproduce it with the input in the report, and add a test",
    "dependency": "nothing helped by itself: check that what it depends on is there, in a version that fits",
    "configuration": "nothing helped by itself: compare the configuration with one that works, key by key",
    "performance": "nothing helped by itself: profile it under load (`mendbus profile`), and measure what it waits for",
    "concurrency": "nothing helped by itself: take the stacks of all threads or tasks when it hangs",
    "security": "nothing was done by itself, on purpose: let a person judge it, and rotate what may be known to others",
    "unknown": "nothing helped, and it is not known what it is: once you know, say so with `mendbus relabel`, so that "
    "the next one is recognised",
}


def hint(category: Category, helped: Strategy | None) -> str:
    """Where to look so that such a failure does not come back; `helped`: the strategy that ended it most often."""
    if helped is None:
        return _UNHELPED[category]
    return _HINTS.get((category, helped)) or _STRATEGIES[helped]
