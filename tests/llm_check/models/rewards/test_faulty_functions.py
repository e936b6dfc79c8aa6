"""A Python function that will not do as a reward: one line that names what is wrong, where, and the cure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.python_callable import from_function
from llm_check.models.tasks.problem import Problem
from tests.llm_check.models.rewards.small_checkpoints import build_tokenizer

POLICY = build_tokenizer(reverse=True)
PLACE = Position(Prompt("q", (1, 2), Problem("q", "What is 12+1?", ("13",))))

# The body of judge(questions, solutions), asked for 2 steps: words of the message.
BODIES = {
    "raise ValueError('bad\\nluck')": ["ValueError: bad luck", "judge.py, line 2", "correct the function"],
    "import sys; sys.exit(3)": ["SystemExit: 3", "judge.py, line 2"],
    "return 1 / 0": ["ZeroDivisionError", "judge.py, line 2"],
    "return 0.5": ["returned float '0.5'", "return a list"],
    "return None": ["returned NoneType", "return a list"],
    "return {'a': 1, 'b': 2}": ["returned dict", "return a list"],
    "return 'ab'": ["returned str 'ab'", "return a list"],
    "return [0.5]": ["gave 1 values for 2 steps"],
    "return [0.5, None]": ["gave NoneType 'None' for step 0 of prompt q"],
    "return ['0.5', 'x']": ["gave str '0.5' for step 0"],
    "return [[0.5], [0.5]]": ["gave list '[0.5]' for step 0"],
    "return [float('inf'), 0.5]": ["gave inf for step 0"],
    "return [10**5000, 0.5]": ["an integer of 16610 bits"],
    "import torch; return torch.tensor(0.5)": ["returned Tensor 'tensor(0.5"],
}


def judge_file(folder: Path, text: str) -> Path:
    path = folder / "judge.py"
    path.write_text(text)
    return path


def said_by(spec: str) -> str:
    with pytest.raises(InputError) as refused:
        load_reward(spec, POLICY).score([PLACE, PLACE], [[3], [4]])
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("body", BODIES)
def test_what_a_function_does_wrong_is_named(body: str, tmp_path: Path) -> None:
    path = judge_file(tmp_path, f"def judge(questions, solutions):\n    {body}\n")
    said = said_by(f"python:{path}:judge")
    for words in ("judge.py:judge", *BODIES[body]):
        assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def judge(:\n", ["SyntaxError", "judge.py, line 1"]),
        ("\n\nraise RuntimeError('no')\n", ["RuntimeError: no", "judge.py, line 3"]),
        ("import sys\nsys.exit()\n", ["SystemExit", "judge.py, line 2"]),
        ("import no_such_module_at_all\n", ["ModuleNotFoundError", "no_such_module_at_all", "judge.py, line 1"]),
        ("judge = 3\n", ["judge", "is int, no function", "name one it defines"]),
        ("", ["has no function judge"]),
        ("def judge(questions):\n    return [0.5]\n", ["TypeError", "judge.py, line 1"]),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text: str, words: list[str], tmp_path: Path) -> None:
    said = said_by(f"python:{judge_file(tmp_path, text)}:judge")
    for word in words:
        assert word in said


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_judge_module.py").write_text("x = (\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert re.search(r"SyntaxError.*broken_judge_module\.py, line 1", said_by("python:broken_judge_module:judge"))
    assert "there is no file" in said_by(f"python:{tmp_path / 'absent.py'}:judge")
    assert "there is no file" in said_by(f"python:{tmp_path}/.py:judge")


def test_tensors_with_a_gradient_and_arrays_are_lists(tmp_path: Path) -> None:
    for made in ("import torch; return torch.tensor([0.25, 0.5], requires_grad=True)",
                 "import numpy as np; return np.array([0.25, 0.5])", "return (0.25, 0.5)"):  # fmt: skip
        path = judge_file(tmp_path, f"def judge(questions, solutions):\n    {made}\n")
        model = load_reward(f"python:{path}:judge", POLICY)
        assert model.score([PLACE, PLACE], [[3], [4]]).tolist() == [0.25, 0.5]


def test_a_function_given_as_it_is_says_where_it_failed() -> None:
    def judge(prefix: str, step: str) -> float:
        raise LookupError("no such step")

    with pytest.raises(InputError, match=r"LookupError: no such step \(.*test_faulty_functions\.py, line \d+\)"):
        from_function(judge, POLICY).score([PLACE], [[3]])
