"""Evidence that words alone cannot tell: positions, codes, status numbers."""

from .evidence import DECISIVE, GOOD, STRONG, ShapeRule

_STATUS = r"\b(?:code|status|http(?:/[\d.]+)?|error|response)\W{0,4}(?:code\W{0,3})?"

SHAPES: tuple[ShapeRule, ...] = (
    ShapeRule(
        "build",
        "compiler code",
        STRONG,
        ("error", "warning"),
        r"\b(?:error|warning):? ?(?:ts|cs|lnk|c|bc|fs|msb|x|ac|kt|e|nu|ca)\d{4}\b|\berror\[e\d{4}\]",
    ),
    ShapeRule("build", "hot update code", DECISIVE, ("enc",), r"\benc[01]\d{3}\b"),
    ShapeRule(
        "build",
        "source position",
        STRONG,
        (": error", ": warning", ": undefined", ": fatal error"),
        r"(?:[:(]\d+(?:[,:]\d+(?:-\d+)?)?\)?) ?: ?(?:fatal )?(?:error|warning|undefined)\b",
    ),
    ShapeRule("build", "shader log line", GOOD, ("0:", "1:"), r"(?:^|[\s\"'])(?:error: )?[01]:\d+(?:\(\d+\))?: "),
    ShapeRule(
        "build",
        "own file unresolved",
        DECISIVE,
        ("resolve '", 'resolve "'),
        r"resolve (?:module |import )?['\"](?:\.|/|~|@/|<|[a-z]:|src/)",
    ),
    ShapeRule(
        "dependency",
        "package unresolved",
        DECISIVE,
        ("resolve '", 'resolve "'),
        r"resolve (?:module |import )?['\"](?:[a-z][\w-]*['\"/]|@[a-z])",
    ),
    ShapeRule(
        "dependency",
        "header missing",
        DECISIVE,
        (".h", ".hpp"),
        r"[\w/+-]\.(?:h|hpp|hh)['\"]?(?: file|: no such file| not found|' file not found)",
    ),
    ShapeRule(
        "dependency",
        "library version",
        DECISIVE,
        ("glibc", "cxxabi", "version `"),
        r"\b(?:glibc|glibcxx|cxxabi)_\d|version `[^']{1,40}' not found",
    ),
    ShapeRule(
        "dependency",
        "version demanded",
        GOOD,
        ("require",),
        r"\brequires? [\w@/ .-]{1,40}(?:>=|<=|==|\^|~>|version|>)"
        r"|version [\w.'\"^~-]{1,40} (?:is )?(?:required|or (?:later|newer|higher))",
    ),
    ShapeRule("security", "http refusal", STRONG, ("401", "403", "407"), _STATUS + r"(?:401|403|407)\b"),
    ShapeRule("network", "http gateway", STRONG, ("502", "503"), _STATUS + r"(?:502|503)\b"),
    ShapeRule("performance", "http limit", STRONG, ("408", "429", "504", "529"), _STATUS + r"(?:408|429|504|529)\b"),
    ShapeRule("concurrency", "http conflict", STRONG, ("409", "412"), _STATUS + r"(?:409|412)\b"),
    ShapeRule("runtime", "http server error", GOOD, ("500",), _STATUS + r"500\b"),
    ShapeRule(
        "dependency",
        "module lacks a name",
        DECISIVE,
        ("has no attribute",),
        r"module ['\"][\w.]+['\"] has no attribute",
    ),
    ShapeRule(
        "performance",
        "took so long",
        GOOD,
        ("took ", "after "),
        r"\btook \d[\d.,]* ?(?:ms|s|sec|milli|seconds)\b|\bafter \d[\d.]* ?(?:ms|s|seconds|milliseconds)\b",
    ),
    ShapeRule(
        "configuration",
        "named variable missing",
        STRONG,
        ("required", "not set", "missing", "not defined"),
        r"\b[a-z0-9]{1,30}_[a-z0-9_]{0,40}(?:url|key|secret|token|host|port|id|password|user|path|dir|name|uri)\b"
        r".{0,25}\b(?:required|not set|missing|not defined)",
    ),
    ShapeRule("configuration", "unfilled placeholder", GOOD, ("${",), r"\$\{[\w.:-]{1,60}\}"),
)
