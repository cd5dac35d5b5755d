"""The demo's build: real compilation, a real check of imports, objects by content."""

from pathlib import Path

import pytest

from mendbus.demo.builds import MANIFEST, Build, Builder, load_order, sources_of
from mendbus.demo.faults import FAULTS, Edit, make_project
from mendbus.demo.shop import selfcheck


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """A builder of the sample project."""
    return Builder(make_project(tmp_path / "project"), tmp_path / "out")


def test_the_sample_project_holds_what_it_promises_of_itself() -> None:
    """Its own check passes on the sources as they are delivered."""
    assert len(selfcheck.run()) == 15


def test_a_build_follows_from_the_sources_alone(builder: Builder, tmp_path: Path) -> None:
    """The same sources give the same id and no new object; another source gives another one."""
    sources = sources_of(builder.package)
    first = builder.link(sources, list(sources), 1)
    objects = sorted((tmp_path / "out" / "objects").iterdir())
    again = builder.link(sources, [], 2)
    assert again.id == first.id
    assert sorted((tmp_path / "out" / "objects").iterdir()) == objects
    other = builder.link(sources | {"shop.money": sources["shop.money"] + "\nX = 1\n"}, ["shop.money"], 3)
    assert other.id != first.id
    assert Build.from_json((tmp_path / "out" / MANIFEST).read_bytes()) == other


def test_modules_are_loaded_after_what_they_import(builder: Builder) -> None:
    """Every module stands behind its package and everything it imports."""
    build = builder.link(sources_of(builder.package), [], 1)
    order = load_order(build.modules)
    assert sorted(order) == sorted(build.modules)
    assert order[0] == "shop"
    for name, module in build.modules.items():
        assert all(order.index(needed) < order.index(name) for needed in module.imports)


def test_a_circle_of_imports_is_put_in_some_order(builder: Builder) -> None:
    """Modules that import one another are each there once."""
    build = builder.link({"shop": "", "shop.a": "from . import b", "shop.b": "from . import a"}, [], 1)
    assert sorted(load_order(build.modules)) == ["shop", "shop.a", "shop.b"]


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("from .money import shares", ImportError, "cannot import name 'shares' from 'shop.money'"),
        ("from .monies import share", ModuleNotFoundError, "No module named 'shop.monies'"),
        ("import acme_rounding.half", ModuleNotFoundError, "No module named 'acme_rounding.half'"),
        ("import shop.nowhere", ModuleNotFoundError, "No module named 'shop.nowhere'"),
    ],
)
def test_an_import_that_cannot_work_is_found_without_running_anything(
    builder: Builder, line: str, error: type[ImportError], words: str
) -> None:
    """What is neither in the project nor installed is named, with file and line."""
    sources = sources_of(builder.package)
    with pytest.raises(error, match=words) as raised:
        _ = builder.check(sources | {"shop.extra": f"import json, os.path\n{line}\n"})
    assert type(raised.value) is error
    assert "extra.py, line 2" in str(raised.value)


def test_a_syntax_error_is_the_compilers_own(builder: Builder) -> None:
    """File and line of what does not compile are in the exception."""
    edit = FAULTS[0].edit
    assert edit is not None
    edit.save(builder.package)
    with pytest.raises(SyntaxError, match="expected ':'") as raised:
        _ = builder.compile(sources_of(builder.package))
    assert (Path(str(raised.value.filename)).name, raised.value.lineno) == ("pricing.py", 22)


def test_an_edit_that_does_not_fit_is_refused(builder: Builder) -> None:
    """A sample that was changed cannot make the demo break nothing without a word."""
    with pytest.raises(ValueError, match=r"money\.py has 0 times"):
        Edit("money.py", "no such text", "").save(builder.package)
