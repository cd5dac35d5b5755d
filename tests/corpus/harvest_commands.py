"""Failures of commands: repositories, files and archives, the shell, packages."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501, SIM905

import os
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.harvest_languages import BUILD, go_environment
from tests.corpus.recording import Provocation, Record, ran


def git(folder: Path) -> Iterator[Record]:
    """Repositories that are used wrongly, away, locked or damaged."""
    quiet = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}

    def git_ran(what: Provocation, *words: str, place: Path = folder) -> Iterator[Record]:
        return ran(what, ["git", *words], folder=place, environment=quiet)

    wrong = Provocation("git use", "configuration")
    yield from git_ran(wrong, "status", place=Path("/"))
    repository = folder / "r"
    list(git_ran(wrong, "init", "-q", "r"))
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
        yield from git_ran(wrong, *words.split(), place=repository)
    list(git_ran(wrong, "-c", "user.name=a", "-c", "user.email=a@b", "add", "a", place=repository))
    for url, label in (
        ("http://127.0.0.1:1/r.git", "network"),
        ("https://none.invalid/r.git", "network"),
        ("ssh://127.0.0.1:1/r", "network"),
        ("/srv/none", "storage"),
        ("ftp://none.invalid/r", "network"),
        ("xyz://r", "configuration"),
    ):
        for verb in ("clone", "ls-remote"):
            yield from git_ran(Provocation(f"git {label}", label), verb, url)
    (repository / ".git" / "index.lock").write_text("")
    for words in ("add a", "commit -am x", "reset", "checkout -- a"):
        yield from git_ran(Provocation("git lock", "concurrency"), *words.split(), place=repository)
    (repository / ".git" / "index.lock").unlink()
    (repository / ".git" / "index").write_bytes(b"DIRCxxxx" * 9)
    for words in ("status", "diff", "add a"):
        yield from git_ran(Provocation("git damage", "storage", "critical"), *words.split(), place=repository)
    (repository / ".git" / "HEAD").write_text("ref: refs/heads/\0")
    yield from git_ran(Provocation("git damage", "storage", "critical"), "status", place=repository)
    (repository / ".git" / "config").write_text("[core\n")
    yield from git_ran(Provocation("git config", "configuration"), "status", place=repository)


def archives(folder: Path) -> Iterator[Record]:
    """Archives and files: damaged, absent, on a full device, not permitted."""
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


def shell(folder: Path) -> Iterator[Record]:
    """Commands, options and variables that are missing or wrong, and limits of the shell."""
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


def packages(folder: Path) -> Iterator[Record]:
    """Manifests and packages of npm, pip, Go, Debian and Cargo; what rustc refuses."""
    bad, missing = Provocation("manifest", "configuration"), Provocation("missing package", "dependency")
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
    yield from ran(missing, ["npm", "install", "--offline", "--no-audit"], folder=folder)
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
            missing,
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
            missing,
            ["go", *words.split()],
            folder=folder,
            environment=go_environment(folder),
        )
    for name in "acme-tools libnone9 foo-dev".split():
        for tool in (["apt-get", "install", "-s"], ["apt-cache", "show"], ["dpkg", "-s"]):
            yield from ran(missing, [*tool, name])
    (folder / "Cargo.toml").write_text('[package]\nname = "x"\nversion = "0.1.0"\n[dependencies]\nacme = "9"\n')
    (folder / "src").mkdir()
    (folder / "src" / "main.rs").write_text("fn main() {}")
    for words in ("build --offline", "check --offline"):
        yield from ran(missing, ["cargo", *words.split()], folder=folder)
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
        yield from ran(BUILD, ["rustc", "u.rs"], folder=folder)
