"""Grading: what counts as the same answer, what does not, and a grader's failures apart from wrong answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gsi_theory.errors import InputError
from llm_check.models.grading import worker_pool as grading_pool
from llm_check.models.grading.answers import boxes, choice_letter, final_answers, last_box, stated_answer
from llm_check.models.grading.check_grader import check_grading
from llm_check.models.grading.grading import Grade, GradeOutcome, count_grades, grade_choice, grade_math
from llm_check.models.grading.worker_pool import GradingPool
from llm_check.models.tasks.benchmarks import grade_rows
from llm_check.models.tasks.problem import Problem

EQUAL = [
    ("\\frac{14}{3}", "14/3"), ("\\frac{14}{3}", "4\\frac{2}{3}"), ("1\\frac{4}{5}", "9/5"),
    ("\\frac43", "\\dfrac{4}{3}"), ("0.15", "\\frac{3}{20}"), (".35625", "0.35625"), ("58,500", "58500"),
    ("10,\\!080", "10080"),
    ("43,500", "43,500."), ("\\$32,\\!348", "32348"), ("\\$18.90", "18.9"), ("90^\\circ", "90°"), ("x=5", "5"),
    ("5", "x = 5"), ("\\text{Evelyn}", "evelyn"), ("1,-2", "-2, 1"), ("1,-2", "\\{-2,1\\}"), ("1,-2", "x=1, x=-2"),
    ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"), ("52_8", "52_{8}"), ("52_8", "52"),
    ("(3,4]", "\\left(3, 4\\right]"),
    ("\\begin{pmatrix} -1/3 \\\\ 2/3 \\end{pmatrix}", "\\begin{bmatrix} -\\frac13 \\\\ \\frac23 \\end{bmatrix}"),
    ("864 \\mbox{ inches}^2", "864"), ("5.4 \\text{ cents}", "5.4"), ("\\text{(C)}", "C"),
    ("(a+5)(b+2)", "(b+2)(a+5)"), ("p - q", "-q+p"), ("y = 2x + 3", "y=3+2x"), ("x \\in [-2,7]", "[-2,7]"),
    ("\\{1\\pm\\sqrt{5},-2\\}", "\\{-2, 1+\\sqrt5, 1-\\sqrt5\\}"), ("137 \\frac{1}{2}", "137.5"),
    ("5x - 7y + 4 = 0", "-5x+7y-4=0"), ("$f(x)=\\frac{1}{x}$", "\\frac1x"), ("k \\geqslant 2", "k\\ge 2"),
    ("6 - 5i", "-5i+6"), ("\\cot x", "\\frac{\\cos x}{\\sin x}"), ("18", "18\\text{ dollars}"),
    ("\\begin{pmatrix} 2 \\\\ 5 \\end{pmatrix}", "-\\begin{pmatrix} -2 \\\\ -5 \\end{pmatrix}"),
    ("4.5e33", "4.5 \\times 10^{33}"), ("-2.5e-3", "-0.0025"), ("\\frac{1}{15}", "0.066667"), ("0", "0.0"),
]  # fmt: skip
UNEQUAL = [
    ("x=5", "y=5"), ("(3,4]", "[3,4]"), ("52_8", "52_9"), ("\\text{Evelyn}", "Evelynn"), ("1,-2", "1"),
    ("1,-2", "1,-2,3"), ("1,-2", "1,1,-2"), ("(2,4)", "(4,2)"), ("\\text{(C)}", "(D)"), ("\\text{even}", "odd"),
    ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}"), ("2k", "2n"), ("5", "5i"), ("y = -2x", "y=2x"), ("k \\geqslant 2", "k>2"),
    ("90", "90\\pi"), ("\\frac{1}{3}", "0.33"), ("12", "1,2"), ("58,500", "58,501"), ("3", "3 or 4"),
    ("\\begin{pmatrix} -18 \\\\ -49 \\end{pmatrix}", "\\begin{pmatrix} -21 \\\\ -49 \\end{pmatrix}"),
    ("864 \\mbox{ inches}^2", "864 \\mbox{ inches}^3"), ("(-\\infty,0]", "0"), (".0000672", ".0000671"),
    ("1.6e-19", "1.7\\times 10^{-19}"), ("4.5e33", "4.5e32"),
    ("1e-8", "0"), ("0", "1e-9"), ("2,2", "2,3"),
]  # fmt: skip


def problem(*answers: str, **fields: Any) -> Problem:
    return Problem("p", "q", answers, **fields)


def test_equal_answers_are_right_and_others_wrong() -> None:
    pairs = [(gold, given, GradeOutcome.RIGHT) for gold, given in EQUAL]
    pairs += [(gold, gold, GradeOutcome.RIGHT) for gold, _ in EQUAL + UNEQUAL]
    pairs += [(gold, given, GradeOutcome.WRONG) for gold, given in UNEQUAL]
    grades = grade_math([problem(gold) for gold, _, _ in pairs], [f"so $\\boxed{{{given}}}$." for _, given, _ in pairs])
    odd = [(pair, grade) for pair, grade in zip(pairs, grades, strict=True) if grade.verdict is not pair[2]]
    assert odd == []


def test_several_answers_match_one_to_one_in_any_order() -> None:
    two = problem("$69$,$84$", several=True)
    texts = ["\\boxed{84} and \\boxed{69}", "\\boxed{69, 84}", "\\boxed{69}", "\\boxed{69,84,1}", "\\boxed{69,69}"]
    assert [grade.is_right for grade in grade_math([two] * 5, texts)] == [True, True, False, False, False]
    grouped = problem("2,500", "100", several=True)
    assert grade_math([problem("100,200", several=True)], ["\\boxed{200,100}"])[0].is_right
    assert not grade_math([grouped], ["\\boxed{2500,100}"])[0].is_right  # `several`: a comma separates


def test_a_tolerance_is_absolute_and_closed() -> None:
    texts = ["\\boxed{0.3}", "\\boxed{0.30001}", "\\boxed{3/10}"]
    grades = grade_math([problem("0.2", tolerance=0.1)] * 3, texts)
    assert [grade.is_right for grade in grades] == [True, False, True]
    assert not grade_math([problem("0.2")], ["\\boxed{0.3}"])[0].is_right


def test_the_last_box_counts_and_an_open_one_does_not() -> None:
    texts = ["\\boxed{1} no, \\boxed{2}", "\\boxed{2}\n\nCheck: \\boxed{1}", "\\boxed{2} then \\boxed{1", "2"]
    grades = grade_math([problem("2")] * 4, texts)
    assert [grade.is_right for grade in grades] == [True, False, True, False]
    assert grades[3] == Grade(GradeOutcome.WRONG, "no final answer in the text", None)
    assert grades[1].reason == "1 is not 2" and grades[1].answer == "1"


def test_answers_are_found_in_boxes_hashes_and_prose() -> None:
    assert last_box("a \\boxed{\\frac{1}{2}} b") == "\\frac{1}{2}" and last_box("\\boxed{1") is None
    assert [content for _, content in boxes("\\boxed{\\{1,2\\}} \\fbox{x} \\boxed 7$")] == ["\\{1,2\\}", "x", "7"]
    assert final_answers("work\n#### 1,234\n") == ["1,234"]
    assert final_answers("The final answer is $3.5$. Done") == ["$3.5$"]
    assert final_answers("nothing") == []


def test_choices_by_letter_or_by_words() -> None:
    three = Problem("p", "q", ("B",), ("iron", "neon", "A gas"))
    right = ["\\boxed{B}", "The answer is (B).", "\\boxed{\\text{B}}", "\\boxed{B. neon}", "\\boxed{neon}"]
    wrong = ["\\boxed{A}", "\\boxed{A or B}", "\\boxed{D}", "B", "", "\\boxed{A gas}"]
    grades = grade_choice([three] * 11, right + wrong)
    assert [grade.is_right for grade in grades] == [True] * 5 + [False] * 6
    assert choice_letter("\\boxed{A gas}", three.choices) == "C"


def test_an_unreadable_reference_fails_and_is_counted_apart() -> None:
    grades = grade_math(
        [problem("t(0,4]"), problem("t(0,4]"), problem(), problem("1")],
        ["\\boxed{5}", "\\boxed{t(0,4]}", "\\boxed{5}", "\\boxed{2}"],
    )
    assert [grade.verdict.value for grade in grades] == ["failed", "right", "failed", "wrong"]
    assert "cannot read the reference answer" in grades[0].reason
    assert count_grades(grades) == {"right": 1, "wrong": 1, "failed": 2}


def test_grading_works_from_a_thread() -> None:
    found: list[Grade] = []
    thread = threading.Thread(target=lambda: found.extend(grade_math([problem("1/2")], ["\\boxed{0.5}"])))
    thread.start()
    thread.join()
    assert found[0].is_right


def test_an_expression_that_hangs_fails_within_the_limit() -> None:
    began = time.monotonic()
    hard = "\\sum_{n=1}^{99999999} \\frac{1}{n^{n}} + 9^{9^{9^{9}}}"
    grades = grade_math([problem("1"), problem("2")], [f"\\boxed{{{hard}}}", "\\boxed{2}"], limit_s=1.0)
    assert grades[1].is_right
    assert grades[0].verdict is GradeOutcome.FAILED and grades[0].reason
    assert time.monotonic() - began < 20


# A stand-in worker: ready at once, then what each item asks for.
SCRIPTED = """
import json, sys, time
print("{}", flush=True)
for line in sys.stdin:
    do = json.loads(line)["do"]
    if do == "hang": time.sleep(60)
    if do == "die": sys.exit(3)
    if do == "garbage": print("[", flush=True); continue
    if do == "fields": print('{"verdict": "right"}', flush=True); continue
    print(json.dumps({"verdict": "right", "reason": do, "answer": None}), flush=True)
