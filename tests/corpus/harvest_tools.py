"""Failures of the compilers and tools of this machine; what is not installed is passed over."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501, SIM905

import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.corpus.recording import Provocation, Record, ran

_BUILD: Final = Provocation("compile", "build")

_C: Final = (
    "int main( { return 0; }", "int main() { return x; }", "int main() { undeclared(); int y = \"s\"; }", "#include \"gone.h\"",
    "int f(int a, int a) { return a; }", "struct s; int main() { struct s v; }", "int a; double a;", "#error stop here",
    "int main() { foo(; }", "void f() { return 1; } int main(){ f(1,2) }", "int main() { break; }", "#if 1\nint x;",
    "int x[-1];", "int main(){ const int a=1; a=2; }", "typedef int t; t t t;", "int main(){ goto nowhere; }",
    "int main(){ int *p = 5.0; *p.x; }", "char c = 'ab", "int f(void); int main(){ return f(); }", "int main(){ switch(1){case 1:case 1:;} }",
    "enum e {A, A};", "int main(){ return sizeof(void[]); }", "@", "int main(){ x->y; }", "union { int a } u;", "static int f();int g(){return f();}",
)  # fmt: skip
_CPP: Final = (
    "#include <vector>\nint main(){ std::vector<int> v; v.nope(); }", "class A { int x; }; int main(){ A a; a.x=1; }",
    "struct A { virtual void f()=0; }; int main(){ A a; }", "int main(){ auto x; }", "template<class T> T f(T); int main(){ f(); }",
    "int main(){ int& r = 5; }", "struct A { A(int); }; A a;", "namespace n {} int main(){ n::f(); }", "int main(){ nullptr = 0; }",
    "struct B; struct D : B {};", "int main(){ throw; catch(...){} }", "static_assert(sizeof(int)==3, \"size\");", "int f() override;",
    "void f(int); void f(int); int main(){ f(\"s\"); }", "class A { A(const A&)=delete; }; ", "int main(){ return std::string(1); }",
)  # fmt: skip
_GO: Final = (
    "package main\nfunc main() { x := 1 }", "package main\nimport \"fmt\"\nfunc main() {}", "package main\nfunc main() { undefinedFn() }",
    "package main\nfunc main() { var s string = 1; _ = s }", "package main\nfunc f() int {}\nfunc main() { f() }", "package main\nfunc main() {",
    "package main\nfunc main() { for { } ; return 1 }", "package main\nimport \"example.com/none\"\nfunc main() { none.F() }",
    "package main\ntype T struct{}\nfunc main() { T{}.M() }", "package main\nfunc main() { a, b := 1; _ = a + b }", "func main() {}",
    "package main\nfunc f(){}\nfunc f(){}\nfunc main(){}", "package main\nfunc main() { var i interface{ M() } = 1; i.M() }",
)  # fmt: skip
_GO_RUN: Final = (
    ("index", "runtime", "a := []int{1}; i := 5; _ = a[i]"), ("nil map", "runtime", "var m map[string]int; m[\"a\"] = 1"),
    ("nil pointer", "runtime", "type T struct{ x int }; var p *T; _ = p.x"), ("assertion", "runtime", "var i any = 1; _ = i.(string)"),
    ("deadlock", "concurrency", "c := make(chan int); <-c"), ("closed channel", "concurrency", "c := make(chan int); close(c); c <- 1"),
    ("divide", "runtime", "z := 0; _ = 1 / z"), ("double close", "concurrency", "c := make(chan int); close(c); close(c)"),
    ("slice", "runtime", "a := []int{1}; n := 9; _ = a[:n]"), ("make", "memory", "n := -1; _ = make([]int, n)"),
)  # fmt: skip
_JAVA: Final = (
    "class A { int f() { } }", "class A { void f() { int x = \"s\"; } }", "class A { void f() { y = 1; } }", "class A { B b; }",
    "class A extends Missing {}", "class A { void f() { throw new Exception(); } }", "class A { final int x; }", "class A {",
    "import none.such.Thing; class A {}", "class A { abstract void f(); }", "interface I { void f(); } class A implements I {}",
    "class A { void f() { int x; x++; } }", "class A { static void f() { this.toString(); } }", "class A { void f(){} void f(){} }",
    "class A { void f() { return 1; } }", "class A { void f() { String s = null; s.nope(); } }", "public class B {}",
)  # fmt: skip
_JAVA_RUN: Final = (
    ("null", "runtime", "String s = null; s.length();"), ("index", "runtime", "int[] a = new int[1]; a[3] = 1;"),
    ("cast", "runtime", "Object o = 1; String s = (String) o;"), ("number", "runtime", "Integer.parseInt(\"abc\");"),
    ("divide", "runtime", "int z = 0; System.out.println(1 / z);"), ("class", "dependency", "Class.forName(\"com.acme.Missing\");"),
    ("heap", "memory", "java.util.List<byte[]> l = new java.util.ArrayList<>(); while (true) l.add(new byte[1 << 24]);"),
    ("deep", "runtime", "new Object() { void f() { f(); } }.f();"), ("file", "storage", "new java.io.FileReader(\"/srv/none.txt\");"),
    ("connect", "network", "new java.net.Socket(\"127.0.0.1\", 1);"), ("host", "network", "new java.net.Socket(\"none.invalid\", 1);"),
    ("modified", "concurrency", "var l = new java.util.ArrayList<>(java.util.List.of(1, 2)); for (var x : l) l.add(x);"),
    ("monitor", "concurrency", "new Object().notify();"), ("element", "runtime", "new java.util.ArrayList<>().iterator().next();"),
    ("immutable", "runtime", "java.util.List.of(1).add(2);"), ("bind", "configuration", "new java.net.ServerSocket(1).bind(null); new java.net.ServerSocket(1);"),
    ("time", "performance", "new java.util.concurrent.CompletableFuture<>().get(1, java.util.concurrent.TimeUnit.MILLISECONDS);"),
    ("charset", "runtime", "\"x\".getBytes(\"nope\");"), ("zip", "storage", "new java.util.zip.ZipFile(\"/etc/hostname\");"),
)  # fmt: skip
_NODE: Final = (
    ("undefined", "runtime", "error", "undefined.x"), ("null", "runtime", "error", "null.f()"), ("call", "runtime", "error", "({}).f()"),
    ("reference", "runtime", "error", "nope + 1"), ("constant", "runtime", "error", "const a = 1; a = 2"), ("json", "runtime", "error", "JSON.parse('{a')"),
    ("stack", "runtime", "error", "(function f(){ f() })()"), ("length", "runtime", "error", "new Array(-1)"), ("uri", "runtime", "error", "decodeURI('%')"),
    ("symbol", "runtime", "error", "'' + Symbol()"), ("circular", "runtime", "error", "const a={}; a.a=a; JSON.stringify(a)"), ("iterate", "runtime", "error", "const [x] = 5"),
    ("module", "dependency", "error", "require('left-lib')"), ("scoped", "dependency", "error", "require('@acme/core')"), ("builtin", "dependency", "error", "require('node:nothing')"),
    ("relative", "build", "error", "require('./gone.js')"), ("file", "storage", "error", "fs.readFileSync('/srv/none')"), ("folder", "storage", "error", "fs.readFileSync('/tmp')"),
    ("denied", "security", "error", "fs.writeFileSync('/proc/version','x')"), ("full", "storage", "error", "fs.writeFileSync('/dev/full','x')"),
    ("refused", "network", "error", "net.connect(1,'127.0.0.1')"), ("host", "network", "error", "net.connect(80,'none.invalid')"), ("fetch", "network", "error", "fetch('http://127.0.0.1:1/').catch(e=>{throw e})"),
    ("taken", "configuration", "critical", "const s=net.createServer().listen(0,()=>net.createServer().listen(s.address().port))"),
    ("port", "configuration", "critical", "net.createServer().listen(99999)"), ("address", "configuration", "critical", "net.createServer().listen(80,'192.0.2.1')"), ("url", "configuration", "error", "new URL('nope')"),
    ("rejection", "runtime", "fatal", "Promise.reject(new Error('payment refused by rule'))"), ("event", "runtime", "fatal", "new (require('events'))().emit('error', new Error('boom'))"),
    ("buffer", "runtime", "error", "Buffer.alloc(1).readInt32LE()"), ("argument", "runtime", "error", "fs.readFileSync()"), ("spawn", "dependency", "error", "child_process.spawn('no-tool')"),
    ("ended", "runtime", "error", "const s=new stream.PassThrough(); s.end(); s.write('x')"), ("cipher", "dependency", "error", "crypto.createCipheriv('none','a','b')"), ("pem", "security", "error", "crypto.createPrivateKey('x')"),
    ("heap", "memory", "fatal", "v8.setFlagsFromString('--max-old-space-size=30'); const a=[]; for(;;) a.push(new Array(1e5).fill(Math.random()))"),
    ("big", "memory", "error", "new ArrayBuffer(1e15)"), ("string", "memory", "error", "'x'.repeat(2**30)"), ("abort", "performance", "error", "AbortSignal.timeout(1); setTimeout(()=>{throw AbortSignal.timeout(0).reason ?? new DOMException('The operation timed out','TimeoutError')},20)"),
    ("listeners", "memory", "warning", "const e=new (require('events'))(); for(let i=0;i<12;i++) e.on('x',()=>{})"), ("deprecated", "dependency", "warning", "new Buffer(1)"),
    ("header", "runtime", "error", "const r=new http.ServerResponse({method:'GET'}); r._header='x'; r.setHeader('a','b')"), ("assert", "runtime", "error", "require('assert').strictEqual(1,2)"),
)  # fmt: skip
_SHADER: Final = (
    "void main() { gl_Position = 1.0; }", "void main() { x = 1; }", "void main() { vec3 a = vec2(1.0); }", "void main() {",
    "uniform sampler2D s; void main() { vec4 c = texture(s); }", "in vec3 a; out vec4 b; void main() { b = a; }", "void f(); void main() { g(); }",
    "layout(location=0) out vec4 c; void main() { c = vec4(1.0, 2.0); }", "void main() { int i = 1.5; }", "void main() { for(;;) ; return 1; }",
    "const int n; void main() {}", "uniform float f; void main() { f = 1.0; }", "struct S { int a; }; void main() { S s; s.b = 1; }",
    "void main() { mat3 m; vec4 v = m * vec4(1.0); }", "#version 999\nvoid main() {}", "#extension GL_NONE : require\nvoid main() {}",
    "void main() { discard }", "void main() { if (1) {} }", "float f() {} void main() { f(1); }", "buffer B { float x[]; float y; }; void main() {}",
)  # fmt: skip


def records() -> Iterator[Record]:
    """Everything of this module."""
    with tempfile.TemporaryDirectory(prefix="app") as name:
        folder = Path(name)
        for part in (
            _compilers,
            _runtimes,
            _shaders,
            _git,
            _archives,
            _network,
            _shell,
            _databases,
            _packages,
            _natives,
        ):
            place = folder / part.__name__.strip("_")
            place.mkdir()
            yield from part(place)


def _compilers(folder: Path) -> Iterator[Record]:
    for number, source in enumerate(_C):
        path = folder / f"unit{number}.c"
        path.write_text(source)
        for tool in ("gcc", "clang"):
            yield from ran(_BUILD, [tool, "-Wall", "-o", "program", path.name], folder=folder)
    for number, source in enumerate(_CPP):
        path = folder / f"unit{number}.cpp"
        path.write_text(source)
        for tool in ("g++", "clang++"):
            yield from ran(_BUILD, [tool, "-o", "program", path.name], folder=folder)
    missing = Provocation("missing header", "dependency")
    for header in ("openssl/none.h", "acme/core.h", "libfoo.h", "boost/none.hpp"):
        (folder / "need.cpp").write_text(f"#include <{header}>\n")
        yield from ran(missing, ["g++", "-c", "need.cpp"], folder=folder)
    (folder / "ok.c").write_text("int main(){return 0;}")
    yield from ran(missing, ["gcc", "ok.c", "-lacme", "-lfoo"], folder=folder)
    yield from ran(
        Provocation("compiler option", "configuration"), ["gcc", "--nonsense", "-march=none", "ok.c"], folder=folder
    )
    yield from ran(_BUILD, ["gcc", "absent.c"], folder=folder)
    for text in (
        "all: none.o\n\tcc none.o",
        "all:\n\tfalse",
        "all\n",
        "all: a\na: all\n\tx",
        "  all: x\n        y",
        "include none.mk",
        "all:\n\tno-such-tool",
    ):
        (folder / "Makefile").write_text(text)
        yield from ran(_BUILD, ["make"], folder=folder)
    for text in (
        "project(x",
        "cmake_minimum_required(VERSION 3.5)\nproject(x C)\nadd_executable(a none.c)",
        "project(x C)\nnope()",
        "cmake_minimum_required(VERSION 3.5)\nproject(x C)\ntarget_link_libraries(a b)",
    ):
        (folder / "CMakeLists.txt").write_text(text)
        yield from ran(_BUILD, ["cmake", "."], folder=folder)
    for package in ("Acme REQUIRED", "OpenThing 9 REQUIRED"):
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.5)\nproject(x C)\nfind_package({package})"
        )
        yield from ran(missing, ["cmake", "."], folder=folder)


def _runtimes(folder: Path) -> Iterator[Record]:
    for number, source in enumerate(_GO):
        (folder / f"m{number}.go").write_text(source)
        yield from ran(_BUILD, ["go", "run", f"m{number}.go"], folder=folder, environment=_environment(folder))
    for name, category, body in _GO_RUN:
        (folder / "run.go").write_text(f"package main\nfunc main() {{ {body} }}\n")
        what = Provocation(f"go {name}", category, "fatal")
        yield from ran(what, ["go", "run", "run.go"], folder=folder, environment=_environment(folder))
    for number, source in enumerate(_JAVA):
        path = folder / f"j{number}" / "A.java"
        path.parent.mkdir()
        path.write_text(source)
        yield from ran(_BUILD, ["javac", "A.java"], folder=path.parent)
    for name, category, body in _JAVA_RUN:
        path = folder / "Main.java"
        path.write_text(f"public class Main {{ public static void main(String[] a) throws Exception {{ {body} }} }}")
        yield from ran(Provocation(f"java {name}", category), ["java", "-Xmx64m", "Main.java"], folder=folder)
    for option in ("-Xmx1", "-XX:+Nope", "-Xms9g -Xmx1g", "--nope"):
        yield from ran(Provocation("java option", "configuration", "critical"), ["java", *option.split(), "Main"])
    yield from ran(Provocation("java class", "configuration", "critical"), ["java", "com.acme.Missing"])
    for name, category, severity, source in _NODE:
        modules = "const fs=require('fs'),net=require('net'),http=require('http'),stream=require('stream'),crypto=require('crypto'),v8=require('v8'),child_process=require('child_process');"
        yield from ran(Provocation(f"node {name}", category, severity), ["node", "-e", modules + source], folder=folder)
    for source in (
        "let a = ;",
        "function (",
        "import x from",
        "class { }",
        "await 1 +",
        "const a; ",
        "x ++ y",
        "'open",
        "`open",
        "{ a: 1, b }}",
        "for (;",
        "return }",
        "let let = 1",
        "0b2",
        "/(/",
    ):
        (folder / "s.js").write_text(source)
        yield from ran(_BUILD, ["node", "--check", "s.js"], folder=folder)
    yield from ran(Provocation("node option", "configuration"), ["node", "--no-such-option"])
    yield from ran(Provocation("node script", "build"), ["node", "/srv/app/gone.js"])
    for source in (
        "sub f { ",
        "use No::Such::Module;",
        "my $x = 1; $x->f();",
        "undefined_function();",
        "open(F, '/srv/none') or die \"cannot open: $!\";",
        "1/0;",
        "use strict; $y = 1;",
    ):
        label = (
            "dependency"
            if "No::" in source
            else "storage"
            if "open" in source
            else "build"
            if "{" in source or "strict" in source
            else "runtime"
        )
        yield from ran(Provocation(f"perl {label}", label), ["perl", "-e", source])
    for source in ("proc f {", "nosuch 1", "expr {1/0}", "open /srv/none", "package require Nope", "set x"):
        label = "dependency" if "package" in source else "storage" if "open" in source else "runtime"
        yield from ran(Provocation(f"tcl {label}", label), ["tclsh"], text=source + "\n", keep=lambda text: text)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GO111MODULE": "auto",
    }


def _shaders(folder: Path) -> Iterator[Record]:
    for stage in ("vert", "frag", "comp"):
        for number, source in enumerate(_SHADER):
            path = folder / f"s{number}.{stage}"
            path.write_text(source if source.startswith("#version") else f"#version 450\n{source}\n")
            yield from ran(Provocation("shader", "build"), ["glslangValidator", "-V", path.name], folder=folder)
    (folder / "bad.spv").write_bytes(b"\x03\x02#\x07" * 8)
    yield from ran(Provocation("shader", "build"), ["spirv-val", "bad.spv"], folder=folder)
    for text in ("%1 = OpNope", "OpCapability", "x"):
        (folder / "a.spvasm").write_text(text)
        yield from ran(Provocation("shader", "build"), ["spirv-as", "a.spvasm"], folder=folder)


def _git(folder: Path) -> Iterator[Record]:
    quiet = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}

    def git(what: Provocation, *words: str, place: Path = folder) -> Iterator[Record]:
        return ran(what, ["git", *words], folder=place, environment=quiet)

    wrong = Provocation("git use", "configuration")
    yield from git(wrong, "status", place=Path("/"))
    repository = folder / "r"
    list(git(wrong, "init", "-q", "r"))
    (repository / "a").write_text("1")
    for words in (
        "checkout nope",
        "push",
        "pull",
        "merge none",
        "rebase none",
        "show abc123",
        "config bad",
        "branch -d x",
        "remote remove x",
        "commit -m x",
        "add none",
        "nope",
        "log",
        "stash pop",
        "tag -d x",
        "reset --hard none",
        "cherry-pick none",
        "bisect good",
        "submodule update x",
        "apply none.patch",
        "am none",
        "worktree add x none",
        "--nope",
    ):
        yield from git(wrong, *words.split(), place=repository)
    list(git(wrong, "-c", "user.name=a", "-c", "user.email=a@b", "add", "a", place=repository))
    for url, label in (
        ("http://127.0.0.1:1/r.git", "network"),
        ("https://none.invalid/r.git", "network"),
        ("ssh://127.0.0.1:1/r", "network"),
        ("/srv/none", "storage"),
        ("ftp://none.invalid/r", "network"),
        ("xyz://r", "configuration"),
    ):
        for verb in ("clone", "ls-remote"):
            yield from git(Provocation(f"git {label}", label), verb, url)
    (repository / ".git" / "index.lock").write_text("")
    for words in ("add a", "commit -am x", "reset", "checkout -- a"):
        yield from git(Provocation("git lock", "concurrency"), *words.split(), place=repository)
    (repository / ".git" / "index.lock").unlink()
    (repository / ".git" / "index").write_bytes(b"DIRCxxxx" * 9)
    for words in ("status", "diff", "add a"):
        yield from git(Provocation("git damage", "storage", "critical"), *words.split(), place=repository)
    (repository / ".git" / "HEAD").write_text("ref: refs/heads/\0")
    yield from git(Provocation("git damage", "storage", "critical"), "status", place=repository)
    (repository / ".git" / "config").write_text("[core\n")
    yield from git(Provocation("git config", "configuration"), "status", place=repository)


def _archives(folder: Path) -> Iterator[Record]:
    damaged, absent = Provocation("damaged archive", "storage"), Provocation("absent file", "storage")
    for suffix in ("tar", "tar.gz", "zip", "xz", "zst", "bz2", "gz"):
        (folder / f"bad.{suffix}").write_bytes(os.urandom(1).join((b"not an archive", b"x" * 600)))
        for tool in (["tar", "xf"], ["unzip"], ["xz", "-d"], ["zstd", "-d"], ["gzip", "-d"], ["bzip2", "-d"]):
            yield from ran(damaged, [*tool, f"bad.{suffix}"], folder=folder)
            yield from ran(absent, [*tool, f"gone.{suffix}"], folder=folder)
    (folder / "full").mkdir()
    (folder / "full" / "x").write_text("x")
    for command in (
        "cp gone there",
        "mv gone there",
        "rm gone",
        "rmdir full",
        "cat gone",
        "cat full",
        "ls gone",
        "mkdir full",
        "ln -s a full/x",
        "touch /srv/none/x",
        "cd /srv/none",
        "head gone",
        "wc gone",
        "chmod 600 gone",
        "du gone",
        "stat gone",
        "readlink -e gone",
        "sort gone",
        "diff a b",
        "sed s/a/b/ gone",
        "awk 1 gone",
        "grep x gone",
        "find gone",
        "file -E gone",
        "truncate -s -1 full/x/y",
        "dd if=gone of=x",
        "rsync gone x",
        "split gone",
        "tee /srv/none/x",
        "mount /dev/none /mnt",
        "umount /mnt",
        "losetup /dev/loop99 gone",
    ):
        yield from ran(absent, [command], folder=folder, shell=True)
    full = Provocation("full device", "storage")
    for command in (
        "echo x > /dev/full",
        "cat /etc/services > /dev/full",
        "dd if=/dev/zero of=/dev/full bs=1k count=1",
        "tar cf /dev/full /etc/hostname",
        "cp /etc/hostname /dev/full",
        "sort /etc/services > /dev/full",
        "gzip -c /etc/services > /dev/full",
        "git --version > /dev/full",
        "sqlite3 :memory: 'select 1' > /dev/full",
        "printf x > /dev/full",
        "perl -e 'print 1 or die; close STDOUT or die $!' > /dev/full",
        "openssl rand 9 > /dev/full",
    ):
        yield from ran(full, [command], folder=folder, shell=True)
    denied = Provocation("not permitted", "security")
    for command in (
        "echo x > /proc/version",
        "rm /proc/version",
        "touch /sys/kernel/x",
        "mkdir /proc/x",
        "/etc/hostname",
        "su -c true nobody_here",
        "chown nobody_here /tmp",
        "nice -n -20 true; ulimit -n 99999999",
    ):
        yield from ran(denied, [command], folder=folder, shell=True)


def _network(folder: Path) -> Iterator[Record]:
    refused, unknown = Provocation("refused", "network"), Provocation("unknown host", "network")
    for scheme in (
        "http",
        "https",
        "ftp",
        "ftps",
        "smtp",
        "imap",
        "ldap",
        "telnet",
        "gopher",
        "mqtt",
        "sftp",
        "tftp",
        "ws",
    ):
        yield from ran(refused, ["curl", "-sS", "-m", "3", f"{scheme}://127.0.0.1:1/"])
        yield from ran(unknown, ["curl", "-sS", "-m", "3", f"{scheme}://none.invalid/"])
    for tool in (["wget", "-q", "-O-", "-T2", "-t1"], ["wget", "-O-", "-T2", "-t1"]):
        yield from ran(refused, [*tool, "http://127.0.0.1:1/"])
        yield from ran(unknown, [*tool, "http://none.invalid/"])
    for command in (
        "ssh -o BatchMode=yes -p 1 127.0.0.1 true",
        "scp -P 1 127.0.0.1:/x .",
        "sftp -P 1 127.0.0.1",
        "rsync rsync://127.0.0.1:1/x .",
        "nc -z -v 127.0.0.1 1",
        "psql -h 127.0.0.1 -p 1",
        "kubectl --server=http://127.0.0.1:1 get pods",
        "docker -H tcp://127.0.0.1:1 ps",
        "openssl s_client -connect 127.0.0.1:1",
        "npm view left-lib --registry=http://127.0.0.1:1 --fetch-retries=0",
        "pip download left-lib --index-url http://127.0.0.1:1 --retries 0 --disable-pip-version-check",
        "pip download left-lib --index-url http://none.invalid --retries 0 --disable-pip-version-check",
        "terraform init -backend-config=http://127.0.0.1:1",
        "redis-cli -p 1 ping",
        "nats-server -c /dev/null --routes nats://127.0.0.1:1 --nope",
    ):
        yield from ran(refused, command.split(), folder=folder)
    for command in (
        "ssh -o BatchMode=yes none.invalid true",
        "psql -h none.invalid",
        "kubectl --server=https://none.invalid get pods",
        "openssl s_client -connect none.invalid:443",
        "rsync none.invalid::x .",
        "getent hosts none.invalid",
        "ping -c1 none.invalid",
    ):
        yield from ran(unknown, command.split(), folder=folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        late = Provocation("silent server", "performance")
        yield from ran(late, ["curl", "-sS", "-m", "0.3", f"http://127.0.0.1:{port}/"])
        yield from ran(late, ["wget", "-q", "-O-", "-T0.3", "-t1", f"http://127.0.0.1:{port}/"])
        yield from ran(
            Provocation("tls handshake", "network"), ["curl", "-sS", "-m", "0.3", f"https://127.0.0.1:{port}/"]
        )
    bad = Provocation("bad address", "configuration")
    for url in ("htp://x", "http://[::1", "http://x:99999/", "http://a b/", "://x", "file//x"):
        yield from ran(bad, ["curl", "-sS", "-m", "2", url])
    yield from _certificates(folder)


def _certificates(folder: Path) -> Iterator[Record]:
    trust = Provocation("certificate", "security")
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "1",
        "-subj",
        "/CN=shop.internal",
    ]
    list(ran(trust, make, folder=folder))
    yield from ran(trust, ["openssl", "verify", "cert.pem"], folder=folder)
    for words in (
        "x509 -in none.pem",
        "rsa -in cert.pem",
        "pkcs12 -in cert.pem -passin pass:x",
        "verify none.pem",
        "dgst -verify cert.pem -signature key.pem cert.pem",
        "enc -d -aes-256-cbc -k x -in cert.pem",
        "asn1parse -in /etc/hostname",
        "pkey -in cert.pem",
        "ecparam -name nope",
        "ciphers NOPE",
        "s_client -cipher NOPE",
        "x509 -in key.pem",
        "cms -decrypt -in cert.pem",
        "nope",
    ):
        yield from ran(trust, ["openssl", *words.split()], folder=folder)


def _shell(folder: Path) -> Iterator[Record]:
    missing = Provocation("missing command", "dependency")
    for name in "ffmpeg-pro protoc9 terraformx kubectlx yarnx gradlew aws-cli convertx poetryx".split():
        for shell in ("bash", "dash", "zsh"):
            yield from ran(missing, [shell, "-c", f"{name} --version"])
        yield from ran(missing, ["env", name])
    syntax = Provocation("shell syntax", "build")
    for source in (
        "if true",
        "for x in",
        "echo 'open",
        "case x in",
        "f() {",
        "echo $((1+))",
        "while; do",
        "fi",
        ") x",
        "a=(1",
        "cat << EOF",
        "[ 1 -eq a ]",
        "${x!}",
        "echo | | x",
    ):
        for shell in ("bash", "dash"):
            yield from ran(syntax, [shell, "-c", source])
    wrong = Provocation("wrong option", "configuration")
    for command in (
        "ls --nope",
        "tar --nope",
        "curl --nope",
        "grep -Q x y",
        "sed -Q",
        "gzip --nope",
        "sort --nope",
        "ssh -Q",
        "make --nope",
        "cmake --nope",
        "java -nope",
        "gcc -nope x.c",
        "npm --nope x",
        "docker --nope",
        "kubectl --nope",
        "terraform -nope",
        "sqlite3 -nope",
        "openssl -nope",
        "wget --nope",
        "rsync --nope",
        "psql --nope",
        "node --nope",
        "perl --nope",
        "nginx -q",
        "pip --nope",
        "git --nope",
        "date --nope",
        "find . -nope",
        "xargs --nope",
        "cargo --nope",
        "rustc --nope",
        "mvn --nope",
        "valgrind --nope",
        "strace --nope",
        "gdb --nope",
        "kubectl get pods --context=none",
        "kubectl apply -f none.yaml",
        "kubectl config use-context none",
    ):
        yield from ran(wrong, command.split(), folder=folder)
    unset = Provocation("unset variable", "configuration", "critical")
    for name in ("DATABASE_URL", "API_KEY", "BUCKET"):
        for shell in ("bash", "dash"):
            yield from ran(unset, [shell, "-uc", f"echo ${name}"])
            yield from ran(unset, [shell, "-c", f"echo ${{{name}:?must be set}}"])
    for limit, what in (
        ("ulimit -v 20000", Provocation("memory limit", "memory")), ("ulimit -f 1", Provocation("file limit", "storage")), ("ulimit -n 4", Provocation("descriptors", "performance")),
    ):  # fmt: skip
        for command in (
            "python3 -c 'x=[0]*10**8'",
            "sort /etc/services",
            "dd if=/dev/zero of=big bs=1M count=9",
            "git status",
            "node -e 1",
            "perl -e '$x=\"a\"x1e8'",
            "gcc -v none.c",
            "tar cf x.tar /etc/services",
            "openssl rand -hex 9",
        ):
            yield from ran(what, [f"{limit}; {command}"], folder=folder, shell=True)


def _databases(folder: Path) -> Iterator[Record]:
    logic = Provocation("bad statement", "runtime")
    for statement in (
        "selec 1;",
        "select * from nope;",
        "create table t(a int); insert into t values(1,2);",
        "drop table x;",
        "select nope();",
        "insert into sqlite_master values(1);",
        "pragma nope=;",
        "create table t(a unique); insert into t values(1),(1);",
        ".nope",
        "select 1 from",
        "attach 'none/x' as y;",
    ):
        yield from ran(logic, ["sqlite3", "base.db", statement], folder=folder)
    (folder / "bad.db").write_bytes(b"x" * 5000)
    for statement in ("select * from t;", ".tables", "pragma integrity_check;", "vacuum;"):
        yield from ran(
            Provocation("damaged database", "storage", "critical"), ["sqlite3", "bad.db", statement], folder=folder
        )
    yield from ran(
        Provocation("missing folder", "storage"), ["sqlite3", "none/x.db", "create table t(a);"], folder=folder
    )
    for options in ("-h 127.0.0.1 -p 1", "-h none.invalid", "-h /srv/none"):
        yield from ran(Provocation("database away", "network"), ["psql", *options.split(), "-c", "select 1"])
    server = shutil.which("nats-server")
    if server:
        for number, text in enumerate(
            (
                "port: x",
                "nope: 1\n{",
                "jetstream { store_dir: /proc/none }",
                "tls { cert_file: none }",
                "authorization { users = 1 }",
                "port: 99999",
                "cluster { routes: [x] }",
                "accounts { A: { users: [ { nope } ] } }",
                "max_payload: -1",
                "include none.conf",
            )
        ):
            (folder / f"n{number}.conf").write_text(text)
            yield from ran(
                Provocation("server settings", "configuration", "critical"),
                [server, "-t", "-c", f"n{number}.conf"],
                folder=folder,
            )


def _packages(folder: Path) -> Iterator[Record]:
    bad = Provocation("manifest", "configuration")
    for text in (
        "{",
        '{"name": 1}',
        '{"dependencies": {"a": "file:none"}}',
        '{"scripts": {"build": "no-such-tool"}}',
        "[]",
    ):
        (folder / "package.json").write_text(text)
        for words in (
            "run build",
            "run none",
            "test",
            "install --offline --no-audit",
            "ci --offline",
            "start",
            "pack --dry-run",
        ):
            label = Provocation("missing command", "dependency") if "no-such" in text and words == "run build" else bad
            yield from ran(label, ["npm", *words.split()], folder=folder)
    (folder / "package.json").write_text(
        '{"name": "x", "version": "1.0.0", "dependencies": {"left-lib": "^9.0.0", "@acme/core": "1"}}'
    )
    yield from ran(
        Provocation("missing package", "dependency"), ["npm", "install", "--offline", "--no-audit"], folder=folder
    )
    for words in (
        "install --no-index left-lib",
        "install --no-index acme-core==9.9",
        "install --no-index pyfoo>=3 libbar",
        "install none.whl",
        "install ./none",
        "install -r none.txt",
        "install --no-index numpy==0.0.1",
        "show none",
        "check",
        "uninstall -y none",
    ):
        yield from ran(
            Provocation("missing package", "dependency"),
            ["pip", "--disable-pip-version-check", *words.split()],
            folder=folder,
        )
    (folder / "go.mod").write_text("module shop\n\ngo 1.20\n\nrequire example.com/none v1.2.3\n")
    (folder / "main.go").write_text('package main\nimport _ "example.com/none"\nfunc main() {}\n')
    for words in (
        "build",
        "mod download",
        "vet",
        "mod verify",
        "get example.com/other@v1",
        "run none.go",
        "test ./none",
    ):
        yield from ran(
            Provocation("missing package", "dependency"),
            ["go", *words.split()],
            folder=folder,
            environment=_environment(folder),
        )
    for name in "acme-tools libnone9 foo-dev".split():
        for tool in (["apt-get", "install", "-s"], ["apt-cache", "show"], ["dpkg", "-s"]):
            yield from ran(Provocation("missing package", "dependency"), [*tool, name])
    (folder / "Cargo.toml").write_text('[package]\nname = "x"\nversion = "0.1.0"\n[dependencies]\nacme = "9"\n')
    (folder / "src").mkdir()
    (folder / "src" / "main.rs").write_text("fn main() {}")
    for words in ("build --offline", "check --offline"):
        yield from ran(Provocation("missing package", "dependency"), ["cargo", *words.split()], folder=folder)
    for source in (
        "fn main() { x }",
        'fn main() { let a: i32 = "s"; }',
        "fn main() {",
        "use none::X; fn main() {}",
        "fn main() { let a = vec![1]; let b = a; a; }",
        "struct S; fn main() { S.f(); }",
        "fn f() -> i32 {} fn main() {}",
        "fn main() { let x = 1; x = 2; }",
        "fn main() { undefined!(); }",
        "fn f<'a>(x: &str) -> &'b str { x } fn main() {}",
        "fn main() { match 1 { 2 => {} } }",
        "trait T { fn f(); } struct S; impl T for S {} fn main() {}",
    ):
        (folder / "u.rs").write_text(source)
        yield from ran(_BUILD, ["rustc", "u.rs"], folder=folder)


_NATIVE: Final[tuple[tuple[str, str, str], ...]] = (
    ("null write", "memory", "*(volatile int*)0 = 1;"), ("double free", "memory", "void* p = malloc(9); free(p); free(p);"),
    ("bad free", "memory", "int x; free(&x + 4);"), ("overflow", "memory", "char* p = malloc(8); memset(p, 1, 4000); free(p); malloc(5000);"),
    ("abort", "runtime", "abort();"), ("divide", "runtime", "volatile int z = 0; return 1 / z;"), ("assert", "runtime", "assert(1 == 2);"),
    ("smash", "memory", "char b[4]; memset(b, 1, 400);"), ("illegal", "runtime", "__builtin_trap();"),
    ("use after free", "memory", "int* p = malloc(4); free(p); return *p;"), ("leak", "memory", "malloc(99); return 0;"),
)  # fmt: skip


def _natives(folder: Path) -> Iterator[Record]:
    head = "#include <stdlib.h>\n#include <string.h>\n#include <assert.h>\n#include <stdio.h>\nint main(void) {"
    for name, category, body in _NATIVE:
        (folder / "n.c").write_text(f"{head} {body} }}")
        for option in ([], ["-fsanitize=address"], ["-fsanitize=undefined"], ["-fstack-protector-all"]):
            if shutil.which("gcc") is None:
                return
            list(ran(_BUILD, ["gcc", "-w", "-g", *option, "-o", "n", "n.c"], folder=folder))
            what = Provocation(f"native {name}", category, "fatal")
            yield from ran(what, ["bash", "-c", "./n; exit $?"], folder=folder, preexec_fn=_no_core)
        yield from ran(
            what, ["valgrind", "--leak-check=full", "--error-exitcode=9", "./n"], folder=folder, preexec_fn=_no_core
        )


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
