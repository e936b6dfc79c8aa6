"""The reference: every public name stands on a page once, and its examples run."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import gsi_theory
from docs.reference_pages import EXAMPLES, PAGES, entries, exported, reference_pages

# what scripts rely on, as the design names it
SURFACE = (
    *("Instance", "Candidates", "Scheme", "tilted_policy", "tilted_reward", "selection_law", "gsi_law", "CLAIMS"),
    *("kl", "tv", "chi2", "renyi", "hockey_stick", "best_tv", "best_tv_adaptive", "best_tv_two", "best_reward"),
    *("subset_mean", "instances", "schemes", "conform", "assert_samples", "METHODS"),
    *("read_log", "read_pool", "doctor", "predict", "plan", "curve", "decode"),
)
# the command line, and the table of names that moved, are for no script
INNER = {"gsi_theory.cli", "gsi_theory.moved"}


def test_every_public_module_has_a_page() -> None:
    top = {f"gsi_theory.{path.stem}" for path in Path(gsi_theory.__file__).parent.glob("*.py") if path.stem[0] != "_"}
    assert top - INNER <= set(PAGES)


def test_every_public_name_stands_on_a_page() -> None:
    shown = entries()
    places = {id(entry.value) for members in shown.values() for entry in members}
    names = {entry.path for members in shown.values() for entry in members}
    missing = [
        entry.path
        for page in PAGES
        for entry in exported(page)
        if entry.path not in names and not (entry.defined and id(entry.value) in places)
    ]
    assert not missing
    assert len(names) == sum(map(len, shown.values()))
    pages = reference_pages()
    for page, members in shown.items():
        for entry in members:
            assert (
                len(re.findall(rf"(?:autoclass::|autofunction::|\{{py:data\}}) {re.escape(entry.path)}\n", pages[page]))
                == 1
            )


def test_everything_with_a_page_says_what_it_is() -> None:
    functions = [entry for members in entries().values() for entry in members if entry.defined]
    assert len(functions) > 60
    bare = [entry.path for entry in functions if not (inspect.getdoc(entry.value) or "").strip()]
    assert not bare


def test_an_unnamed_member_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("gsi_theory.limits")
    monkeypatch.setattr(module, "__all__", [*module.__all__, "np_sum"])
    monkeypatch.setattr(module, "np_sum", lambda x: x, raising=False)
    assert "gsi_theory.limits.np_sum" in {entry.path for entry in entries()["gsi_theory.limits"]}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_runs(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(path.name == f"of_{page.replace('.', '_')}.py" for page in PAGES)
    monkeypatch.chdir(path.parent)
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), {"__name__": path.stem})
    printed = capsys.readouterr().out
    assert printed or "testing" in path.stem
    assert "nan" not in printed.lower()


def test_examples_use_the_public_surface() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py"))
    assert [name for name in SURFACE if not re.search(rf"\b{name}\b", text)] == []
