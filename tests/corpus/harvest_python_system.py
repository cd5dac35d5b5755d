"""Failures of Python programs at what is beside them: sockets, databases, threads, other processes."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501

import asyncio
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.corpus.recording import Provocation, Record, called, ran


def records() -> Iterator[Record]:
    """Everything of this module."""
    yield from _sockets()
    yield from _databases()
    yield from _threads()
    yield from _processes()


def _sockets() -> Iterator[Record]:
    refused = Provocation("refused connection", "network")
    for port in (1, 9, 19):
        yield from called(refused, lambda port=port: socket.create_connection(("127.0.0.1", port), timeout=2))
        for scheme in ("http", "https", "ftp"):
            url = f"{scheme}://127.0.0.1:{port}/x"
            yield from called(refused, lambda url=url: urllib.request.urlopen(url, timeout=2))
        yield from called(refused, lambda port=port: asyncio.run(_connect(port)))
    for module, name, argument in (
        ("smtplib", "SMTP", 1), ("imaplib", "IMAP4", 1), ("poplib", "POP3", 1), ("ftplib", "FTP", None), ("telnetlib", "Telnet", 1),
    ):  # fmt: skip
        try:
            client = getattr(import_module(module), name)
        except ImportError:
            continue
        arguments = ("127.0.0.1",) if argument is None else ("127.0.0.1", argument)
        yield from called(refused, lambda client=client, arguments=arguments: client(*arguments))
    unknown = Provocation("unknown host", "network")
    for host in ("no-such-host.invalid", "db.invalid", "broker.invalid"):
        yield from called(unknown, lambda host=host: socket.getaddrinfo(host, 80))
        yield from called(unknown, lambda host=host: urllib.request.urlopen(f"http://{host}/", timeout=2))
    taken = Provocation("port taken", "configuration", "critical")
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        port = first.getsockname()[1]
        yield from called(taken, lambda: socket.create_server(("127.0.0.1", port)))
        yield from called(taken, lambda: asyncio.run(_serve(port)))
        yield from called(Provocation("silent server", "performance"), lambda: _read_nothing(port))
    yield from called(taken, lambda: socket.create_server(("192.0.2.1", 8080)))
    first, second = socket.socketpair()
    second.close()
    yield from called(Provocation("closed peer", "network"), lambda: [first.send(b"x" * 100_000) for _ in range(9)])
    first.close()
    yield from called(Provocation("closed peer", "network"), lambda: first.send(b"x"))
    for url in ("htp://x", "example.com", "http//x", "//x", "http://[::1", "foo:bar"):
        what = Provocation("bad address", "configuration")
        yield from called(what, lambda url=url: urllib.request.urlopen(url, timeout=2))
    closed = Provocation("closed connection", "network")
    for answer in (
        b"",
        b"garbage\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ):
        yield from called(closed, lambda answer=answer: _odd_server(answer))
    yield from called(Provocation("tls to a plain port", "network"), _tls_to_plain)


async def _connect(port: int) -> None:
    await asyncio.open_connection("127.0.0.1", port)


async def _serve(port: int) -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", port)


def _read_nothing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
        link.settimeout(0.05)
        link.recv(1)


@contextmanager
def _server(answer: bytes) -> Generator[int]:
    """A server that has one answer for whatever is asked first; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(3)


def _odd_server(answer: bytes) -> None:
    with _server(answer) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as reply:
        reply.read()


def _tls_to_plain() -> None:
    with (
        _server(b"HTTP/1.0 400 Bad Request\r\n\r\n") as port,
        socket.create_connection(("127.0.0.1", port), timeout=3) as raw,
    ):
        ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")


def _databases() -> Iterator[Record]:
    base = sqlite3.connect(":memory:")
    base.executescript(
        "create table t(id integer primary key, n int not null, u text unique, c int check(c > 0));"
        "create table o(t int references t(id)); pragma foreign_keys=on; insert into t values(1, 1, 'a', 1);"
    )
    logic = Provocation("bad statement", "runtime")
    for statement in (
        "select * from missing", "select nope from t", "selec 1", "insert into t values(2, null, 'b', 1)",
        "insert into t values(1, 1, 'z', 1)", "insert into t values(3, 1, 'q', -1)", "insert into o values(99)",
        "insert into t values(1)", "create table t(x)", "drop table nope", "select count(", "update t set nope=1",
        "select max(id, ", "insert into t(id) values('a')", "select * from t where", "alter table t rename to o",
    ):  # fmt: skip
        yield from called(logic, lambda statement=statement: base.execute(statement))
    yield from called(
        Provocation("duplicate row", "concurrency"), lambda: base.execute("insert into t values(4, 1, 'a', 1)")
    )
    with tempfile.TemporaryDirectory(prefix="app") as folder:
        path = Path(folder) / "orders.db"
        one, two = sqlite3.connect(path, timeout=0), sqlite3.connect(path, timeout=0)
        one.executescript("create table t(a); begin immediate;")
        locked = Provocation("locked database", "concurrency")
        for statement in ("insert into t values(1)", "delete from t", "create table x(a)", "begin exclusive"):
            yield from called(locked, lambda statement=statement: two.execute(statement))
        yield from called(locked, lambda: _elsewhere(one))
        one.close()
        two.close()
        yield from called(Provocation("missing database", "storage"), lambda: sqlite3.connect(f"{folder}/no/x.db"))
        path.write_bytes(path.read_bytes()[:1200] + b"\xff" * 3000)
        damaged = Provocation("damaged database", "storage", "critical")
        yield from called(damaged, lambda: sqlite3.connect(path).execute("select * from t").fetchall())
        read_only = Provocation("read-only database", "storage")
        yield from called(
            read_only, lambda: sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("create table q(a)")
        )


