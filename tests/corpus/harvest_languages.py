"""Failures of compilers and runtimes: what is built, and what is run."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.corpus.recording import Provocation, Record, ran

BUILD: Final = Provocation("compile", "build")

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


_NATIVE: Final[tuple[tuple[str, str, str], ...]] = (
    ("null write", "memory", "*(volatile int*)0 = 1;"), ("double free", "memory", "void* p = malloc(9); free(p); free(p);"),
    ("bad free", "memory", "int x; free(&x + 4);"), ("overflow", "memory", "char* p = malloc(8); memset(p, 1, 4000); free(p); malloc(5000);"),
    ("abort", "runtime", "abort();"), ("divide", "runtime", "volatile int z = 0; return 1 / z;"), ("assert", "runtime", "assert(1 == 2);"),
    ("smash", "memory", "char b[4]; memset(b, 1, 400);"), ("illegal", "runtime", "__builtin_trap();"),
    ("use after free", "memory", "int* p = malloc(4); free(p); return *p;"), ("leak", "memory", "malloc(99); return 0;"),
)  # fmt: skip


def compilers(folder: Path) -> Iterator[Record]:
    """C and C++, make and cmake."""
    for number, source in enumerate(_C):
        path = folder / f"unit{number}.c"
        path.write_text(source)
        for tool in ("gcc", "clang"):
            yield from ran(BUILD, [tool, "-Wall", "-o", "program", path.name], folder=folder)
    for number, source in enumerate(_CPP):
        path = folder / f"unit{number}.cpp"
        path.write_text(source)
        for tool in ("g++", "clang++"):
            yield from ran(BUILD, [tool, "-o", "program", path.name], folder=folder)
    missing = Provocation("missing header", "dependency")
    for header in ("openssl/none.h", "acme/core.h", "libfoo.h", "boost/none.hpp"):
        (folder / "need.cpp").write_text(f"#include <{header}>\n")
        yield from ran(missing, ["g++", "-c", "need.cpp"], folder=folder)
    (folder / "ok.c").write_text("int main(){return 0;}")
    yield from ran(missing, ["gcc", "ok.c", "-lacme", "-lfoo"], folder=folder)
    yield from ran(
        Provocation("compiler option", "configuration"), ["gcc", "--nonsense", "-march=none", "ok.c"], folder=folder
    )
    yield from ran(BUILD, ["gcc", "absent.c"], folder=folder)
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
        yield from ran(BUILD, ["make"], folder=folder)
    for text in (
        "project(x",
        "cmake_minimum_required(VERSION 3.5)\nproject(x C)\nadd_executable(a none.c)",
        "project(x C)\nnope()",
        "cmake_minimum_required(VERSION 3.5)\nproject(x C)\ntarget_link_libraries(a b)",
    ):
        (folder / "CMakeLists.txt").write_text(text)
        yield from ran(BUILD, ["cmake", "."], folder=folder)
    for package in ("Acme REQUIRED", "OpenThing 9 REQUIRED"):
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.5)\nproject(x C)\nfind_package({package})"
        )
        yield from ran(missing, ["cmake", "."], folder=folder)


def runtimes(folder: Path) -> Iterator[Record]:
    """Go, Java, Node, Perl and Tcl."""
    for number, source in enumerate(_GO):
        (folder / f"m{number}.go").write_text(source)
        yield from ran(BUILD, ["go", "run", f"m{number}.go"], folder=folder, environment=go_environment(folder))
    for name, category, body in _GO_RUN:
        (folder / "run.go").write_text(f"package main\nfunc main() {{ {body} }}\n")
        what = Provocation(f"go {name}", category, "fatal")
        yield from ran(what, ["go", "run", "run.go"], folder=folder, environment=go_environment(folder))
    for number, source in enumerate(_JAVA):
        path = folder / f"j{number}" / "A.java"
        path.parent.mkdir()
        path.write_text(source)
        yield from ran(BUILD, ["javac", "A.java"], folder=path.parent)
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
        yield from ran(BUILD, ["node", "--check", "s.js"], folder=folder)
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


def go_environment(folder: Path) -> dict[str, str]:
    """Variables with which Go fetches nothing."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GO111MODULE": "auto",
    }


def shaders(folder: Path) -> Iterator[Record]:
    """Shaders, and their binary form."""
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


def natives(folder: Path) -> Iterator[Record]:
    """Programs in C that do what they must not, with and without somebody watching."""
    head = "#include <stdlib.h>\n#include <string.h>\n#include <assert.h>\n#include <stdio.h>\nint main(void) {"
    for name, category, body in _NATIVE:
        (folder / "n.c").write_text(f"{head} {body} }}")
        for option in ([], ["-fsanitize=address"], ["-fsanitize=undefined"], ["-fstack-protector-all"]):
            if shutil.which("gcc") is None:
                return
            list(ran(BUILD, ["gcc", "-w", "-g", *option, "-o", "n", "n.c"], folder=folder))
            what = Provocation(f"native {name}", category, "fatal")
            yield from ran(what, ["bash", "-c", "./n; exit $?"], folder=folder, preexec_fn=_no_core)
        yield from ran(
            what, ["valgrind", "--leak-check=full", "--error-exitcode=9", "./n"], folder=folder, preexec_fn=_no_core
        )


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
