"""Prose at the terminal: no line is too long, and none ends inside a number with its unit or an equation."""

from __future__ import annotations

import pytest

from gsi_theory.runs.terminal import columns, counted, formatted, number, wrapped

TOGETHER = (
    "95 %", "n = 4", "β = 20", "0.02 ± 0.01", "KL ≤ 0.1", "χ² 3.1", "2,000 prompts", "β 20", "p 0.03", "3 × 4",
    "12.5 s", "-0.010 – 0.020", "k̂ 0.9",
)  # fmt: skip


@pytest.mark.parametrize("phrase", TOGETHER)
def test_a_number_is_never_torn_from_its_unit_or_its_name(phrase: str) -> None:
    for width in range(20, 80):
        text = wrapped(f"the words before it may go anywhere but {phrase}, which stays whole at any width", width=width)
        assert any(phrase in line for line in text.splitlines()), text
        assert max(map(len, text.splitlines())) <= width


def test_lines_are_indented_and_blanks_are_plain() -> None:
    text = wrapped("gate: accept where the tilted reward is at least u = 0.5", "  note: ", width=30)
    assert text.splitlines() == [
        "  note: gate: accept where the",
        "        tilted reward is at",
        "        least u = 0.5",
    ]
    assert wrapped("", "claim  ") == "claim"


def test_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert columns() == 60
    assert max(map(len, wrapped("word " * 100).splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "5")
    assert columns() == 40


def test_a_path_longer_than_the_line_is_left_whole() -> None:
    path = "/a/folder" * 20
    assert path in wrapped(f"wrote {path} now", width=60)


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (0.12345, ".3g", "0.123"), (-0.0, ".6g", "0"), (-1e-9, ".4f", "0.0000"), (-1.5, ".1f", "-1.5"),
        (float("inf"), ".3g", "∞"), ("-inf", ".3g", "-∞"), ("inf", ".3g", "∞"), (float("nan"), ".3g", "–"),
        (None, ".3g", "–"),
    ],
)  # fmt: skip
def test_a_cell_shows_no_signed_zero_and_no_nan(value: float | str | None, form: str, shown: str) -> None:
    assert formatted(value, form) == shown


def test_an_equation_wider_than_the_line_breaks_at_its_blanks() -> None:
    text = wrapped("a_long_left_side = a_long_right_side = another_right_side", "  ", width=40)
    assert max(map(len, text.splitlines())) <= 40


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 prompts"), (1, "1 prompt"), (2, "2 prompts"), (2000, "2,000 prompts")]
)
def test_a_noun_follows_its_count(count: int, said: str) -> None:
    assert counted(count, "prompt") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (0.5, "0.5000"),
        (-2e-5, "-2.00e-05"),
        (1e5, "1.00e+05"),
        (float("inf"), "unknown"),
        (float("nan"), "–"),
    ],
)
def test_numbers_of_a_table_show_digits(value: float, said: str) -> None:
    assert number(value) == said