"""


def test_lost_workers_are_replaced_and_only_their_items_fail() -> None:
    pool = GradingPool(2, (sys.executable, "-c", SCRIPTED))
    asked = ["a", "hang", "b", "die", "garbage", "c", "fields", "d"]
    began = time.monotonic()
    answers = pool.run([{"do": do} for do in asked], 0.2)
    assert time.monotonic() - began < 15
    assert [a["reason"] for a in answers if a["verdict"] == "right"] == ["a", "b", "c", "d"]
    assert [a["reason"] for a in answers if a["verdict"] == "failed"] == [
        "no verdict within 0.2 s", "the grading process died", "the grading process answered garbage",
        "the grading process answered garbage",
    ]  # fmt: skip
    assert pool.run([{"do": "again"}], 0.2)[0]["reason"] == "again"
    pool.close()
    assert pool.run([{"do": "reopened"}], 0.2)[0]["reason"] == "reopened"
    pool.close()
    assert pool.run([], 0.2) == []


def test_a_worker_that_never_starts_ends_the_run_with_failures() -> None:
    pool = GradingPool(1, (sys.executable, "-c", "raise SystemExit(1)"))
    answers = pool.run([{}, {}], 1.0)
    assert [a["verdict"] for a in answers] == ["failed", "failed"]
    assert "is math-verify installed" in answers[0]["reason"]


def test_an_interrupted_run_leaves_no_worker_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = GradingPool(1, (sys.executable, "-c", SCRIPTED))
    pool.run([{"do": "a"}], 1.0)
    process = pool._workers[0].process

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grading_pool._Worker, "line", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.run([{"do": "hang"}], 60.0)
    assert process.poll() is not None


def test_grading_refuses_unequal_lists() -> None:
    with pytest.raises(InputError, match="1 problems and 0 texts"):
        grade_math([problem("1")], [])
    assert grading_pool.shared_pool(1) is grading_pool.shared_pool(1)


def test_the_check_of_a_file_lists_what_the_grader_cannot_judge(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "answer": "3/4", "solution": "so \\boxed{0.75}"},
        {"question": "b?", "answer": "t(0,4]"},
        {"question": "c?"},
        {"question": "d?", "choices": ["u", "v"], "answer": 0},
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = check_grading(f"jsonl:{path}")
    assert (found["problems"], found["without_answer"]) == (4, 1)
    reference, changed = found["reference"], found["changed"]
    assert (reference["texts"], reference["right"], reference["failed"]) == (7, 7, 0)
    assert (changed["texts"], changed["wrong"], changed["right"], changed["failed"]) == (7, 4, 0, 3)
    assert {odd["answer"] for odd in changed["unexpected"]} == {"t(0,4]"}
    done = subprocess.run(
        [sys.executable, "-m", "llm_check.models.grading.check_grader", "jsonl:absent"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "no file absent" in done.stderr


@pytest.mark.parametrize(
    ("text", "reading", "reference", "answer"),
    [
        ("8 + 10 = 18.", "last_number", "18", "18"),
        ("18", "last_number", "18", "18"),
        ("That makes 1,200 dollars.", "last_number", "1200", "1,200"),
        ("It falls to -4.5 degrees", "last_number", "-4.5", "-4.5"),
        ("We do not know.", "last_number", "18", None),
        ("No. Wait: yes, it is.", "last_number", "yes", "yes"),
        ("18 of them", "last_number", "yes", None),
        (" Paris.\n", "text", "Paris", "Paris."),
        ("  ", "text", "Paris", None),
        ("8 + 10 = 18.", "boxed", "18", None),
        ("so \\boxed{18}.", "boxed", "18", "18"),
    ],
)
def test_where_a_text_states_its_answer(text: str, reading: str, reference: str, answer: str | None) -> None:
    assert stated_answer(text, reading, reference) == answer


def test_rows_are_graded_by_the_reading_asked_for() -> None:
    problems = [Problem("a", "8 + 10?", ("18",), reading="last_number")] * 4
    texts = ["8 + 10 = 18.", "18", "8 + 10 = 19.", "I do not know."]
    grades = grade_rows(problems, texts)
    assert [grade.verdict for grade in grades] == ["right", "right", "wrong", "wrong"]
    assert [grade.answer for grade in grades] == ["18", "18", "19", None]
    assert grades[3].reason == "states no answer"
    assert [grade.verdict for grade in grade_rows(problems, texts, "boxed")] == ["wrong"] * 4
    text = [Problem("b", "Capital?", ("Paris",), reading="text")] * 3
    assert [g.verdict for g in grade_rows(text, [" paris. ", "It is Paris.", ""])] == ["right", "wrong", "wrong"]
