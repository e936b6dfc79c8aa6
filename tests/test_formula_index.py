"""The index of formulas is what the files say, and no formula is without code and test."""

from __future__ import annotations

from tests.formula_index import INDEX, index, named


def test_the_index_is_up_to_date() -> None:
    assert INDEX.read_text(encoding="utf-8") == index(), "write it anew: python -m tests.formula_index"


def test_every_formula_has_code_and_a_test() -> None:
    rows = [line.split(" | ") for line in index().splitlines() if line.startswith("| M")]
    assert len(rows) >= 35
    missing = [row[0] for row in rows if "–" in (row[2].strip(), row[4].strip())]
    assert not missing


def test_ranges_are_read() -> None:
    assert named("see M2-M5, (M9) and M11–M12, but not GM7 or M3x") == {2, 3, 4, 5, 9, 11, 12}
