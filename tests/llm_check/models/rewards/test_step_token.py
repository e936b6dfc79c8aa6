"""Process reward models read at a step token, against the model card's recipe computed whole on text."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.prompting import prompt_ids
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.scored_once import RewardMemory
from llm_check.models.rewards.step_token import StepTokenReward
from llm_check.models.tasks.problem import Problem
from tests.llm_check.models.rewards.small_checkpoints import (
    build_tokenizer,
    full_forward,
    save_qwen_prm,
    save_skywork_prm,
)

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
POLICY = build_tokenizer(reverse=True)
SOLUTIONS = {
    "q1": ("What is 12+1?", ["so the sum, first.", "12 + 1 = 13", "the answer is \\boxed{13}"]),
    "q2": ("Name the product of 3 and 4.", ["3*4", "\\boxed{12}"]),
    "q3": ("Is 7 prime?", ["Yes: no divisor 2, 3, 5 so \\boxed{yes}. é"]),
}


def encode(text: str) -> tuple[int, ...]:
    return tuple(POLICY(text, add_special_tokens=False)["input_ids"])


def position(name: str, done: int) -> Position:
    question, steps = SOLUTIONS[name]
    problem = Problem(name, question, ("13",))
    prompt = Prompt(name, prompt_ids(POLICY, question, SYSTEM, "chat"), problem)
    return Position(prompt, tuple(encode(step + "\n\n") for step in steps[:done]))


def every_step() -> tuple[list[Position], list[tuple[int, ...]], list[tuple[str, list[str]]]]:
    """Positions, steps as a policy writes them (the last ends with eos), and the question and steps as text."""
    places, steps, texts = [], [], []
    for name, (question, parts) in SOLUTIONS.items():
        for i, part in enumerate(parts):
            last = i + 1 == len(parts)
            places.append(position(name, i))
            steps.append((*encode(part), POLICY.eos_token_id) if last else encode(part + "\n\n"))
            texts.append((question, parts[: i + 1]))
    return places, steps, texts


def qwen_card(question: str, steps: list[str], head: dict[str, torch.Tensor]) -> list[float]:
    """The rewards of all steps by the model card: one conversation as text, read at every <extra_0>."""
    tokenizer = build_tokenizer()
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False))["input_ids"]
    state = full_forward(ids, seed=0)
    state = torch.relu(state @ head["score.0.weight"].T + head["score.0.bias"])
    logits = state @ head["score.2.weight"].T + head["score.2.bias"]
    at = [i for i, token in enumerate(ids) if token == tokenizer.convert_tokens_to_ids("<extra_0>")]
    return torch.softmax(logits, dim=-1)[at, 1].tolist()


def skywork_script(question: str, steps: list[str], token: str, head: dict[str, torch.Tensor]) -> list[float]:
    """The rewards of all steps as the publisher's script prepares them: bos, question, line break, steps, token."""
    tokenizer = build_tokenizer()
    ids = tokenizer("<|endoftext|>" + question + "\n")["input_ids"]
    at = []
    for step in steps:
        ids += tokenizer(step)["input_ids"] + tokenizer(token)["input_ids"][-1:]
        at.append(len(ids) - 1)
    values = full_forward(ids, seed=1) @ head["v_head.summary.weight"].T + head["v_head.summary.bias"]
    return torch.sigmoid(values[at, 0]).tolist()


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> tuple[StepTokenReward, dict[str, torch.Tensor], Path]:
    folder, head = save_qwen_prm(tmp_path_factory.mktemp("prm") / "Qwen2.5-Math-PRM-Small")
    return load_reward(str(folder), POLICY), head, folder


@pytest.fixture(scope="module")
def skywork_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    return save_skywork_prm(tmp_path_factory.mktemp("prm") / "Skywork-PRM-Small")


def test_qwen_rewards_are_those_of_the_model_card(qwen: Any) -> None:
    model, head, _ = qwen
    places, steps, texts = every_step()
    expected = [qwen_card(question, parts, head)[-1] for question, parts in texts]
    rewards = model.score(places, steps)
    assert rewards.dtype == np.float64 and rewards.shape == (len(steps),)
    np.testing.assert_allclose(rewards, expected, atol=2e-6)
    assert np.ptp(expected) > 0.05  # the steps differ, so a reward read elsewhere would show
    assert (model.name, model.low, model.high) == ("Qwen2.5-Math-PRM-Small", 0.0, 1.0)
    assert model.settings["step_token"] == "<extra_0>"


