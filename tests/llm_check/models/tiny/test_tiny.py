"""The embedded world as shipped: it loads, it fits, and its three models are what the README of the task promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.rewards.token_classifier import ProcessRewardModel, checker_reward
from llm_check.models.tasks.arithmetic import check_step, is_correct, make_problems, parse_problem
from llm_check.models.tiny import CHECKPOINTS, STEP_MAX_TOKENS, checkpoint_path, step_delimiter
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID, PAD_ID, VOCABULARY, build_tokenizer
from llm_check.models.tiny.train import RECIPES, Corpus, initial_model, save_checkpoint, train_policy
from llm_check.models.tiny.train_prm import sample_solutions, solution_text

MEGABYTE = 1_000_000
PROBLEMS = 200


def load(name: str) -> Qwen3ForCausalLM:
    return AutoModelForCausalLM.from_pretrained(checkpoint_path(name), use_safetensors=True).eval()


@pytest.fixture(scope="module")
def draft() -> Qwen3ForCausalLM:
    return load("draft")


@pytest.fixture(scope="module")
def base() -> Qwen3ForCausalLM:
    return load("base")


@pytest.fixture(scope="module")
def prm() -> ProcessRewardModel:
    return ProcessRewardModel.from_pretrained(checkpoint_path("prm"))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_tokenizer_of_every_checkpoint_is_the_closed_vocabulary(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_path(name))
    assert tokenizer.get_vocab() == {token: index for index, token in enumerate(VOCABULARY)}
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD_ID, EOS_ID)
    rng = np.random.default_rng(0)
    for length in range(1, 40):
        ids = rng.integers(0, len(VOCABULARY), length).tolist()
        text = "".join(VOCABULARY[index] for index in ids)
        assert tokenizer.decode(ids) == text
        assert tokenizer(text)["input_ids"] == ids


def test_tokenizer_knows_the_task_and_nothing_else() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer("48-5\n\n\\boxed{40}")["input_ids"] == [5, 9, 12, 6, BLANK_ID, 14, 5, 1, EOS_ID]
    for text in ("4 8", "x", "\n", "boxed"):
        with pytest.raises(Exception, match="Missing \\[UNK\\]"):
            tokenizer(text)


def test_checkpoints_are_small_and_hold_no_clock_and_no_path() -> None:
    files = [file for name in CHECKPOINTS for file in checkpoint_path(name).iterdir()]
    assert sum(file.stat().st_size for file in files) <= 3 * MEGABYTE
    for name in CHECKPOINTS:
        record = json.loads((checkpoint_path(name) / "training.json").read_text(encoding="utf-8"))
        assert record["command"] == f"python -m llm_check.models.tiny.train --seed {record['seed']}"
        assert record["steps"] > 0
        assert not [value for value in record.values() if isinstance(value, str) and "/" in value]
    assert {name: json.loads((checkpoint_path(name) / "training.json").read_text())["steps"] for name in RECIPES} == {
        name: recipe.steps for name, recipe in RECIPES.items()
    }


def test_other_names_are_refused() -> None:
    assert step_delimiter() == "\n\n"
    with pytest.raises(InputError, match="checkpoint 'target'"):
        checkpoint_path("target")


def test_base_is_clearly_better_than_the_draft_and_neither_is_perfect(
    draft: Qwen3ForCausalLM, base: Qwen3ForCausalLM
) -> None:
    problems = make_problems(PROBLEMS, 101, "test")
    share = {}
    for name, model, stream in (("draft", draft, 1), ("base", base, 2)):
        solutions = sample_solutions(model, problems, np.random.default_rng([101, stream]))
        assert all(0 < len(step) <= STEP_MAX_TOKENS for steps in solutions for step in steps)
        texts = [solution_text(steps) for steps in solutions]
        share[name] = float(np.mean([is_correct(p, text) for p, text in zip(problems, texts, strict=True)]))
    assert 0 < share["draft"] < 1 and 0 < share["base"] < 1
    error = np.sqrt(sum(s * (1 - s) / PROBLEMS for s in share.values()))
    assert share["base"] - share["draft"] > 3 * error


def test_process_rewards_are_informative_and_imperfect(draft: Qwen3ForCausalLM, prm: ProcessRewardModel) -> None:
    problems = make_problems(PROBLEMS, 202, "test")
    solutions = sample_solutions(draft, problems, np.random.default_rng([202, 1]))
    places: list[Position] = []
    steps: list[list[int]] = []
    right: list[bool] = []
    for problem, solution in zip(problems, solutions, strict=True):
        place = Position(Prompt(problem.problem_id, encode_text(prm.tokenizer, problem.prompt), problem))
        for index, step in enumerate(solution):
            places.append(place)
            steps.append(step)
            right.append(check_step(problem, index, solution_text([step])))
            place = place.after(tuple(step))
    rewards = prm.score(places, steps)
    assert rewards.dtype == np.float64 and rewards.shape == (len(steps),)
    assert prm.low <= rewards.min() and rewards.max() <= prm.high
    good, bad = rewards[np.array(right)], rewards[~np.array(right)]
    wins = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
    assert 0.8 < wins < 1
    # A proxy that only says yes or no would make every tilt trivial: some rewards lie well inside (0, 1).
    assert ((rewards > 0.1) & (rewards < 0.9)).mean() > 0.05


def at(prefix: list[int]) -> Position:
    return Position(Prompt("", tuple(prefix)))


def test_scores_do_not_depend_on_the_batch_and_are_remembered(prm: ProcessRewardModel) -> None:
    rng = np.random.default_rng(7)
    pairs = [(rng.integers(1, 16, rng.integers(1, 30)).tolist(), rng.integers(0, 16, 4).tolist()) for _ in range(40)]
    together = prm.score([at(prefix) for prefix, _ in pairs], [step for _, step in pairs])
    with torch.inference_mode():
        for (prefix, step), reward in zip(pairs, together, strict=True):
            logits = prm.model(input_ids=torch.tensor([prefix + step])).logits[0, -1].double()
            # float32 logits of order 10 after 3 layers: 1e-4 leaves a factor of ten above their rounding.
            assert abs(float(logits.softmax(dim=-1)[1]) - reward) < 1e-4
    twice = prm.score([at(pairs[0][0])] * 3 + [at(pairs[1][0])], [pairs[0][1]] * 3 + [pairs[1][1]])
    assert twice.tolist() == [together[0]] * 3 + [together[1]]
    assert prm.score([], []).shape == (0,)


def test_bad_pairs_are_refused(prm: ProcessRewardModel) -> None:
    for prefixes, steps, message in (
        ([[1]], [], "1 positions and 0 steps"),
        ([[1]], [[]], "neither may be empty"),
        ([[1]], [[16]], "ids in 0..15"),
        ([[1]], [[2, -1]], "ids in 0..15"),
    ):
        with pytest.raises(InputError, match=message):
            prm.score([at(prefix) for prefix in prefixes], steps)


def test_folders_that_hold_no_reward_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        ProcessRewardModel.from_pretrained(tmp_path / "absent")
    with pytest.raises(InputError, match="has no config"):
        ProcessRewardModel.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="Qwen3ForCausalLM"):
        ProcessRewardModel.from_pretrained(checkpoint_path("base"))
    (tmp_path / "config.json").write_bytes((checkpoint_path("prm") / "config.json").read_bytes())
    with pytest.raises(InputError, match="safetensors"):
        ProcessRewardModel.from_pretrained(tmp_path)


def test_checker_reward_is_the_checker() -> None:
    rewards = checker_reward(parse_problem("48-5-7+4"), 0, ["43\n\n", "4", "\\boxed{40}"])
    assert rewards.dtype == np.float64 and rewards.tolist() == [1.0, 0.0, 1.0]


def test_training_texts_carry_the_mistakes_they_promise() -> None:
    corpus = Corpus(make_problems(300, 0, "train"))
    size, wrong = 4000, 0.12
    ids, labels = corpus.batch(size, wrong, np.random.default_rng(1))
    again, _ = corpus.batch(size, wrong, np.random.default_rng(1))
    assert torch.equal(ids, again)
    scored = labels != -100
    assert torch.equal(ids[scored], labels[scored])
    assert not scored[:, 0].any() and scored.any(dim=1).all()
    texts = ["".join(VOCABULARY[i] for i in row if i != PAD_ID).split("\n\n") for row in ids.tolist()]
    first_right = np.array([parts[1] == str(parse_problem(parts[0]).values[0]) for parts in texts])
    # A first step is right unless it slipped (a uniform slip may hit the value, a clipped one may too) or holds one
    # of at most 3 typos, of which a fifteenth changes nothing: between these two shares, up to 4 standard errors.
    error = 4 * np.sqrt(wrong * (1 - wrong) / size)
    assert 1 - wrong - 3 * 0.004 - error < first_right.mean() < 1 - wrong * 0.9 + error


def test_two_training_steps_repeat_and_save_whole_folders(tmp_path: Path) -> None:
    first, second = (train_policy("draft", 4, steps=2) for _ in range(2))
    untrained = initial_model(RECIPES["draft"], 4)
    for a, b, c in zip(first.parameters(), second.parameters(), untrained.parameters(), strict=True):
        # AdamW moves a weight by at most the learning rate a step; equal streams leave only rounding, amplified.
        assert torch.allclose(a, b, rtol=0, atol=1e-5)
        assert a.shape == c.shape
    save_checkpoint(tmp_path / "draft", first, {"seed": 4})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["draft"]
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "draft")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), reloaded.parameters(), strict=True))


def test_the_task_and_the_paths_need_no_torch() -> None:
    code = "import sys, llm_check.models.tiny, llm_check.models.tasks.arithmetic; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
