"""Names of exception classes, and the words between an error and what lies beneath it."""

# Class names such as `FooTimeoutException`: the first part found in the name speaks, when the name itself is not known.
_NAME_PARTS_BY_LABEL: tuple[tuple[str, str], ...] = (
    ("memory", "outofmemory badalloc"),
    (
        "concurrency",
        "optimisticlock deadlock conflict concurren locktimeout lockfail alreadyrunning "
        "transactionabort lockerror lockexception",
    ),
    ("network", "connecttimeout connectiontimeout connectiontimedout"),
    (
        "performance",
        "timeout timedout deadlineexceeded ratelimit throttl toomanyrequests quotaexceeded "
        "rejectedexecution poolexhausted overload slowconsumer",
    ),
    (
        "security",
        "authenticat authoriz unauthori accessdenied forbidden permission credential certificate "
        "certpath csrf securityexc securityerr signature invalidtoken jwt crypto",
    ),
    (
        "network",
        "unknownhost nameresolution noroutetohost connection connect socket network handshake ssl "
        "websocket brokernotavailable chunkedencoding proxy",
    ),
    (
        "dependency",
        "classnotfound noclassdef modulenotfound linkageerror nosuchmethoderror versionconflict "
        "versionmismatch importerror loaderror dllnotfound deprecat dependency package",
    ),
    (
        "storage",
        "filenotfound nosuchfile directorynotfound filesystem corrupt checksum badzip eofexception "
        "zipexception zlib diskfull readonly ioexception nosuchbucket s3exception mount",
    ),
    ("build", "compil syntaxerror webpack rollup transformerror shader gradle buildexc builderror aapt"),
    (
        "configuration",
        "config beancreation unsatisfieddependency propert invaliduri malformedurl invalidurl yaml toml settings",
    ),
    (
        "runtime",
        "stackoverflow recursion nullpointer nullreference assert unicode json typeerror keyerror "
        "argument indexerror outofbounds illegalstate invalidoperation classcast parse format "
        "validation attributeerror referenceerror nomethod notimplemented cast nameerror",
    ),
)
NAME_PARTS: tuple[tuple[str, str], ...] = tuple(
    (part, label) for label, parts in _NAME_PARTS_BY_LABEL for part in parts.split()
)

# Words after which a text goes on to name what lies beneath the error reported so far.
CHAIN_MARKERS: tuple[str, ...] = (
    "caused by",
    "nested exception is",
    "root cause",
    "reason:",
    "inner exception",
    "--->",
    "cause:",
    "original error",
    "desc =",
    "due to",
    "because",
    "previous exception",
    "failed with message",
    "the above exception was",
)