@pytest.mark.parametrize("token", ["\n", "\n\n"])
def test_skywork_rewards_are_those_of_the_publishers_script(skywork_folder: Any, token: str) -> None:
    folder, head = skywork_folder
    escaped = token.replace("\n", "\\n")
    model = load_reward(f"skywork_prm:{folder}?step_token={escaped}", POLICY)
    places, steps, texts = every_step()
    expected = [skywork_script(question, parts, token, head)[-1] for question, parts in texts]
    np.testing.assert_allclose(model.score(places, steps), expected, atol=2e-6)
    assert model.settings["step_token"] == token
    other = [
        skywork_script(question, parts, "\n" if token == "\n\n" else "\n\n", head)[-1] for question, parts in texts
    ]
    assert np.abs(np.array(other) - expected).max() > 1e-3  # the setting matters


def test_folder_alone_names_the_kind_and_the_default_step_token(skywork_folder: Any) -> None:
    model = load_reward(str(skywork_folder[0]), POLICY)
    assert model.settings == {
        "architecture": "Qwen2ForPrmModel", "step_token": "\n", "step_token_id": POLICY_SIDE_LINE_BREAK,
        "dtype": "float32",
    }  # fmt: skip


POLICY_SIDE_LINE_BREAK = build_tokenizer()("\n")["input_ids"][0]


def test_rewards_do_not_depend_on_batch_order_cache_or_memory_bound(qwen: Any) -> None:
    model, _, folder = qwen
    places, steps, _ = every_step()
    together = model.score(places, steps)
    fresh = load_reward(str(folder), POLICY)
    alone = [fresh.score([place], [step])[0] for place, step in zip(places[::-1], steps[::-1], strict=True)][::-1]
    np.testing.assert_allclose(together, alone, atol=2e-6)
    bounded = replace(fresh, memory=RewardMemory(2))
    np.testing.assert_allclose(bounded.score(places, steps), together, atol=2e-6)
    assert len(bounded.memory.known) == 2
    again = model.score(places + places, steps + steps)
    assert again.tolist() == together.tolist() * 2  # remembered: equal to the last bit


def test_rewards_along_a_solution_are_those_of_each_step_alone(qwen: Any) -> None:
    _, head, folder = qwen
    walking = load_reward(str(folder), POLICY)  # keeps the encoded prefix from step to step
    question, parts = SOLUTIONS["q1"]
    rewards = [walking.score([position("q1", i)], [encode(part + "\n\n")])[0] for i, part in enumerate(parts)]
    np.testing.assert_allclose(rewards, qwen_card(question, parts, head), atol=2e-6)


def test_empty_last_steps_and_end_markers_change_nothing(qwen: Any) -> None:
    _, head, folder = qwen
    model = load_reward(str(folder), POLICY)
    place = position("q1", 1)
    bare = encode(SOLUTIONS["q1"][1][1])
    eos = POLICY.eos_token_id
    rewards = model.score([place] * 4, [bare, (*bare, eos), bare + encode("\n\n"), (*bare, *encode("\n\n"), eos)])
    assert len(set(rewards.tolist())) == 1
    empty = model.score([place.after(bare)] * 2, [(eos,), encode("\n\n")])
    np.testing.assert_allclose(empty, rewards[:2], rtol=1e-5)  # judged is the last step that says something
    nothing = model.score([position("q1", 0)], [(eos,)])
    np.testing.assert_allclose(nothing, qwen_card(SOLUTIONS["q1"][0], [""], head), atol=2e-6)


def test_a_solution_cannot_write_the_step_token(qwen: Any) -> None:
    model, _, _ = qwen
    pieces = model.pieces(position("q2", 0), POLICY("3<extra_0>4<|im_end|>5", split_special_tokens=True)["input_ids"])
    assert sum(piece.count(model.step_token_id) for piece in pieces) == 1
    assert model.tokenizer.decode(list(pieces[1][:-1])) == "3<extra_0>4<|im_end|>5"


