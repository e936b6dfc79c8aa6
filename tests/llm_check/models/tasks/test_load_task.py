"""Tasks from files of the published fields, from a user's rows, and the embedded one; bad rows are named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gsi_theory.errors import InputError
from llm_check.models.grading.grading import GradeOutcome
from llm_check.models.tasks import load_task as loading
from llm_check.models.tasks.arithmetic import make_problems, solution_steps
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tiny.tokenizer import build_tokenizer
from llm_check.models.tiny.tokenizer import build_tokenizer as tiny_tokenizer

# Rows written for these tests, with the fields of the published data sets.
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "Ann has 3 bags of 700 nuts. How many?", "answer": "3*700=<<3*700=2100>>2100\n#### 2,100"},
    "math500": {
        "problem": "Halve $\\frac{1}{2}$.", "solution": "It is\n\n$\\boxed{\\frac{1}{4}}$.", "answer": "\\frac{1}{4}",
        "subject": "Prealgebra", "level": 1, "unique_id": "test/prealgebra/0.json",
    },
    "olympiadbench": {
        "id": 7, "question": "Solve $x^2=4$.", "context": "Over the reals.", "solution": ["Roots."],
        "final_answer": ["$2$,$-2$"], "unit": None, "answer_type": "Numerical", "is_multiple_answer": True,
        "error": None,
    },
    "minerva": {"problem": "Mass of it?", "solution": "So $\\boxed{3.0e-2}$ g", "type": "x", "idx": 0},
    "mmlu_stem": {"question": "Which is a gas?", "type": "chem", "choices": ["iron", "neon", "gold"], "answer": 1},
    "jsonl": {"prompt": "1/2+1/2?", "answer": 1, "id": "mine"},
}  # fmt: skip
RIGHT = {
    "gsm8k": "2100", "math500": "0.25", "olympiadbench": "-2, 2", "minerva": "3.0e-2", "mmlu_stem": "B", "jsonl": "1",
}  # fmt: skip
WRONG = {"gsm8k": "21", "math500": "4", "olympiadbench": "2", "minerva": "3", "mmlu_stem": "A", "jsonl": "2"}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_family_load_and_grade(name: str, tmp_path: Path) -> None:
    task = load_task(f"{name}:{write(tmp_path / 'rows.jsonl', ROWS[name])}")
    problem = task.problems[0]
    assert task.name == name and task.source.endswith("rows.jsonl") and task.template == "chat"
    texts = [f"We get $\\boxed{{{answer[name]}}}$" for answer in (RIGHT, WRONG)]
    grades = task.grade([problem] * 3, [*texts, "no answer here"])
    assert [grade.verdict for grade in grades] == [GradeOutcome.RIGHT, GradeOutcome.WRONG, GradeOutcome.WRONG]
    assert "boxed" in task.instruction


def test_fields_reach_the_problem(tmp_path: Path) -> None:
    tasks = {name: load_task(f"{name}:{write(tmp_path / name, row)}").problems[0] for name, row in ROWS.items()}
    assert tasks["gsm8k"].answers == ("2,100",) and tasks["gsm8k"].problem_id == "gsm8k-1"
    assert tasks["math500"].problem_id == "test/prealgebra/0.json"
    assert tasks["olympiadbench"].question == "Over the reals.\n\nSolve $x^2=4$."
    assert tasks["olympiadbench"].several and tasks["olympiadbench"].problem_id == "7"
    assert tasks["mmlu_stem"].question == "Which is a gas?\nA. iron\nB. neon\nC. gold"
    assert (tasks["mmlu_stem"].answer, tasks["minerva"].answer, tasks["jsonl"].answer) == ("B", "3.0e-2", "1")
    assert tasks["jsonl"].problem_id == "mine"
    steps = load_task(f"math500:{tmp_path / 'math500'}").solution_steps(tasks["math500"])
    assert steps == ("It is\n\n", "$\\boxed{\\frac{1}{4}}$.")


def test_user_rows_may_be_choices_lists_or_without_answer(tmp_path: Path) -> None:
    rows = [
        {"question": "Pick.", "choices": ["x", "y"], "answer": "B"},
        {"problem": "Both roots?", "answer": ["1", "2"]},
        {"question": "About pi?", "answer": "3.14", "error": 0.01, "unit": "m"},
        {"question": "Unknown?"},
        {"question": "Boxed?", "answer": "so \\boxed{7}"},
    ]
    task = load_task(f"jsonl:{write(tmp_path / 'own.jsonl', *rows)}")
    texts = ["\\boxed{B}", "\\boxed{2} and \\boxed{1}", "\\boxed{3.145\\text{ m}}", "\\boxed{1}", "\\boxed{7}"]
    grades = task.grade(task.problems, texts)
    assert [grade.verdict.value for grade in grades] == ["right", "right", "right", "failed", "right"]
    assert grades[3].reason == "the problem has no reference answer"
    assert task.solution_steps(task.problems[0]) is None


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gsm8k", {"question": None}, r"line 2: field 'question' is None .*give it as text"),
        ("gsm8k", {"answer": "5"}, r"line 2: field 'answer' is '5': end it with a line '#### ANSWER'"),
        ("math500", {"answer": 5}, r"line 2: field 'answer' is 5"),
        ("minerva", {"solution": "none"}, r"line 2: field 'solution' .* \\boxed\{\}"),
        ("olympiadbench", {"final_answer": []}, r"line 2: field 'final_answer' is \[\]: give a list"),
        ("olympiadbench", {"error": "much"}, r"line 2: field 'error' is 'much'"),
        ("mmlu_stem", {"answer": 3}, r"line 2: field 'answer' is 3: give an index in 0\.\.2 or a letter in A\.\.C"),
        ("mmlu_stem", {"choices": ["a"]}, r"line 2: field 'choices' .*2 to 26 choices"),
        ("jsonl", {"answer": True}, r"line 2: field 'answer' is True"),
        ("jsonl", {"prompt": " "}, r"line 2: field 'prompt' is ' '"),
        ("jsonl", {"prompt": ["a" * 1000]}, r"line 2: field 'prompt' is \['a{70,80}\.\.\. \(fields"),
        ("jsonl", {"answer": [1, None]}, r"line 2: field 'answer' is \[1, None\]: give the reference answer"),
        ("jsonl", {"answer": {"a": 1}}, r"line 2: field 'answer' is \{'a': 1\}"),
        ("jsonl", {"answer": float("nan")}, r"line 2: field 'answer' is nan"),
        ("jsonl", {"answer": [float("inf")]}, r"line 2: field 'answer' is \[inf\]"),
        ("jsonl", {"answer": []}, r"line 2: field 'answer' is \[\]"),
        ("jsonl", {"id": {"a": 1}}, r"line 2: field 'id' is \{'a': 1\}: give text or a whole number"),
        ("jsonl", {"id": True}, r"line 2: field 'id' is True"),
        ("jsonl", {"id": 0.5}, r"line 2: field 'id' is 0\.5"),
        ("jsonl", {"id": " "}, r"line 2: field 'id' is ' '"),
        ("jsonl", {"solution": [1, None]}, r"line 2: field 'solution' is \[1, None\]: give the solution as text"),
        ("jsonl", {"choices": ["a", None]}, r"line 2: field 'choices' is \['a', None\]: .*texts or numbers"),
        ("olympiadbench", {"is_multiple_answer": "false"}, r"field .is_multiple_answer. is .false.: give true"),
        ("olympiadbench", {"solution": [None]}, r"line 2: field 'solution' is \[None\]"),
        ("olympiadbench", {"id": ["x"]}, r"line 2: field 'id' is \['x'\]"),
        ("math500", {"unique_id": 7}, r"line 2: field 'unique_id' is 7"),
    ],
)  # fmt: skip
def test_bad_rows_are_named_by_file_line_and_field(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    good = {**ROWS[name], "id": 1, "unique_id": "a"}
    path = write(tmp_path / "rows.jsonl", good, {**ROWS[name], "id": 2, "unique_id": "b", **changes})
    with pytest.raises(InputError, match=message) as caught:
        load_task(f"{name}:{path}")
    assert str(path) in str(caught.value)


def test_an_id_of_null_is_no_id(tmp_path: Path) -> None:
    rows = [{"question": "1+1?", "answer": 2, "id": None}, {"question": "1+2?", "answer": 3, "id": 7}]
    task = load_task(f"jsonl:{write(tmp_path / 'rows.jsonl', *rows)}")
    assert [problem.problem_id for problem in task.problems] == ["jsonl-1", "7"]


def test_text_without_tokens_is_refused(tmp_path: Path) -> None:
    task = load_task(f"jsonl:{write(tmp_path / 'rows.jsonl', {'question': '<script>alert(1)</script>', 'answer': 6})}")
    with pytest.raises(InputError, match=r"cannot write '<script>.* give a model that reads this task"):
        task.prompts(build_tokenizer(), "bare")


def test_a_missing_field_lists_the_fields_there(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"q": "1+1?", "answer": "#### 2"})
    with pytest.raises(InputError, match=r"line 1: field 'question' is missing \(fields here: q, answer\)"):
        load_task(f"gsm8k:{path}")


def test_files_that_are_no_jsonl_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS["gsm8k"], "{oops")
    with pytest.raises(InputError, match=r"line 2 is not JSON .*one JSON object per line"):
        load_task(f"gsm8k:{path}")
    with pytest.raises(InputError, match=r"line 1 is list, not an object"):
        load_task(f"gsm8k:{write(path, '[1]')}")
    with pytest.raises(InputError, match="holds no problems"):
        load_task(f"gsm8k:{write(path, '')}")
    path.write_bytes(b'{"question": "\xff"}\n')
    with pytest.raises(InputError, match="line 1: not UTF-8 text"):
        load_task(f"gsm8k:{path}")
    with pytest.raises(InputError, match=r"no file .*absent.jsonl for task gsm8k"):
        load_task(f"gsm8k:{tmp_path / 'absent.jsonl'}")
    twice = {**ROWS["jsonl"]}
    with pytest.raises(InputError, match=r"line 2: id 'mine' is taken by .*line 1"):
        load_task(f"jsonl:{write(path, twice, twice)}")


@pytest.mark.parametrize(
    ("spec", "named", "message"),
    [
        ("gsm9k:x", {}, r"task 'gsm9k:x' \(did you mean 'gsm8k'\?\): give one of gsm8k, .*arithmetic"),
        ("jsonl", {}, "name its file, as in jsonl:FILE"),
        ("arithmetic", {"limit": 0}, "limit 0 of task 'arithmetic': use at least 1"),
        ("arithmetic", {"seed": -1}, "seed -1"),
        ("arithmetic:dev", {}, "split 'dev'"),
        ("gsm8k:x?shots=3", {}, "setting 'shots' .* has the settings answer"),
    ],
)
def test_bad_specifications_are_named(spec: str, named: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_task(spec, **named)


def test_a_limit_is_a_nested_seeded_choice_in_file_order(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": f"#### {i}"} for i in range(30)]
    spec = f"gsm8k:{write(tmp_path / 'rows.jsonl', *rows)}"

    def ids(limit: int | None, seed: int = 0) -> list[str]:
        return [problem.problem_id for problem in load_task(spec, limit=limit, seed=seed).problems]

    assert len(ids(None)) == len(ids(99)) == 30
    assert ids(10) == ids(10) and set(ids(5)) < set(ids(10)) and ids(10) != ids(10, seed=1)
    assert ids(10) == [name for name in ids(None) if name in ids(10)]


def test_the_embedded_task_is_the_one_that_was(tmp_path: Path) -> None:
    task = load_task("arithmetic", limit=5, seed=3)
    assert list(task.problems) == make_problems(5, 3, "test")
    tokenizer = tiny_tokenizer()
    prompts = task.prompts(tokenizer)
    assert [prompt.ids for prompt in prompts] == [tuple(tokenizer(p.prompt)["input_ids"]) for p in task.problems]
    assert [prompt.problem for prompt in prompts] == list(task.problems)
    problem = task.problems[0]
    assert task.solution_steps(problem) == solution_steps(problem)
    assert task.check_step is not None and task.check_step(problem, 0, f"{problem.values[0]}\n\n")
    grades = task.grade([problem] * 3, [f"\\boxed{{{problem.answer}}}", "\\boxed{100}", "12\n\n"])
    assert [grade.verdict.value for grade in grades] == ["right", "wrong", "wrong"]
    assert load_task("arithmetic:train", limit=2).problems[0].problem_id.startswith("train-")


def test_the_hub_is_asked_for_the_published_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[Any] = []

    def rows(*args: Any, **named: Any) -> list[dict[str, Any]]:
        asked.append((args, named))
        return [ROWS["gsm8k"]]

    monkeypatch.setattr(datasets, "load_dataset", rows)
    task = load_task("gsm8k")
    assert asked == [(("openai/gsm8k", "main"), {"split": "test"})]
    assert task.source == "hub:openai/gsm8k" and task.problems[0].answers == ("2,100",)

    def offline(*args: Any, **named: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(InputError, match=r"HuggingFaceH4/MATH-500 could not be loaded \(ConnectionError.*math500:FILE"):
        load_task("math500")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="needs the package datasets"):
        load_task("math500")


def test_grading_refuses_unequal_lists() -> None:
    task = load_task("arithmetic", limit=1)
    with pytest.raises(InputError, match="1 problems and 2 texts"):
        task.grade(task.problems, ["a", "b"])


def test_tasks_grading_and_prompting_import_no_torch() -> None:
    code = (
        "import sys, llm_check.models.tasks.load_task, llm_check.models.grading.grading, "
        "llm_check.models.decoding.prompting, llm_check.models.rewards.load_reward, "
        "llm_check.models.rewards.verifiable; print('torch' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_family_has_what_loading_needs() -> None:
    for name, family in loading.FAMILIES.items():
        assert "\\boxed{}" in family.instruction
        assert (family.hub is None) == (name == "jsonl")
