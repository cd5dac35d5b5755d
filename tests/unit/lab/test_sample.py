"""The sample project is the same for a seed, of the size that was asked for, and does what is foretold of it."""

import sys
from types import ModuleType

import pytest
from tests.lab.sample import changed, expected, factor_of, make_project


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """A small project's modules, run in the order in which they may be loaded."""
    modules: dict[str, ModuleType] = {}
    for name, text in make_project(1000, seed=3).modules.items():
        module = modules[name] = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(text, name, "exec"), module.__dict__)
    return modules


def test_a_seed_always_gives_the_same_project() -> None:
    """Two projects of one seed are equal, those of two seeds are not."""
    assert make_project(2000, seed=5) == make_project(2000, seed=5)
    assert make_project(2000, seed=5).modules != make_project(2000, seed=6).modules


@pytest.mark.parametrize("lines", [1_000, 10_000, 100_000])
def test_a_project_has_about_the_lines_that_were_asked_for(lines: int) -> None:
    """It is at most a tenth off, and no two of its modules are the same text."""
    project = make_project(lines)
    assert project.lines == pytest.approx(lines, rel=0.1)
    assert len(set(project.modules.values())) == len(project.modules)
    assert project.shaders


def test_a_module_imports_only_what_comes_before_it() -> None:
    """Loading in the order of the names never meets a module that is not there yet."""
    seen: set[str] = set()
    for name, text in make_project(10_000).modules.items():
        imported = [line.split()[1] for line in text.splitlines() if line.startswith("import ")]
        assert seen.issuperset(imported)
        seen.add(name)
    assert list(make_project(10_000).modules) == sorted(seen)


@pytest.mark.parametrize("value", [0, 7, 1_000_002])
def test_modules_answer_what_is_foretold(loaded: dict[str, ModuleType], value: int) -> None:
    """What a module computes is what is worked out from its text without running it."""
    texts = make_project(1000, seed=3).modules
    for name, module in loaded.items():
        assert module.__dict__["answer"](value) == expected(texts[name], value)


def test_a_change_is_seen_in_the_answers() -> None:
    """Another factor is another text, another foretold answer, and nothing else."""
    text = make_project(1000).modules["part_00003"]
    other = changed(text, factor_of(text) + 1)
    assert factor_of(other) == factor_of(text) + 1
    assert expected(other, 7) != expected(text, 7)
    assert len(set(text.splitlines()) ^ set(other.splitlines())) == 2
