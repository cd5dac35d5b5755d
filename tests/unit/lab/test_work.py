"""What the reference agents really do, each on a folder of its own."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab import site as sites
from tests.lab.sample import changed, expected, make_project
from tests.lab.scale import Served
from tests.lab.site import CONFIG, Site
from tests.lab.work import WrongAnswerError
from tests.lab.work.build_pipeline import Builder
from tests.lab.work.runtime import Runtime
from tests.lab.work.versioning import INDEX, Store, lines_changed

PROJECT = make_project(300)
FIRST, SECOND = sorted(PROJECT.modules)[:2]


def site_in(folder: Path, **upstreams: int) -> Site:
    """A site whose upstreams, by kind, are at these ports."""
    folder.mkdir(parents=True)
    where = {kind: {"host": "127.0.0.1", "port": port, "timeout": 5.0} for kind, port in upstreams.items()}
    (folder / CONFIG).write_text(json.dumps({"upstreams": where}))
    return Site(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that holds the sample."""
    made = Store(site_in(tmp_path / "versioning"))
    made.put({**PROJECT.modules, **PROJECT.shaders})
    return made


@contextmanager
def served(**operations: Any) -> Iterator[int]:
    with Served(operations) as port:
        yield port


def test_what_was_put_is_got(store: Store) -> None:
    """Every text comes back as it went in, from the index and from the history alike."""
    for name, text in PROJECT.modules.items():
        assert store.get(name) == store.get_from_history(name) == text


def test_a_new_version_is_seen_at_once_by_whoever_reads_the_same_folder(store: Store, tmp_path: Path) -> None:
    """A second store on the folder answers with what the first one put, although it had read the index before."""
    other = Store(Site(tmp_path / "versioning"))
    assert other.get(FIRST) == PROJECT.modules[FIRST]
    done = store.put({FIRST: changed(PROJECT.modules[FIRST], 5)})
    assert done["changed_lines"] == 2
    assert other.get(FIRST) == changed(PROJECT.modules[FIRST], 5)


def test_an_index_that_is_overwritten_in_place_is_not_taken_for_the_old_one(store: Store, tmp_path: Path) -> None:
    """A store that has read the index before notices that the file is damaged now, and finds a text without it."""
    assert store.get(FIRST)
    (tmp_path / "versioning" / "state" / INDEX).write_text("{ damaged")
    with pytest.raises(json.JSONDecodeError):
        store.get(FIRST)
    assert store.get_from_history(FIRST) == PROJECT.modules[FIRST]


def test_an_index_that_is_gone_is_missed(store: Store, tmp_path: Path) -> None:
    """No answer comes from memory when the file is not there."""
    assert store.names()
    (tmp_path / "versioning" / "state" / INDEX).unlink()
    with pytest.raises(FileNotFoundError):
        store.names()


def test_a_text_that_does_not_have_its_digest_is_refused(store: Store, tmp_path: Path) -> None:
    """A damaged object is never handed out."""
    digest = store.names()[FIRST]
    (tmp_path / "versioning" / "state" / "objects" / digest).write_text("something else")
    with pytest.raises(WrongAnswerError):
        store.get(FIRST)


_LINES = st.lists(st.sampled_from("abcd"), max_size=12)


@given(_LINES, _LINES)
def test_changed_lines_account_for_the_difference(before: list[str], after: list[str]) -> None:
    """The count is that of some script that makes one text the other, and nothing only where they are the same."""
    count = lines_changed("\n".join(before), "\n".join(after))
    assert (count == 0) == (before == after)
    assert abs(len(before) - len(after)) <= count <= len(before) + len(after)
    assert count % 2 == (len(before) + len(after)) % 2


