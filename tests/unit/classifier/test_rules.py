"""Properties of the rules-only error classifier."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus_classifier.rules import CATEGORIES, SEVERITIES, Verdict, classify, evidence

REAL_WORLD = [
    ("memory", "", "java.lang.OutOfMemoryError: Java heap space"),
    ("memory", "torch.cuda.OutOfMemoryError", "HIP out of memory, wanted 2.00 GiB more on GPU 0"),
    ("memory", "", "kswapd0: Out of memory: Kill process 911 (ruby) score 880 or sacrifice child"),
    ("memory", "MemoryError", "Unable to allocate 7.45 GiB for an array with shape (1000000000,)"),
    ("memory", "", "==77==ERROR: LeakSanitizer: detected memory leaks, 64 byte(s) leaked in 1 allocation(s)"),
    ("memory", "", "double free or corruption (fasttop)\nAborted"),
    ("memory", "", "container terminated: reason OOMKilled, exit code 137"),
    ("network", "ConnectionRefusedError", "[Errno 111] Connection refused"),
    ("network", "", "curl: (6) Could not resolve host: api.example.org"),
    ("network", "Error", "read ECONNRESET at TLSWrap.onStreamRead"),
    ("network", "", "dial tcp: lookup db.internal: no such host"),
    ("network", "", "psql: error: could not connect to server: No route to host"),
    ("network", "pymysql.err.OperationalError", "(2006, 'MySQL server has gone away')"),
    ("storage", "OSError", "[Errno 28] No space left on device: '/var/lib/app/spool'"),
    ("storage", "", "touch: cannot touch 'x.txt': Read-only file system"),
    ("storage", "", "XFS (dm-3): Metadata corruption detected at xfs_agf_read_verify"),
    ("storage", "", "rename /a/x /b/x: invalid cross-device link"),
    ("storage", "sqlite3.DatabaseError", "database disk image is malformed"),
    ("storage", "", "gzip: stdin: unexpected end of file, crc error"),
    ("storage", "", "Table './shop/orders' is marked as crashed and should be repaired"),
    ("build", "", "main.c:4:9: error: expected ';' before 'return'"),
    ("build", "", "undefined reference to `pthread_create'\ncollect2: error: ld returned 1 exit status"),
    ("build", "", "error[E0382]: borrow of moved value: `name`"),
    ("build", "", "src/app.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'."),
    ("build", "", "ERROR: 0:12: 'texture' : no matching overloaded function found\nfragment shader compile failed"),
    ("build", "", "[webpack-dev-server] hot update failed, cannot apply update, need a full reload"),
    ("build", "", "Main.java:7: error: cannot find symbol\n  symbol: variable counter"),
    ("dependency", "ModuleNotFoundError", "No module named 'yaml'"),
    ("dependency", "", "npm ERR! code ERESOLVE\nnpm ERR! ERESOLVE unable to resolve dependency tree"),
    ("dependency", "", "ERROR: Could not find a version that satisfies the requirement foo==9.9 (from versions: 1.0)"),
    ("dependency", "", "app: error while loading shared libraries: libssl.so.1.1: cannot open shared object file"),
    ("dependency", "", "tool: version `GLIBC_2.29' not found by the loader"),
    ("dependency", "java.lang.NoSuchMethodError", "com.acme.Codec.decode(Ljava/lang/String;)V"),
    ("dependency", "", "npm WARN deprecated har-validator@5.1.5: this library is no longer supported"),
    ("configuration", "", "listen EADDRINUSE: address already in use :::3000"),
    ("configuration", "", "panic: required environment variable REDIS_URL is not set"),
    ("configuration", "", "error parsing config file: yaml: line 8: mapping values are not allowed in this context"),
    ("configuration", "", "flag provided but not defined: -listen-addr"),
    ("configuration", "", "Client sent an HTTP request to an HTTPS server."),
    ("configuration", "", 'nginx: [emerg] unknown directive "proxy_passs" in site.conf:9'),
    ("runtime", "java.lang.NullPointerException", 'Cannot invoke "String.length()" because "name" is null'),
    ("runtime", "TypeError", "Cannot read properties of undefined (reading 'map')"),
    ("runtime", "IndexError", "list index out of range"),
    ("runtime", "", "panic: runtime error: index out of range [5] with length 3"),
    ("runtime", "UnicodeDecodeError", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ("runtime", "RecursionError", "maximum recursion depth exceeded in comparison"),
    ("runtime", "ZeroDivisionError", "division by zero"),
    ("performance", "", "rpc failed: context deadline exceeded after 10s"),
    ("performance", "", "ERROR: canceling statement due to statement timeout"),
    ("performance", "", "FATAL: sorry, too many clients already"),
    ("performance", "", "HTTP 429 Too Many Requests: rate limit exceeded, retry after 30 s"),
    ("performance", "", "Can't keep up! Is the server overloaded? Running 5120ms or 102 ticks behind"),
    ("performance", "", "HikariPool-1 - Connection is not available, request timed out after 30001ms."),
    ("performance", "", "nats: slow consumer, messages dropped"),
    ("concurrency", "", "Deadlock found when trying to get lock; try restarting transaction"),
    ("concurrency", "sqlite3.OperationalError", "database is locked"),
    ("concurrency", "", "ERROR: could not serialize access due to read/write dependencies"),
    ("concurrency", "RuntimeError", "dictionary keys changed during iteration"),
    ("concurrency", "", "fatal: Unable to create 'repo/index.lock', it exists already"),
    ("concurrency", "", 'Operation cannot be fulfilled on pods "web": the object has been modified'),
    ("security", "", "x509: certificate has expired or is not yet valid"),
    ("security", "", 'FATAL: password authentication failed for user "app"'),
    ("security", "PermissionError", "[Errno 13] Permission denied: '/etc/shadow'"),
    ("security", "", "Host key verification failed."),
    ("security", "", "Refused to load the script because it violates the Content Security Policy directive"),
    ("security", "jwt.exceptions.ExpiredSignatureError", "Signature has expired"),
]

SEVERITY_CASES = [
    ("warning", "DeprecationWarning: the imp module is deprecated in favour of importlib"),
    ("warning", "[WARN] connection lost, retrying in 5 seconds"),
    ("warning", "foo.c:3:7: warning: unused variable 'n' [-Wunused-variable]"),
    ("error", "KeyError: 'user_id'"),
    ("error", "fatal: not a git repository (or any of the parent directories): .git"),
    ("error", "CUDA out of memory while moving the batch"),
    ("critical", "Failed to start PostgreSQL RDBMS: environment variable PGDATA is not set"),
    ("critical", "EXT4-fs error: Remounting filesystem read-only"),
    ("critical", "kubelet Back-off restarting failed container, CrashLoopBackOff"),
    ("fatal", "Segmentation fault (core dumped)"),
    ("fatal", "thread 'main' panicked at src/main.rs:4:5: index out of bounds"),
    ("fatal", "Out of memory: Killed process 4242 (java) total-vm:8123456kB, anon-rss:4100000kB"),
    ("fatal", "libc++abi: terminating due to uncaught exception of type int"),
]

HOSTILE = [
    "a" * 16_384,
    "a_" * 8_192,
    "a_key " * 2_730,
    ":1" * 8_192,
    "(1,1)" * 3_276 + ": error",
    "requires a " * 1_489 + "version",
    "version `" * 1_820,
    "error 500 " * 1_638,
    "caused by: " * 1_489,
    "".join(f"x{number}FooBarError " for number in range(1_000)),
    "\x00" * 16_384,
    "錯誤" * 8_192,
]


def assert_valid(verdict: Verdict) -> None:
    """A verdict names a known category and severity, a probability and the rule that decided."""
    assert verdict.category in (*CATEGORIES, "unknown")
    assert verdict.severity in SEVERITIES
    assert 0.0 <= verdict.confidence <= 1.0
    assert (verdict.rule == "none") == (verdict.category == "unknown")
    assert (verdict.confidence == 0.0) == (verdict.category == "unknown")


@pytest.mark.parametrize(("category", "exception_type", "message"), REAL_WORLD)
def test_names_the_category_of_well_known_errors(category: str, exception_type: str, message: str) -> None:
    """What widespread software prints gets the category its cause belongs to."""
    verdict = classify(exception_type, message)
    assert_valid(verdict)
    assert verdict.category == category


@pytest.mark.parametrize(("severity", "message"), SEVERITY_CASES)
def test_names_the_severity_of_well_known_errors(severity: str, message: str) -> None:
    """Severity follows what became of the process and its data, not the word the program used."""
    assert classify("", message).severity == severity


@pytest.mark.parametrize("message", ["", " ", "error", "an error occurred", "ошибка", "\x00\x01\x02", "42", "!!!"])
def test_says_unknown_where_evidence_is_too_thin(message: str) -> None:
    """A text that names no cause gets no category and no confidence."""
    verdict = classify("", message)
    assert_valid(verdict)
    assert verdict.category == "unknown"


def test_root_cause_outweighs_its_wrapper() -> None:
    """What stands beneath "Caused by" decides over the exception that wraps it."""
    wrapper = "BeanCreationException: Error creating bean 'store'"
    assert classify("", wrapper).category == "configuration"
    assert classify("", f"{wrapper}\nCaused by: java.net.ConnectException: Connection refused").category == "network"


def test_the_stack_decides_only_where_the_message_is_silent() -> None:
    """Stack frames give a category to a bare message but do not overrule a telling one."""
    frames = "at java.util.LinkedList$ListItr.checkForComodification(LinkedList.java:966)"
    assert classify("", "it broke", frames).category == "concurrency"
    assert classify("", "write failed: no space left on device", frames).category == "storage"


def test_telling_texts_get_more_confidence_than_topic_words() -> None:
    """Confidence grows with the weight of the evidence."""
    assert classify("", "deadlock detected").confidence > classify("", "the mutex").confidence


def test_the_ends_of_a_long_text_are_read() -> None:
    """A cause at either end of a text too long to be read whole is still found."""
    filler = "tick " * 4_000
    assert classify("", f"Host key verification failed. {filler}").category == "security"
    assert classify("", f"{filler} Host key verification failed.").category == "security"


def test_evidence_agrees_with_the_verdict() -> None:
    """The category with the most evidence is the one the verdict names."""
    message = "could not connect to server: Connection refused"
    weights = evidence("", message)
    assert max(weights, key=weights.__getitem__) == classify("", message).category
    assert evidence("", "") == {}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_repetition_comes_to_an_end(text: str) -> None:
    """No repetition makes the classifier run away, wherever it stands."""
    assert_valid(classify(text, text, text))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
def test_any_text_yields_a_valid_verdict(exception_type: str, message: str, stack: str) -> None:
    """No text of any script makes the classifier raise, and the same text gets the same verdict."""
    verdict = classify(exception_type, message, stack)
    assert_valid(verdict)
    assert classify(exception_type, message, stack) == verdict


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([message for _, _, message in REAL_WORLD]), min_size=1, max_size=4), st.text(max_size=60)
)
def test_mixed_error_texts_yield_a_valid_verdict(messages: list[str], noise: str) -> None:
    """Texts that speak for several categories at once still get one valid verdict."""
    assert_valid(classify(noise, "\n".join(messages), noise))
