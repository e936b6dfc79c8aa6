"""The head that ships: what it is made of, and, with the real base, what it reads and how well it ranks."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal
from llm_check.models.decoding.positions import Position
from llm_check.models.engines.checkpoint import load_tokenizer
from llm_check.models.real.drawn_answers import draw_tasks
from llm_check.models.real.judge_head import judged
from llm_check.models.real.model_cache import REAL_MODELS
from llm_check.models.real.train_head import BASE, RECIPE
from llm_check.models.rewards.checkpoints import read_weights
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import RewardModel
from llm_check.models.rewards.state_head import SHIPPED, base_folder, read_head
from llm_check.models.tasks.load_task import load_task


def test_the_files_say_how_they_were_made() -> None:
    record = read_head(SHIPPED)
    assert record["base_sha256"] == REAL_MODELS[BASE].tensors_sha256
    assert record["command"] == "python -m llm_check.models.real.train_head --seed 0" and record["seed"] == 0
    made = {key: record[key] for key in asdict(RECIPE)}
    assert json.loads(json.dumps(asdict(RECIPE))) == made
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 1_000_000
    weights = read_weights(SHIPPED, ["weight", "bias"])
    assert weights["weight"].shape == (2 * 576 + 1,) and weights["bias"].shape == (1,)


def test_the_stated_numbers_are_of_these_weights() -> None:
    stated = json.loads((SHIPPED / "judged.json").read_text())
    assert stated["reward"]["weights_sha256"] == read_head(SHIPPED)["weights_sha256"]
    assert stated["tasks"]["all"]["ranking"]["1"]["problems"] >= 40 and stated["answers"] == 60


@pytest.fixture(scope="module")
def learned() -> RewardModel:
    return load_reward("learned", load_tokenizer(base_folder(BASE)))


@pytest.mark.real
@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-3), ("bfloat16", 0.15)])
def test_it_reads_the_states_of_the_base(dtype: str, close: float) -> None:
    from transformers import LlamaForCausalLM

    folder = base_folder(BASE)
    tokenizer = load_tokenizer(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    weights = read_weights(SHIPPED, ["weight", "bias"])
    end, expected, places, steps = tokenizer.eos_token_id, [], [], []
    for prompt in load_task("sums", limit=3, seed=5).prompts(tokenizer):
        for text, ended in (("2 + 5 = 7. The answer is 7.", True), ("2 + 5", False), ("9", True)):
            answer = tokenizer(text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                states = model(torch.tensor([[*prompt.ids, *answer, end]]), output_hidden_states=True).hidden_states[20]
                states = model.model.norm(states)[0, len(prompt.ids) :]
            seen = torch.cat([states[-1], states.mean(dim=0), torch.tensor([float(ended)])])
            expected.append(float((seen @ weights["weight"] + weights["bias"]).sigmoid()))
            places.append(Position(prompt))
            steps.append((*answer, end) if ended else tuple(answer))
    found = load_reward("learned", tokenizer, dtype=dtype).score(places, steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=close)


@pytest.mark.real
def test_it_ranks_fresh_answers_to_problems_it_never_saw(learned: RewardModel) -> None:
    tasks = [load_task(name, limit=16, seed=77) for name in ("sums", "word_problems")]
    answers = draw_tasks(BASE, tasks, 16, 77, Journal(None, {}), "float32")
    table = judged(learned, answers, (1, 4))["all"]["ranking"]
    whole, half = table["1"], table["0.5"]
    assert whole["mixed"] >= 16
    assert whole["within"] - 2.0 * whole["within_error"] > 0.62, whole
    assert whole["overall"] - 2.0 * whole["overall_error"] > 0.7, whole
    assert half["within"] - 2.0 * half["within_error"] > 0.55, half


@pytest.mark.real
def test_a_draft_is_not_its_base() -> None:
    tokenizer = load_tokenizer(base_folder(BASE))
    with pytest.raises(InputError, match="base 'smollm2:medium' of a head: give smollm2"):
        load_reward(f"head:{SHIPPED}?base=smollm2:medium", tokenizer)
