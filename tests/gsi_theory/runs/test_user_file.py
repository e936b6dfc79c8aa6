"""A user's own member from FILE.py:NAME: what loads, and one clear line for each thing that may be wrong with it."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.user_file import load_member, names_file


def written(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_an_object_and_what_a_function_makes(tmp_path: Path) -> None:
    path = written(
        tmp_path, "from fractions import Fraction\nhalf = Fraction(1, 2)\ndef third():\n    return half / 3\n"
    )
    assert load_member(f"{path}:half", Fraction) == Fraction(1, 2)
    assert load_member(f"{path}:third", Fraction) == Fraction(1, 6)


def test_a_changed_file_counts_and_its_classes_can_be_pickled(tmp_path: Path) -> None:
    text = "from fractions import Fraction\nclass Mine(Fraction):\n    pass\nm = Mine({})\n"
    path = written(tmp_path, text.format(1))
    assert load_member(f"{path}:m", Fraction) == 1
    written(tmp_path, text.format(20))
    member = load_member(f"{path}:m", Fraction)
    assert pickle.loads(pickle.dumps(member)) == 20


@pytest.mark.parametrize(
    ("text", "member", "message"),
    [
        ("", "", "names no Fraction: write FILE.py:NAME"),
        ("", ":", "names no Fraction: write FILE.py:NAME"),
        ("", ":a-b", "names no Fraction: write FILE.py:NAME"),
        ("halves = 1\n", ":halve", r"mine.py defines no halve \(did you mean 'halves'\?\)"),
        ("x = 0.5\n", ":x", "x is a float: it must be a Fraction"),
        ("def x():\n    return 1\n", ":x", r"x\(\) returned an int: it must be a Fraction"),
        ("def x(a):\n    return 1\n", ":x", r"x\(\) raised TypeError: .*mine.py, line 1\)"),
        ("\ndef x():\n    raise SystemExit(3)\n", ":x", r"x\(\) raised SystemExit: 3 \(.*mine.py, line 3\)"),
        ("\nx = 1 / 0\n", ":x", r"raised ZeroDivisionError: division by zero \(.*mine.py, line 2\)"),
        ("import sys\n\nsys.exit()\n", ":x", r"raised SystemExit \(.*mine.py, line 3\)"),
        ("a = 1\nx = = 2\n", ":x", r"raised SyntaxError: invalid syntax \(.*mine.py, line 2\)"),
        ("import nowhere_to_be_seen\n", ":x", r"raised ModuleNotFoundError: .*mine.py, line 1\)"),
    ],
)
def test_each_fault_is_one_line(tmp_path: Path, text: str, member: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as raised:
        load_member(path + member, Fraction)
    assert "\n" not in str(raised.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    for place in (tmp_path / "none.py", tmp_path / "folder.py"):
        with pytest.raises(InputError, match=r"no file .*\.py: name an existing one"):
            load_member(f"{place}:x", Fraction)


@pytest.mark.parametrize(("text", "answer"), [("M10", False), ("a.py:B", True), ("dir/a.py", True), ("softmax", False)])
def test_what_names_a_file(text: str, answer: bool) -> None:
    assert names_file(text) is answer
