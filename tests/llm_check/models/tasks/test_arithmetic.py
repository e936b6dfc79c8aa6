"""The task: problems whose values a plain evaluation confirms, disjoint splits, and an exact checker."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gsi_theory.errors import InputError
from llm_check.models.tasks.arithmetic import (
    MAX_STEPS,
    ArithmeticProblem,
    check_step,
    final_answer,
    is_correct,
    make_problems,
    parse_problem,
    solution_steps,
    split_of,
)

PROBLEM = parse_problem("48-5-7+4")


@pytest.mark.parametrize("split", ["train", "test"])
def test_values_are_what_the_text_says(split: str) -> None:
    for problem in make_problems(500, 3, split):
        numbers = [int(token) for token in re.findall(r"[+-]?\d+", problem.text)]
        assert problem.values == tuple(sum(numbers[: k + 2]) for k in range(3))
        assert problem.answer == sum(numbers)
        assert min(problem.values) >= 0 and max(problem.values) <= 99
        assert problem.prompt == problem.text + "\n\n"
        assert problem == parse_problem(problem.text)
        assert split_of(problem.text) == split


def test_splits_are_disjoint_for_any_pair_of_seeds() -> None:
    train = {p.text for seed in (0, 1) for p in make_problems(5000, seed, "train")}
    test = {p.text for seed in (0, 1) for p in make_problems(2000, seed, "test")}
    assert len(train) > 5000 and len(test) > 2000
    assert not train & test


def test_problems_are_distinct_stable_and_nested() -> None:
    long = make_problems(3000, 5, "train")
    assert len({p.text for p in long}) == len({p.problem_id for p in long}) == 3000
    assert make_problems(100, 5, "train") == long[:100]
    assert make_problems(100, 6, "train") != long[:100]
    # The split is a hash of the text: another process, with another seed of Python's own hash, agrees.
    code = "from llm_check.models.tasks.arithmetic import make_problems; print(make_problems(3, 5, 'train'))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert seen == str(long[:3])


def test_reference_solution_is_right_at_every_step() -> None:
    steps = solution_steps(PROBLEM)
    assert steps == ("43\n\n", "36\n\n", "40\n\n", "\\boxed{40}")
    assert [check_step(PROBLEM, i, step) for i, step in enumerate(steps)] == [True] * 4
    assert is_correct(PROBLEM, "".join(steps))


@pytest.mark.parametrize(
    ("index", "step", "right"),
    [
        (0, "43\n\n", True),
        (0, "44\n\n", False),
        (0, "36\n\n", False),  # a later value, too early
        (1, "43\n\n", False),  # the value of the step before
        (0, "43", False),  # cut before its end
        (0, "043\n\n", False),
        (0, "43\n\n\n\n", False),
        (0, "\n\n", False),
        (0, "", False),
        (0, "\\boxed{40}", True),  # an early box with the right answer
        (0, "\\boxed{43}", False),
        (3, "40\n\n", False),  # the running values are over: only a box is right
        (3, "\\boxed{40", False),
        (3, "\\boxed{40}\n\n", False),
        (5, "\\boxed{40}", True),
    ],
)
def test_checker(index: int, step: str, right: bool) -> None:
    assert check_step(PROBLEM, index, step) is right


@pytest.mark.parametrize("index", [-1, MAX_STEPS])
def test_checker_refuses_other_indices(index: int) -> None:
    with pytest.raises(InputError, match=f"step index {index}"):
        check_step(PROBLEM, index, "43\n\n")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("43\n\n\\boxed{40}", "40"),
        ("\\boxed{1}\\boxed{2}", "2"),
        ("\\boxed{1}\\boxed{2", "1"),
        ("\\boxed{4\\boxed{40}", "40"),
        ("\\boxed{}", ""),
        ("\\boxed{4", None),
        ("40\n\n", None),
    ],
)
def test_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer
    assert is_correct(PROBLEM, text) is (answer == "40")


def test_answers_are_compared_as_written() -> None:
    problem = ArithmeticProblem("made-up", "9-1-1-3", (8, 7, 4), 4)
    assert is_correct(problem, "\\boxed{4}")
    assert not is_correct(problem, "\\boxed{04}")
    assert not is_correct(problem, "\\boxed{ 4}")


@pytest.mark.parametrize("text", ["48-5-7", "48-5-7+4+1", "048-5-7+4", "48-5-7+0", "48-5-7+14", "100-1-1-1", "a", ""])
def test_texts_outside_the_grammar_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="give a number in"):
        parse_problem(text)


@pytest.mark.parametrize("text", ["3-5+7+4", "98+9-8-4"])
def test_running_values_outside_the_range_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="running values"):
        parse_problem(text)


@pytest.mark.parametrize(
    ("count", "seed", "split", "message"),
    [(1, 0, "dev", "split 'dev'"), (-1, 0, "test", "count -1"), (10**6, 0, "test", "count"), (1, -1, "test", "seed")],
)
def test_bad_requests_are_refused(count: int, seed: int, split: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_problems(count, seed, split)