def _elsewhere(base: sqlite3.Connection) -> None:
    found: list[BaseException] = []

    def use() -> None:
        try:
            base.execute("select 1")
        except sqlite3.Error as error:
            found.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    raise found[0]


def _threads() -> Iterator[Record]:
    lock = Provocation("lock misuse", "concurrency")
    for action in (
        lambda: threading.Lock().release(),
        lambda: threading.RLock().release(),
        lambda: threading.Condition().notify(),
        lambda: threading.Semaphore(-1),
        lambda: threading.current_thread().join(),
        lambda: [table.pop(key) for table in ({1: 1, 2: 2},) for key in table],
        lambda: [seen.add(x + 9) for seen in ({1, 2},) for x in seen],
        lambda: asyncio.run(_twice()),
        lambda: asyncio.run(_nested()),
        lambda: asyncio.get_event_loop_policy().get_event_loop().run_until_complete(None),
    ):
        yield from called(lock, action)
    late = Provocation("time-out", "performance")
    for action in (
        lambda: asyncio.run(_late()),
        lambda: subprocess.run(["sleep", "5"], timeout=0.05, check=True),
        lambda: __import__("queue").Queue(1).get(timeout=0.01),
        lambda: threading.Barrier(2).wait(0.01),
    ):
        yield from called(late, action)


async def _late() -> None:
    await asyncio.wait_for(asyncio.sleep(5), 0.01)


async def _twice() -> None:
    waiting = asyncio.sleep(0)
    await waiting
    await waiting


async def _nested() -> None:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    finally:
        coroutine.close()


_CHILDREN: Final = (
    ("memory limit", "memory", "error", "import resource as r; r.setrlimit(r.RLIMIT_AS,(300<<20,300<<20)); x=bytearray(1<<30)"),
    ("memory limit list", "memory", "error", "import resource as r; r.setrlimit(r.RLIMIT_AS,(200<<20,200<<20)); x=[0]*(1<<28)"),
    ("numpy memory", "memory", "error", "import numpy as n; n.zeros((1<<20,1<<20,64))"),
    ("segfault", "memory", "fatal", "import faulthandler,ctypes; faulthandler.enable(); ctypes.string_at(0)"),
    ("abort", "memory", "fatal", "import faulthandler,os; faulthandler.enable(); os.abort()"),
    ("recursion", "runtime", "error", "f=lambda: f(); f()"),
    ("file limit", "performance", "error", "import resource as r; r.setrlimit(r.RLIMIT_NOFILE,(16,16)); x=[open('/dev/null') for _ in range(99)]"),
    ("file size limit", "storage", "error", "import resource as r,signal,tempfile; signal.signal(25,signal.SIG_IGN); r.setrlimit(r.RLIMIT_FSIZE,(10,10)); f=tempfile.TemporaryFile(); f.write(b'x'*99); f.flush()"),
    ("process limit", "concurrency", "error", "import threading; threading.stack_size(1<<40)"),
    ("missing script", "storage", "error", None),
    ("uncaught", "runtime", "error", "raise ValueError('amount must be positive')"),
    ("uncaught key", "runtime", "error", "{}['order_id']"),
    ("never awaited", "runtime", "warning", "import asyncio\nasync def save(): pass\nasync def main(): save()\nasyncio.run(main())"),
    ("unclosed file", "memory", "warning", "import warnings; warnings.simplefilter('always'); open('/dev/null')\nx=1"),
    ("deprecated", "dependency", "warning", "import warnings; warnings.simplefilter('always'); import imp"),
    ("circular", "runtime", "error", "import sys,types; m=types.ModuleType('shop'); m.__spec__=type('S',(),{'_initializing':True,'name':'shop','origin':'/srv/app/shop.py','has_location':True,'submodule_search_locations':None})(); sys.modules['shop']=m; from shop import cart"),
)  # fmt: skip


def _processes() -> Iterator[Record]:
    for name, category, severity, source in _CHILDREN:
        command = [sys.executable, "-c", source] if source else [sys.executable, "/srv/app/missing_script.py"]
        yield from ran(Provocation(f"child {name}", category, severity), command)
    for option in ("--nonsense", "-Q", "-X", "-W error::nope"):
        yield from ran(Provocation("python option", "configuration"), [sys.executable, option, "-c", "0"])
    yield from ran(Provocation("python module missing", "dependency"), [sys.executable, "-m", "no_such_tool"])
