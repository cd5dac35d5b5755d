"""Failures of CPython, its standard library, and the packages that the project stands on."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501, SIM905, PERF401, RUF001

import ast
import asyncio
import builtins
import configparser
import csv
import decimal
import errno
import json
import os
import shlex
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import tomllib
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.corpus.recording import Provocation, Record, called, printed, ran

_ERRNO: Final = {
    "memory": "ENOMEM EFAULT",
    "network": (
        "ECONNREFUSED ECONNRESET ECONNABORTED EPIPE EHOSTUNREACH ENETUNREACH ENETDOWN ENETRESET EHOSTDOWN ENOTCONN "
        "ESHUTDOWN ENONET ECOMM ENOLINK EREMOTEIO ENOTUNIQ EISCONN ECONNABORTED ETIMEDOUT"
    ),
    "storage": (
        "ENOSPC EIO EROFS EDQUOT ENOENT ENOTDIR EISDIR ENOTEMPTY EXDEV EBUSY ESTALE EFBIG ENXIO ENODEV ENOMEDIUM "
        "EMEDIUMTYPE EUCLEAN EBADF ELOOP ENAMETOOLONG EEXIST EMLINK"
    ),
    "security": "EACCES EPERM EKEYEXPIRED EKEYREJECTED EKEYREVOKED ENOKEY",
    "configuration": "EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EPROTONOSUPPORT ENOPROTOOPT ENOTBLK EDESTADDRREQ",
    "concurrency": "EDEADLK EAGAIN EALREADY EINPROGRESS EOWNERDEAD ENOTRECOVERABLE ETXTBSY ENOLCK",
    "performance": "ETIME EMFILE ENFILE EUSERS ENOBUFS",
    "runtime": "EINVAL EDOM ERANGE EILSEQ EOVERFLOW ENOTTY ESPIPE EBADMSG ENAMETOOLONG",
    "dependency": "ENOSYS ELIBACC ELIBBAD ELIBMAX ENOEXEC EOPNOTSUPP ELIBSCN",
}
_STATUS: Final = {
    "security": (401, 403, 407, 451, 495, 511),
    "performance": (408, 429, 503, 504),
    "network": (502,),
    "storage": (404, 410, 507),
    "concurrency": (409, 412, 423, 428),
    "configuration": (400, 405, 406, 413, 414, 415, 421, 431, 505),
    "runtime": (422, 500, 501),
}


def records() -> Iterator[Record]:
    """Everything of this module."""
    yield from _codes()
    yield from _expressions()
    yield from _modules()
    yield from _files()
    yield from _sources()
    yield from _data()
    yield from _sockets()
    yield from _databases()
    yield from _threads()
    yield from _processes()


def _codes() -> Iterator[Record]:
    for category, names in _ERRNO.items():
        for name in names.split():
            number = getattr(errno, name, None)
            if number is None:
                continue
            what = Provocation(f"errno {name}", category)
            error = OSError(number, os.strerror(number), "/srv/app/data/journal.log")
            yield from called(what, lambda error=error: _raise(error))
            yield from printed(
                what,
                os.strerror(number),
                f"write failed: {os.strerror(number)} (os error {number})",
                f"{name}: {os.strerror(number).lower()}, open '/srv/app/data'",
                f"worker exited: errno={number} ({name})",
            )
    for category, codes in _STATUS.items():
        for code in codes:
            what = Provocation(f"http {code}", category)
            phrase = _phrase(code)
            yield from printed(
                what,
                f"HTTP {code} {phrase}",
                f"request failed with status code {code}",
                f"GET https://api.example.com/v1/orders: {code} {phrase}",
                f"{code} {phrase}: upstream answered with an error",
            )


def _phrase(code: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Certificate Error"


def _raise(error: BaseException) -> None:
    raise error


def _expressions() -> Iterator[Record]:
    """Every builtin and common method, called with what it cannot take."""
    wrong: list[Any] = [None, "text", -1, [], {}, b"\xff\xfe", 3.5, object(), (1, 2, 3), float("nan")]
    targets: list[tuple[str, Callable[..., object]]] = []
    for name in (
        "abs bin bytearray bytes chr complex dict divmod enumerate float format frozenset getattr hash hex int isinstance "
        "issubclass iter len list map max memoryview min next oct ord pow range reversed round set setattr slice sorted "
        "sum tuple zip"
    ).split():
        targets.append((name, getattr(builtins, name)))
    for owner in ("", b"", [], {}, set[int](), (), 0, 1.0):
        for name in dir(owner):
            if not name.startswith("_"):
                targets.append((f"{type(owner).__name__}.{name}", getattr(owner, name)))
    for module in (
        "math",
        "struct",
        "json",
        "base64",
        "datetime",
        "statistics",
        "re",
        "itertools",
        "functools",
        "string",
    ):
        loaded = import_module(module)
        for name in dir(loaded):
            function = getattr(loaded, name)
            if not name.startswith("_") and callable(function) and name not in {"purge", "template"}:
                targets.append((f"{module}.{name}", function))
    for name, function in targets:
        what = Provocation(f"misuse {name}", "runtime")
        for value in wrong:
            yield from called(what, lambda function=function, value=value: _bounded(function, value))
        yield from called(what, lambda function=function: _bounded(function, 1, "a", None))


def _bounded(function: Callable[..., object], *arguments: object) -> object:
    result = function(*arguments)
    # Generators fail only when they are asked.
    if hasattr(result, "__next__"):
        for _, _item in zip(range(3), result, strict=False):  # pyright: ignore[reportArgumentType]
            pass
    return None


def _modules() -> Iterator[Record]:
    for name in (
        "yaml_core pandas_lite torchx django_lite flaskish requests_plus sklearnish celeryd redisx kafkapy psycopg3x grpcx "
        "boto9 PILx cv9 matplotlibx aiohttpx httpz sqlalchemyx pydantic_v9 fastapix uvicornx lxmlx bs9 jwtx cryptox"
    ).split():
        what = Provocation(f"missing module {name}", "dependency")
        yield from called(what, lambda name=name: import_module(name))
        yield from called(what, lambda name=name: import_module(f"{name}.core"))
    for module in (
        "json os asyncio socket re typing collections sqlite3 http.client email logging numpy pydantic msgpack".split()
    ):
        for name in ("missing_thing", "OldName", "removed_function"):
            what = Provocation(f"missing name {module}", "dependency")
            code = f"from {module} import {name}"
            yield from called(what, lambda code=code: exec(code, {}))
    for library in "foo acme vulkan-compat ssl3 cudart-11 stdc++legacy".split():
        what = Provocation(f"missing library {library}", "dependency")
        import ctypes

        yield from called(what, lambda library=library: ctypes.CDLL(f"lib{library}.so.9"))


def _files() -> Iterator[Record]:
    with tempfile.TemporaryDirectory(prefix="app") as folder:
        place = Path(folder)
        (place / "plain.txt").write_text("text")
        (place / "full").mkdir()
        (place / "full" / "x").write_text("x")
        storage = Provocation("missing file", "storage")
        for action in (
            (place / "gone.json").read_text,
            lambda: os.listdir(place / "nowhere"),
            lambda: os.rename(place / "a", place / "b"),
            lambda: os.remove(place / "absent.db"),
            lambda: os.rmdir(place / "full"),
            (place / "plain.txt" / "below").read_text,
            (place / "full").read_text,
            lambda: os.mkdir(place / "full"),
            lambda: os.symlink("x", place / "plain.txt"),
            lambda: (place / ("n" * 300)).write_text("x"),
            lambda: os.chdir(place / "nowhere"),
            lambda: zipfile.ZipFile(place / "gone.zip"),
        ):
            yield from called(storage, action)
        broken = Provocation("broken archive", "storage")
        for suffix, content in ((".zip", b"no zip"), (".gz", b"no gzip"), (".tar", b"x" * 700), (".db", b"x" * 4096)):
            path = place / f"bad{suffix}"
            path.write_bytes(content)
            for module, call in (
                ("zipfile", "ZipFile"),
                ("gzip", "open"),
                ("tarfile", "open"),
                ("lzma", "open"),
                ("bz2", "open"),
            ):
                opened = getattr(import_module(module), call)
                yield from called(broken, lambda opened=opened, path=path: opened(path).read())
            yield from called(broken, lambda path=path: sqlite3.connect(path).execute("select * from t"))
        for size in (1, 5, 20):
            yield from called(broken, lambda size=size: zlib.decompress(zlib.compress(b"abc" * 50)[:size]))
        cut = zlib.compress(b"some text" * 100)
        for at in range(2, len(cut), 3):
            damaged = cut[:at] + bytes([cut[at] ^ 0xFF]) + cut[at + 1 :]
            yield from called(broken, lambda damaged=damaged: zlib.decompress(damaged))
        full = Provocation("full device", "storage")
        yield from called(full, lambda: open("/dev/full", "w").write("x" * 100_000))  # noqa: SIM115
        for path in ("/proc/version", "/sys/kernel/notes"):
            yield from called(Provocation("read-only place", "security"), lambda path=path: Path(path).write_text("x"))


def _sources() -> Iterator[Record]:
    """Source text that does not compile."""
    broken = Provocation("python syntax", "build")
    for source in (
        "def f(:", "x = = 1", "if True print(1)", "for in x:", "class 1A: pass", "return 5", "a b", "f(1 2)", "x = [1, 2",
        "'unterminated", "\"\"\"open", "  x = 1\n y = 2", "def f():\nreturn 1", "yield", "await x", "lambda: (yield",
        "import", "from x import", "else: pass", "try: pass", "with open(): as f", "print 'x'", "exec 'x'", "a++", "0777",
        "f'{'", "del f()", "f() = 1", "1 = x", "def f(a, a): pass", "global x; x = 1; global x", "break", "continue",
        "nonlocal x", "from __future__ import nope", "x: int: str", "async def f(): yield from g()", "match x:\ncase 1: pass",
        "@", "a if b", "*a", "def f(**k, *a): pass", "f(a=1, 2)", "f(**a, *b)", "{1:2, 3}", "u'' b''", "\x00", "é = €",
    ):  # fmt: skip
        yield from called(broken, lambda source=source: compile(source, "/srv/app/module.py", "exec"))
        yield from called(broken, lambda source=source: ast.parse(source, "/srv/app/plugin.py"))


def _data() -> Iterator[Record]:
    parse = Provocation("bad input", "runtime")
    for text in (
        "{",
        "[1,",
        "nul",
        "{'a': 1}",
        "<html></html>",
        "",
        '{"a" 1}',
        "[1 2]",
        '"x',
        '{"a": }',
        "01",
        "NaN1",
        "[}",
    ):
        yield from called(parse, lambda text=text: json.loads(text))
    for text in ("abc", "", "1.2.3", "0x", "--5", "1e", "12a", "١x"):
        yield from called(parse, lambda text=text: int(text))
        yield from called(parse, lambda text=text: float(text))
        yield from called(parse, lambda text=text: decimal.Decimal(text))
    for coding in "ascii utf-8 utf-16 cp1252 latin-1 shift_jis gbk big5 euc_jp koi8_r idna punycode".split():
        for raw in (b"\xff\xfe\x00", b"\x80abc", b"\xc3\x28", b"\xed\xa0\x80"):
            yield from called(parse, lambda coding=coding, raw=raw: raw.decode(coding))
        yield from called(parse, lambda coding=coding: "naïve €10 日本 \ud800".encode(coding))
    for text in ("a=1\n", "[s\na=1", "[s]\n[s]\n", "[s]\na\n", "[s]\na=1\na=2\n", "[s]\na=%(b)s\n"):
        what = Provocation("bad ini", "configuration", "critical")
        yield from called(what, lambda text=text: dict(_ini(text)["s"]))
    for text in (
        "a =",
        "[a\nb=1",
        "a = 1\na = 2",
        "a = 'x",
        "= 1",
        "a = 01",
        "[a]\n[a]",
        "a = [1, 2",
        "a.b = 1\na = 2",
        "x y = 1",
    ):
        what = Provocation("bad toml", "configuration", "critical")
        yield from called(what, lambda text=text: tomllib.loads(text))
    for name in "DATABASE_URL SECRET_KEY API_TOKEN REDIS_HOST PORT AWS_REGION LICENSE_FILE".split():
        what = Provocation("missing variable", "configuration", "critical")
        yield from called(what, lambda name=name: os.environ[f"APP_{name}"])
        yield from called(what, lambda name=name: _need(name))
    for text in ("'a", '"b', "a\\"):
        yield from called(parse, lambda text=text: shlex.split(text))
    for layout in ("<I", ">Q", "hh", "5s", "d"):
        yield from called(parse, lambda layout=layout: struct.unpack(layout, b"x"))
    yield from called(parse, lambda: list(csv.reader(["a\0b", '"x'], strict=True)))
    import xml.etree.ElementTree as ET

    for text in ("", "<a>", "<a></b>", "<a b=1/>", "text", "<a>&x;</a>", "<a/><b/>"):
        yield from called(parse, lambda text=text: ET.fromstring(text))


def _ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(text, "/etc/app/settings.ini")
    return parser


def _need(name: str) -> None:
    raise RuntimeError(f"environment variable {name} is not set")


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


def _odd_server(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as reply:
                reply.read()
        finally:
            thread.join(3)


def _tls_to_plain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=3) as raw:
                ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")
        finally:
            thread.join(3)


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