def test_a_build_compiles_what_changed_and_only_that(store: Store, tmp_path: Path) -> None:
    """The first build makes an object of every module, the next one that of the changed module alone."""
    with served(names=store.names, texts=store.texts) as port:
        builder = Builder(site_in(tmp_path / "build", versioning=port))
        objects = tmp_path / "build" / "state" / "objects"
        assert builder.build() == {"number": 1, "modules": len(PROJECT.modules)}
        first = set(os.listdir(objects))
        assert len(first) == len(PROJECT.modules)
        store.put({FIRST: changed(PROJECT.modules[FIRST], 3)})
        assert builder.build()["number"] == 2
        assert len(set(os.listdir(objects)) - first) == 1


def test_an_object_that_is_lost_is_built_again(store: Store, tmp_path: Path) -> None:
    """A build leaves no module of its manifest without an object."""
    with served(names=store.names, texts=store.texts) as port:
        builder = Builder(site_in(tmp_path / "build", versioning=port))
        builder.build()
        lost = tmp_path / "build" / "state" / "objects" / builder.manifest()["modules"][FIRST]
        lost.unlink()
        assert builder.build()["number"] == 1
        assert lost.exists()


def test_a_module_with_a_syntax_error_fails_the_build_and_leaves_the_last_good_one(
    store: Store, tmp_path: Path
) -> None:
    """The build raises, and the manifest is that of before."""
    with served(names=store.names, texts=store.texts) as port:
        builder = Builder(site_in(tmp_path / "build", versioning=port))
        builder.build()
        before = builder.manifest()
        store.put({FIRST: "def answer(:\n"})
        with pytest.raises(SyntaxError):
            builder.build()
        assert builder.manifest() == before
        assert builder.build_again()["modules"] == len(PROJECT.modules)


def test_what_is_reloaded_answers_as_foretold_and_the_version_before_is_still_there(
    store: Store, tmp_path: Path
) -> None:
    """Through all three: stored, built, loaded, called; after a change both versions give their own answer."""
    with served(names=store.names, texts=store.texts) as versions:
        builder = Builder(site_in(tmp_path / "build", versioning=versions))
        builder.build()
        with served(manifest=builder.manifest, objects=builder.objects) as builds:
            runtime = Runtime(site_in(tmp_path / "runtime", build_pipeline=builds))
            assert runtime.reload()["reloaded"] == len(PROJECT.modules)
            assert runtime.call(SECOND, 7) == expected(PROJECT.modules[SECOND], 7)
            text = changed(PROJECT.modules[SECOND], 11)
            store.put({SECOND: text})
            builder.build()
            assert runtime.reload()["reloaded"] == 1
            assert runtime.call(SECOND, 7) == expected(text, 7)
            assert runtime.call_before(SECOND, 7) == expected(PROJECT.modules[SECOND], 7)


def test_a_rollback_brings_back_the_version_of_the_checkpoint(store: Store, tmp_path: Path) -> None:
    """Configuration and index of the checkpoint are there again, byte for byte, and a fresh worker serves them."""
    folder = tmp_path / "versioning"
    content = sites.snapshot(folder)
    store.put({FIRST: "lost = True\n"})
    (folder / CONFIG).write_text("{ damaged")
    sites.restore(folder, content)
    assert sites.snapshot(folder) == content
    assert Store(Site(folder)).get(FIRST) == PROJECT.modules[FIRST]


def test_the_second_site_serves_what_the_first_held(store: Store, tmp_path: Path) -> None:
    """After a replication the other site has every text, and later ones after the next."""
    there = tmp_path / "b"
    site_in(there)
    for text in ("one = 1\n", "two = 2\n"):
        store.put({FIRST: text})
        sites.replicate(tmp_path / "versioning", there)
        assert Store(Site(there)).get(FIRST) == text
        assert Store(Site(there)).get(SECOND) == PROJECT.modules[SECOND]


def test_readers_never_meet_half_a_version(store: Store) -> None:
    """While one puts again and again, others read a version that was put, whole."""
    texts = {changed(PROJECT.modules[FIRST], factor) for factor in range(1, 40)} | {PROJECT.modules[FIRST]}
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            if store.get(FIRST) not in texts:
                wrong.append(1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for text in texts:
        store.put({FIRST: text})
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
