"""The gallery: every figure is drawn from a small run of its experiment, and the page is complete and well formed."""

from __future__ import annotations

import html
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from figures.figure_table import spoken
from figures.gallery import GALLERY, gallery_files
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact, write_artifact
from gsi_theory.runs.output import atomic_write_files
from gsi_theory.runs.workers import in_this_process
from sims.experiments import EXPERIMENTS
from tests.figures.test_report import Reader
from tests.llm_check.models.checks.small_study import study_path
from tests.sims.tiny_runs import tiny_path


def build_gallery(artifacts: Path, out: Path) -> Path:
    atomic_write_files(gallery_files(artifacts, out, in_this_process))
    return out / "gallery.html"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    for entry in GALLERY:
        path = study_path(0) if entry.artifact == "lm_study" else tiny_path(entry.artifact, 0)
        for file in path.parent.glob(f"{entry.artifact}.*"):
            shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module")
def gallery(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, drawn once for the tests that only read it."""
    return build_gallery(artifacts, tmp_path_factory.mktemp("page"))


def test_every_experiment_that_judges_itself_has_an_entry() -> None:
    names = [entry.name for entry in GALLERY]
    assert len(set(names)) == len(names)
    elsewhere = {"exact_vs_mc", "bounds_vs_n", "methods", "steps"}
    assert {entry.artifact for entry in GALLERY} == set(EXPERIMENTS) - elsewhere | {"lm_study"}


def test_the_page_shows_every_figure_and_paragraph(artifacts: Path, gallery: Path) -> None:
    page = gallery.read_text(encoding="utf-8")
    reader = Reader(page)
    assert reader.open == [] and len(reader.ids) == len(set(reader.ids))
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    text = " ".join(html.unescape(re.sub(r"</?a\b[^>]*>", "", page)).replace("\u00a0", " ").split())
    text = re.sub(r"(?<=\de)−", "-", text)  # on the page an exponent does not part from its number
    for entry in GALLERY:
        told = spoken(entry, read_artifact(artifacts / f"{entry.artifact}.json"))
        command = entry.command or f"gsi simulate {entry.artifact}"
        parts = [" ".join(words.split()) for words in (told.question, told.caption, told.claim, command)]
        assert [words for words in parts if words not in text] == [] and told.caption
        assert (gallery.parent / "figures" / f"{entry.name}.pdf").read_bytes().startswith(b"%PDF")
    exact = {
        "conformance": "Outcomes are simulated from exact laws.",
        "gate_ablation": "Simulation and exact law agree",
    }
    for name, words in exact.items():
        section = page[page.index(f'id="{name}"') :]
        assert words in section[: section.index("</section>") if "</section>" in section else None]
    assert text.count("Outcomes are simulated") == 1
    inlined = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(inlined) == 2 * len(GALLERY)  # for wide and for narrow screens
    for svg in inlined:
        ElementTree.fromstring(svg)


def test_same_artifacts_same_bytes(artifacts: Path, gallery: Path, tmp_path: Path) -> None:
    assert build_gallery(artifacts, tmp_path).read_bytes() == gallery.read_bytes()


def test_what_was_not_run_names_its_command(tmp_path: Path) -> None:
    page = build_gallery(tmp_path, tmp_path / "out").read_text(encoding="utf-8")
    assert all(f"<code>{entry.command or f'gsi simulate {entry.artifact}'}</code>" in page for entry in GALLERY)
    assert Reader(page).open == [] and "<svg" not in page


def test_a_failed_comparison_is_marked_and_a_missing_column_leaves_no_page(artifacts: Path, tmp_path: Path) -> None:
    found = read_artifact(artifacts / "uniform_race.json")
    summary = found.summary | {"passed": False}
    write_artifact(tmp_path / "uniform_race.json", "uniform_race", found.provenance, summary, found.tables)
    assert "and exact law disagree" in build_gallery(tmp_path, tmp_path / "out").read_text(encoding="utf-8")
    write_artifact(tmp_path / "uniform_race.json", "uniform_race", found.provenance, summary, {"exact": {"n": [1]}})
    with pytest.raises(InputError, match="has no column"):
        build_gallery(tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_study_is_judged_by_its_own_numbers_and_its_figures_stand_together(artifacts: Path, gallery: Path) -> None:
    page = gallery.read_text(encoding="utf-8")
    text = " ".join(html.unescape(page).split())
    count = read_artifact(artifacts / "lm_study.json").summary["comparisons"]
    assert f"Predictions and fresh draws agree: the smallest p of {count} comparisons is " in text
    assert "comparisons is –" not in text
    places = [at for at, entry in enumerate(GALLERY) if entry.artifact == "lm_study"]
    assert places == list(range(places[0], places[0] + 3))
