"""A head on the states of a small random base, against whole forwards of transformers; heads that will not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.rewards import state_head
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.state_head import StateHeadReward, load_state_head, write_head
from tests.llm_check.models.rewards.small_checkpoints import build_tokenizer

LAYER = 2
TOKENIZER = build_tokenizer()
END = TOKENIZER.eos_token_id


def save_base(folder: Path, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=267, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=96, initializer_range=0.3, eos_token_id=END,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():  # a norm of ones would hide one that is forgotten
        model.model.norm.weight.add_(0.3 * torch.randn(32))
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, LlamaForCausalLM, np.ndarray]:
    """The base's folder, a head's, the base itself, and (w, b) of the head."""
    place = tmp_path_factory.mktemp("head")
    base = save_base(place / "base", 3)
    numbers = np.random.default_rng(1).normal(size=66) * 0.3
    record = {"base": "a small one", "layer": LAYER}
    write_head(place / "head", numbers[:-1], float(numbers[-1]), place / "base", record)
    return place / "base", place / "head", base, numbers.astype(np.float32).astype(float)


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"])


PROMPTS = [Prompt("a", ids("What is 2 + 5?\n")), Prompt("b", ids("And 3*4, the product?\n"))]
# (prompt, steps before, step judged); the same text ended and cut, an answer of nothing, one that goes on after another
ANSWERS: list[tuple[int, list[tuple[int, ...]], tuple[int, ...]]] = [
    (0, [], ids("2 + 5 = 7.")),
    (0, [], (*ids("2 + 5 = 7."), END)),
    (1, [], ids("2 + 5 = 7.")),
    (0, [ids("2 + 5\n\n")], ids("= 7")),
    (0, [ids("2 +"), ids(" 5\n\n")], (*ids("= 8, the sum"), END)),
    (1, [], (END,)),
    (1, [], ids("1")),
]


def pairs() -> tuple[list[Position], list[tuple[int, ...]]]:
    return [Position(PROMPTS[p], tuple(path)) for p, path, _ in ANSWERS], [step for _, _, step in ANSWERS]


def plain_reward(base: LlamaForCausalLM, numbers: np.ndarray, p: int, path: list[Any], step: tuple[int, ...]) -> float:
    """By transformers alone: the state after layer 2, normed as the last is, of one whole sequence."""
    answer = [token for part in (*path, step) for token in part]
    ended = float(answer[-1] == END)
    answer = answer[:-1] if ended else answer
    row = torch.tensor([[*PROMPTS[p].ids, *answer, END]])
    with torch.no_grad():
        states = base.model.norm(base(row, output_hidden_states=True).hidden_states[LAYER])[0, len(PROMPTS[p].ids) :]
    seen = torch.cat([states[-1], states.mean(dim=0), torch.tensor([ended])]).double().numpy()
    return float(1.0 / (1.0 + np.exp(-(seen @ numbers[:-1] + numbers[-1]))))


@pytest.mark.parametrize("memory", [1 << 13, 1])
def test_rewards_are_those_of_whole_forwards(world: Any, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base_folder, head_folder, base, numbers = world
    monkeypatch.setattr(state_head, "_PROMPT_TOKENS", memory)
    model = load_reward(f"head:{head_folder}?base={base_folder}", TOKENIZER)
    assert isinstance(model, StateHeadReward) and (model.name, model.low, model.high) == ("head", 0.0, 1.0)
    expected = [plain_reward(base, numbers, *answer) for answer in ANSWERS]
    places, steps = pairs()
    found = model.score(places, steps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert np.ptp(expected) > 0.2 and len(set(np.round(expected, 4))) == len(expected)
    order = [3, 6, 0, 2, 5, 1, 4]
    assert model.score([places[i] for i in order], [steps[i] for i in order]).tolist() == found[order].tolist()
    model.forget()
    assert model.score(places, steps).tolist() == found.tolist()


def test_prompts_are_encoded_once(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_check.models.engines import step_encoder

    model = load_reward(f"head:{world[1]}?base={world[0]}", TOKENIZER)
    pending: list[int] = []
    encode = step_encoder.encode

    def counted(cache: Any, *rest: Any, **named: Any) -> Any:
        pending.append(cache.pending.size)
        return encode(cache, *rest, **named)

    monkeypatch.setattr(step_encoder, "encode", counted)
    place = Position(PROMPTS[0])
    model.score([place] * 2, [ids("2 + 5"), ids("7")])
    model.score([place.after(ids("2 + 5"))] * 2, [ids("= 7"), ids("= 8")])
    assert pending == [len(PROMPTS[0].ids), 0]


def test_bfloat16_is_the_same_reward_but_for_rounding(world: Any) -> None:
    base_folder, head_folder, base, numbers = world
    model = load_reward(f"head:{head_folder}?base={base_folder}", TOKENIZER, dtype="bfloat16")
    expected = [plain_reward(base, numbers, *answer) for answer in ANSWERS]
    np.testing.assert_allclose(model.score(*pairs()), expected, rtol=0, atol=0.1)


def test_another_base_is_refused_by_its_name(world: Any, tmp_path: Path) -> None:
    save_base(tmp_path / "other", 4)
    with pytest.raises(InputError, match=r"trained on the states of a small one.*other holds others"):
        load_reward(f"head:{world[1]}?base={tmp_path / 'other'}", TOKENIZER)
    with pytest.raises(InputError, match="no model folder at a small one"):
        load_reward(f"head:{world[1]}", TOKENIZER)
    with pytest.raises(InputError, match="write learned alone"):
        load_reward("learned:there", TOKENIZER)


def test_another_vocabulary_is_refused(world: Any) -> None:
    with pytest.raises(InputError, match="reads the policies' token ids"):
        load_reward(f"head:{world[1]}?base={world[0]}", build_tokenizer(reverse=True))


def test_an_answer_beyond_the_context_is_refused(world: Any) -> None:
    model = load_reward(f"head:{world[1]}?base={world[0]}", TOKENIZER)
    with pytest.raises(InputError, match=r"prompt a with its 1 steps has 104 tokens .* context holds 96"):
        model.score([Position(PROMPTS[0])], [ids("7") * (103 - len(PROMPTS[0].ids))])


def _spoiled(folder: Path, **changes: Any) -> None:
    record = json.loads((folder / "head.json").read_text())
    (folder / "head.json").write_text(json.dumps({**record, **changes}))


def _other_weights(folder: Path, weight: torch.Tensor, bias: torch.Tensor) -> None:
    save_file({"weight": weight, "bias": bias}, folder / "model.safetensors")
    _spoiled(folder, weights_sha256=state_head.weights_hash(folder))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "head.json").unlink(), "has no head.json"),
        (lambda f: (f / "head.json").write_text("{"), "is not JSON"),
        (lambda f: _spoiled(f, layer=None), "tells layer = None"),
        (lambda f: _spoiled(f, layer=True), "tells layer = True"),
        (lambda f: _spoiled(f, layer=5), "has 4 layers: no state can be read after layer 5"),
        (lambda f: _spoiled(f, layer=0), "no state can be read after layer 0"),
        (lambda f: _spoiled(f, base_sha256=3), "tells base_sha256 = 3"),
        (lambda f: (f / "model.safetensors").unlink(), "are not those that its head.json was written for"),
        (lambda f: save_file({"weight": torch.ones(65)}, f / "model.safetensors"), "are not those that its head.json"),
        (lambda f: _other_weights(f, torch.ones(64), torch.ones(1)), r"shapes \(64,\) and \(1,\), where \(65,\)"),
        (lambda f: _other_weights(f, torch.ones(65) * torch.nan, torch.ones(1)), "NaN or infinite numbers in weight"),
    ],
)
def test_heads_that_will_not_do(world: Any, tmp_path: Path, spoil: Any, message: str) -> None:
    shutil.copytree(world[1], tmp_path / "head")
    spoil(tmp_path / "head")
    with pytest.raises(InputError, match=message):
        load_state_head(tmp_path / "head", TOKENIZER, "cpu", "float32", base=str(world[0]))