def test_bad_input_is_named(qwen: Any, skywork_folder: Any, tmp_path: Path) -> None:
    model, _, folder = qwen
    place = position("q1", 0)
    with pytest.raises(InputError, match=r"1 positions and 2 steps"):
        model.score([place], [(1,), (2,)])
    with pytest.raises(InputError, match=r"empty step at step 0 of prompt q1"):
        model.score([place], [()])
    with pytest.raises(InputError, match=r"prompt p has no question text"):
        model.score([Position(Prompt("p", (1, 2)))], [(1,)])
    with pytest.raises(InputError, match=r"prompt q1 with its 1 steps has \d+ tokens.*context holds 512"):
        model.score([place], [encode("x" * 600)])
    with pytest.raises(InputError, match=r"step token 'ab' is 2 tokens"):
        load_reward(f"skywork_prm:{skywork_folder[0]}?step_token=ab", POLICY)
    with pytest.raises(InputError, match=r"holds Qwen2ForPrmModel, but qwen_prm needs"):
        load_reward(f"qwen_prm:{skywork_folder[0]}", POLICY)
    with pytest.raises(InputError, match=r"setting 'step' in .*step_token"):
        load_reward(f"skywork_prm:{skywork_folder[0]}?step=ab", POLICY)
    with pytest.raises(InputError, match=r"dtype 'int8'"):
        load_reward(str(folder), POLICY, dtype="int8")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("score.0.weight", lambda w: w[:, :-1], r"weight and bias of score\.0 have the shapes .* are needed"),
        ("score.2.weight", lambda w: w[:1], r"weight and bias of score\.2 have the shapes \(1, "),
        ("score.2.bias", lambda w: w[:1], r"score\.2 have the shapes .* and \(1,\), where"),
        ("score.2.bias", lambda w: w * float("nan"), r"NaN or infinite numbers in score\.2\.bias"),
        ("score.0.weight", lambda w: w.int(), r"holds score\.0\.weight as I32"),
    ],
)
def test_heads_that_do_not_fit_are_refused(qwen: Any, tmp_path: Path, name: str, change: Any, message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(qwen[2], copy)
    file = copy / json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"][name]
    tensors = load_file(file)
    save_file({**tensors, name: change(tensors[name]).contiguous()}, file, {"format": "pt"})
    with pytest.raises(InputError, match=message):
        load_reward(str(copy), POLICY)


@pytest.mark.parametrize(
    ("lost", "message"),
    [("score.2.bias", "have no tensor score.2.bias"), ("model.norm.weight", "lack norm.weight")],
)
def test_missing_weights_are_refused_not_drawn_at_random(qwen: Any, tmp_path: Path, lost: str, message: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in qwen[2].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    file = copy / index["weight_map"].pop(lost)
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({name: tensor for name, tensor in load_file(file).items() if name != lost}, file, {"format": "pt"})
    with pytest.raises(InputError, match=message):
        load_reward(str(copy), POLICY)


def test_a_reward_that_is_no_number_is_refused(qwen: Any) -> None:
    broken = load_reward(str(qwen[2]), POLICY)
    broken.head[1][1].fill_(torch.nan)
    with pytest.raises(InputError, match=r"gave nan for step 1 of prompt q2: .*\[0, 1\]"):
        broken.score([position("q2", 1)], [encode("12")])


def test_a_model_that_forgot_scores_as_one_freshly_loaded(qwen: Any) -> None:
    places, steps, _ = every_step()
    fresh, used = (load_reward(str(qwen[2]), POLICY) for _ in range(2))
    used.score(places[:3], steps[:3])
    used.forget()
    assert used.score(places[1:], steps[1:]).tolist() == fresh.score(places[1:], steps[1:]).tolist()


def test_bfloat16_is_close(qwen: Any) -> None:
    places, steps, _ = every_step()
    half = load_reward(str(qwen[2]), POLICY, dtype="bfloat16").score(places, steps)
    assert 0 < np.abs(half - qwen[0].score(places, steps)).max() < 0.1


def test_room_is_what_the_context_leaves_to_a_step(tmp_path: Path) -> None:
    folder, _ = save_qwen_prm(tmp_path / "prm")
    model: Any = load_reward(str(folder), POLICY)
    for name, (_, steps) in SOLUTIONS.items():
        for done in range(len(steps)):
            place = position(name, done)
            read = sum(map(len, model.pieces(place, encode("x"))))  # x and the step token: two
            assert model.room(place) == 512 - read + 1
    fits, place = model.room(position("q1", 1)), position("q1", 1)
    model.score([place], [encode("x" * fits)])
    with pytest.raises(InputError, match="has 513 tokens for the reward model prm, whose context holds 512"):
        model.score([place], [encode("x" * (fits + 1))])
