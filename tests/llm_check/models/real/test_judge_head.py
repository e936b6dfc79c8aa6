"""Drawn answers and their beginnings on the embedded world, and the table that a reward is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.real import drawn_answers
from llm_check.models.real.drawn_answers import DrawnAnswer, draw_answers, draw_tasks
from llm_check.models.real.judge_head import SHARES, judged, main
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.tasks.arithmetic import is_correct
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tiny import checkpoint_path

DRAFT = str(checkpoint_path("draft"))


def test_beginnings_keep_their_steps() -> None:
    answer = DrawnAnswer("t", Prompt("p", (1, 2)), ((5, 6), (7, 8, 9), (3,)), True)
    cuts = {share: answer.share(share) for share in (1.0, 0.9, 0.5, 0.25, 0.01)}
    expected = {
        1.0: (((5, 6), (7, 8, 9)), (3,)), 0.9: (((5, 6),), (7, 8, 9)), 0.5: (((5, 6),), (7,)), 0.25: ((), (5,)),
        0.01: ((), (5,)),
    }  # fmt: skip
    assert {share: (place.path, step) for share, (place, step) in cuts.items()} == expected


def test_answers_are_whole_graded_and_each_of_its_own_stream() -> None:
    task, engine = load_task("arithmetic", limit=5, seed=3), load_engine(DRAFT)
    rule = parse_step_rule(task.step_spec, engine.tokenizer, task.max_tokens)
    prompts = task.prompts(engine.tokenizer)
    drawn = draw_answers(engine, task, prompts, 20, rule, 7)
    assert [answer.prompt for answer in drawn] == [prompt for prompt in prompts for _ in range(20)]
    for answer in drawn:
        ids = [token for step in answer.steps for token in step]
        assert all(rule.cut(step)[0] == step for step in answer.steps)
        ended = [step[-1] in rule.eos_ids for step in answer.steps]
        assert not any(ended[:-1]) and (ended[-1] or len(answer.steps) == task.max_steps)
        assert answer.right == is_correct(answer.prompt.problem, plain_text(engine.tokenizer, ids))
    assert 0 < sum(answer.right for answer in drawn) < len(drawn)
    assert len({answer.steps for answer in drawn if answer.prompt is prompts[0]}) > 3
    alone = draw_answers(engine, task, prompts[2:3], 20, rule, 7)
    assert alone == drawn[40:60]


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_answers, "_PROBLEMS", 2)
    monkeypatch.setattr(drawn_answers, "_ANSWERS", 8)
    tasks = [load_task("arithmetic", limit=5, seed=3)]
    whole = draw_tasks(DRAFT, tasks, 4, 0, Journal(None, {}), "float32")
    draw, calls = drawn_answers.draw_answers, []

    def dies(*arguments: object) -> list[DrawnAnswer]:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(drawn_answers, "draw_answers", dies)
    with pytest.raises(KeyboardInterrupt):
        draw_tasks(DRAFT, tasks, 4, 0, Journal(tmp_path / "j", {}), "float32")
    again = draw_tasks(DRAFT, tasks, 4, 0, Journal(tmp_path / "j", {}), "float32")
    assert again == whole and len(calls) == 4 and len(whole) == 20


def test_a_reward_is_judged_task_by_task() -> None:
    engine = load_engine(DRAFT)
    tasks = [load_task("arithmetic", limit=4, seed=3)]
    answers = draw_tasks(DRAFT, tasks, 12, 1, Journal(None, {}), "float32")
    answers += [replace(answer, task="again") for answer in answers[:24]]
    oracle = load_reward("verifiable", engine.tokenizer)
    table = judged(oracle, answers, (1, 4, 12))
    assert list(table) == ["arithmetic", "again", "all"]
    own = table["arithmetic"]
    assert list(own["ranking"]) == [f"{share:g}" for share in SHARES]
    assert own["ranking"]["1"]["within"] == own["ranking"]["1"]["overall"] == 1.0  # the truth ranks without fault
    assert own["ranking"]["0.25"]["overall"] < 1.0  # and cannot judge what says nothing yet
    assert own["best_of_n"]["accuracy"].tolist() == own["best_of_n"]["oracle"].tolist()
    assert own["best_of_n"]["accuracy"][0] == pytest.approx(own["accuracy"], abs=1e-12)
    assert own["ranking"]["1"]["answers"] == 48 and table["again"]["ranking"]["1"]["answers"] == 24
    assert np.isfinite(own["best_of_n"]["change_error"]).all()


def test_numbers_out_of_range() -> None:
    with pytest.raises(InputError, match="1 problems, 60 answers: give at least 2 and 4"):
        main(["--problems", "1"])
