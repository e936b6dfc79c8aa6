"""Tasks written from a seed: splits, answers, grading, the graded reward, and prompts with answered turns."""

from __future__ import annotations

import re

import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.prompting import prompt_ids, template_record
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.tasks.load_task import WRITTEN, load_task
from llm_check.models.tasks.problem import Problem
from llm_check.models.tasks.short_answers import answers_in, graded_reward
from llm_check.models.world import load_world
from tests.llm_check.models.rewards.small_checkpoints import build_tokenizer


def solved(question: str) -> str:
    """The answer of a question, by reading it: no code of the tasks."""
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    if "+" in question:
        return str(sum(numbers))
    times = [k for word, k in (("three", 3), ("four", 4), ("five", 5)) if f"{word} times" in question]
    if times:
        return str(numbers[0] + times[0] * numbers[1])
    if "larger" in question:
        return "yes" if numbers[0] > numbers[1] else "no"
    signs = [-1 if verb == "loses" else 1 for verb in re.findall(r"has (?=\d)|buys|finds|loses", question)]
    return str(sum(sign * n for sign, n in zip(signs, numbers, strict=True)))


@pytest.mark.parametrize("name", WRITTEN)
def test_problems_are_distinct_disjoint_by_split_and_answered_rightly(name: str) -> None:
    tests, trains = (load_task(f"{name}:{split}", limit=400, seed=3).problems for split in ("test", "train"))
    questions = {problem.question for problem in (*tests, *trains)}
    assert len(questions) == 800 and len({problem.problem_id for problem in (*tests, *trains)}) == 800
    assert load_task(name, limit=40, seed=3).problems == tests[:40]
    assert load_task(name, limit=40, seed=4).problems != tests[:40]
    others = {p.question for p in load_task(f"{name}:train", limit=400, seed=8).problems}
    assert not others & {problem.question for problem in tests}  # whatever the seed
    for problem in tests:
        assert problem.values[-1] == problem.answer
        assert len(problem.values) in ((4, 5, 6) if name == "repeated_sums" else (1,))
        if name != "facts" or "larger" in problem.question:
            assert solved(problem.question) == problem.answer, problem.question
            assert problem.answer in ("yes", "no") or int(problem.answer) >= 1
    if name == "facts":
        assert 0.4 < sum(problem.answer == "yes" for problem in tests) / 400 < 0.6


@pytest.mark.parametrize("name", WRITTEN)
def test_answered_turns_are_right_by_the_tasks_own_grader_and_are_no_problems(name: str) -> None:
    task = load_task(name, limit=400)
    for question, answer in task.turns:
        expected = solved(question) if name != "facts" else answer.strip(".").lower()
        grade = task.grade([Problem("x", question, (expected,))], [answer])[0]
        assert grade.is_right and question not in {problem.question for problem in task.problems}
        assert len(answer.splitlines()) in {len(problem.values) for problem in task.problems}


def test_more_problems_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match=r"100000 problems of task sums:test: it has \d+, ask for fewer"):
        load_task("sums", limit=100_000)
    with pytest.raises(InputError, match="split 'dev' of task facts: use one of train, test"):
        load_task("facts:dev")


ANSWERS = {
    ("8 + 10 = 18.", "18"): ["8", "10", "18"],
    ("18", "18"): ["18"],
    ("The answer is 1,018.0 (or −3)", "9"): ["1018", "-3"],
    ("8-5=3", "3"): ["8", "5", "3"],
    ("Yes. No, 5", "no"): ["yes", "no"],
    ("yesterday, nothing", "yes"): [],
    ("none", "4"): [],
}


@pytest.mark.parametrize(("text", "reference"), ANSWERS)
def test_answers_are_read_from_words(text: str, reference: str) -> None:
    assert answers_in(text, reference) == ANSWERS[text, reference]


def test_graded_reward_and_grades() -> None:
    words = " ".join(["word"] * 9)
    known = {
        "8 + 10 = 18.": 1.0, "18 it is, not 17": 0.6, "19": 0.3, "": 0.0, "who knows": 0.0,
        f"{words} 18": 1.0, f"{words} or 18": 1.0 - 0.004, " ".join(["18"] * 260): 0.0,
    }  # fmt: skip
    for text, value in known.items():
        assert graded_reward(text, ["18"]) == pytest.approx(value, abs=1e-12), text
    task = load_task("sums", limit=1)
    problem = Problem("p", "What is 8 + 10?", ("18",), values=("18",))
    grades = task.grade([problem] * 3, ["8 + 10 = 18.", "18, no: 19", "what?"])
    assert [(g.verdict.value, g.answer) for g in grades] == [("right", "18"), ("wrong", "19"), ("wrong", None)]
    assert grades[1].reason == "19 is not 18"
    with pytest.raises(InputError, match="1 problems and 2 texts"):
        task.grade([problem], ["a", "b"])


def test_graded_is_a_reward_by_name_and_judges_a_step_by_what_it_should_come_to() -> None:
    tokenizer = build_tokenizer()
    reward = load_reward("graded", tokenizer)
    assert (reward.name, reward.low, reward.high) == ("graded", 0.0, 1.0)
    problem = Problem("p", "q", ("13",), values=("9", "15", "13", "13"))
    place = Position(Prompt("p", (1,), problem))
    encoded = {text: tuple(tokenizer(text)["input_ids"]) for text in ("9", "15", "13", "4")}
    after = place.after(encoded["9"])

    def value(at: Position, text: str) -> float:
        return float(reward.score([at], [encoded[text]])[0])

    assert [value(place, text) for text in encoded] == [1.0, 0.3, 1.0, 0.3]
    assert [value(after, text) for text in encoded] == [0.3, 1.0, 1.0, 0.3]
    with pytest.raises(InputError, match="write graded alone"):
        load_reward("graded:x", tokenizer)
    with pytest.raises(InputError, match="prompt q has no reference answer"):
        reward.score([Position(Prompt("q", (1,)))], [encoded["9"]])


def test_answered_turns_stand_before_the_question_and_are_recorded() -> None:
    chat, turns = build_tokenizer(), (("1+1?", "2"),)
    assert chat.decode(list(prompt_ids(chat, "2+2?", "", "chat", turns))) == (
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chat.decode(list(prompt_ids(chat, "2+2?", "", "plain", turns))) == "1+1?\n\n2\n\n2+2?\n\n"
    assert template_record(chat, "", "chat", turns)["turns"] == [["1+1?", "2"]]
    assert "turns" not in template_record(chat, "", "chat")


def test_a_model_that_cannot_write_the_questions_is_refused_whatever_the_template() -> None:
    for template in (None, "plain", "bare"):
        world = load_world(task="sums", template=template, limit=2)
        with pytest.raises(InputError, match=r"cannot write 'How much is .*give a model that reads this task"):
            world.prompts()
