"""A damaged checkpoint is refused in one line, or loads and computes finite numbers: never another exception, and never
a weight drawn at random."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import gsi_theory.arrays.memory
from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.model_options import quiet_engines
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.tiny import CHECKPOINTS, checkpoint_path
from tests.llm_check.models.engines.checkpoint_mutants import MUTATIONS, copy_of

ROUNDS = 5


@pytest.fixture(scope="module")
def base() -> Engine:
    quiet_engines()
    return load_engine(checkpoint_path("base"))


def numbers_of(role: str, folder: Path, base: Engine) -> Any:
    """What a checkpoint computes: a reward, or the law of a next token, draws, and their log-probabilities."""
    prompt = encode_text(base.tokenizer, "48-5-7+4\n\n")
    if role == "prm":
        step = encode_text(base.tokenizer, "43\n\n")
        return load_reward(str(folder), base.tokenizer).score([Position(Prompt("p", prompt))], [list(step)])
    engine: Any = load_engine(folder)
    require_pair(engine, base)
    rule = parse_step_rule("delimiter:\\n\\n", engine.tokenizer, 4)
    cache = engine.prefill([prompt])
    drawn = engine.sample(cache, 2, [PositionStream(0, "p", 0, 1)], rule)
    return np.concatenate([engine.log_probs(cache).ravel(), engine.score(cache, drawn.tokens).ravel()])


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_mutants_load_or_are_refused_in_one_line(mutation: Any, base: Engine, tmp_path: Path) -> None:
    for number in range(ROUNDS * len(CHECKPOINTS)):
        role = CHECKPOINTS[number % len(CHECKPOINTS)]
        folder = copy_of(checkpoint_path(role), tmp_path / role)
        what = f"{role}, {number}: {mutation(folder, np.random.default_rng([15, number]))}"
        torch.manual_seed(number)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                values = numbers_of(role, folder, base)
                again = numbers_of(role, folder, base)
        except InputError as error:
            assert "\n" not in str(error) and role in str(error), (what, str(error))
            continue
        assert np.isfinite(values).all(), what
        # Torch's own generator has moved on: a weight drawn at random would be another one.
        np.testing.assert_array_equal(values, again, what)


def changed(folder: Path, name: str, value: Any) -> None:
    """A field of config.json set; None takes it out."""
    fields = json.loads((folder / "config.json").read_text())
    fields[name] = value
    kept = {key: value for key, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


def with_tensor(folder: Path, name: str, change: Any) -> None:
    """A tensor replaced by what `change` makes of it; None takes it out."""
    tensors = load_file(folder / "model.safetensors")
    old = tensors.pop(name)
    if change is not None:
        tensors[name] = change(old).contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def first_replaced(value: float) -> Any:
    """A change of a tensor's first number."""
    return lambda old: torch.cat([torch.tensor([value]), old.flatten()[1:]]).view(old.shape)


NORM = "model.layers.0.input_layernorm.weight"
DAMAGES: dict[str, tuple[str, Any, list[str]]] = {
    "missing tensor": ("prm", lambda f: with_tensor(f, NORM, None), [NORM, "lack"]),
    "missing head": ("prm", lambda f: with_tensor(f, "score.weight", None), ["score.weight", "lack"]),
    "shape of the head": ("prm", lambda f: with_tensor(f, "score.weight", lambda w: w[:1]), ["score.weight", "(1, "]),
    "NaN in the head": ("prm", lambda f: with_tensor(f, "score.bias", first_replaced(np.nan)), ["score.bias", "NaN"]),
    "infinity": ("base", lambda f: with_tensor(f, NORM, first_replaced(np.inf)), [NORM, "infinite"]),
    "integers": ("draft", lambda f: with_tensor(f, NORM, lambda w: w.to(torch.int32)), [NORM, "I32"]),
    "fewer layers": (
        "base", lambda f: (changed(f, "layer_types", None), changed(f, "num_hidden_layers", 2)),
        ["model.layers.2", "does not have"],
    ),
    "more layers": (
        "base", lambda f: (changed(f, "layer_types", None), changed(f, "num_hidden_layers", 10**9)),
        ["num_hidden_layers = 1000000000", "hold 3"],
    ),
    "hidden size": ("draft", lambda f: changed(f, "hidden_size", 10**9), ["(16, 1000000000)", "(16, 64)"]),
    "vocabulary": ("draft", lambda f: changed(f, "vocab_size", 17), ["(17, 64)", "(16, 64)"]),
    "heads": ("draft", lambda f: changed(f, "num_attention_heads", 2), ["(32, 64)", "(64, 64)"]),
    "a norm of no number": ("draft", lambda f: changed(f, "rms_norm_eps", -1e9), ["computes NaN", "config.json"]),
    "context": ("draft", lambda f: changed(f, "max_position_embeddings", 10**15), ["_embeddings = 10", "are free"]),
    "no context": ("draft", lambda f: changed(f, "max_position_embeddings", 0), ["max_position_embeddings = 0"]),
    "architecture": ("draft", lambda f: changed(f, "model_type", "no_such"), ["no_such", "give a checkpoint"]),
    "no tokenizer": ("draft", lambda f: (f / "tokenizer.json").unlink(), ["tokenizer", "download its files"]),
    "special tokens": ("draft", lambda f: (f / "tokenizer_config.json").unlink(), ["id 16", "0 to 15"]),
    "number": ("prm", lambda f: changed(f, "architectures", 3), ["architectures = 3"]),
    "labels": ("prm", lambda f: changed(f, "id2label", {"0": "a", "1": "b", "2": "c"}), ["3 labels"]),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_named(damage: str, base: Engine, tmp_path: Path) -> None:
    role, apply, words = DAMAGES[damage]
    folder = copy_of(checkpoint_path(role), tmp_path / role)
    apply(folder)
    with pytest.raises(InputError) as refused:
        numbers_of(role, folder, base)
    for word in words:
        assert word in str(refused.value), refused.value
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("load", [load_engine, lambda path: load_reward(str(path), None)], ids=["policy", "reward"])
def test_a_file_is_no_folder(load: Any, tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    with pytest.raises(InputError, match="it is a file; give a folder"):
        load(tmp_path / "weights")


def test_a_model_that_memory_cannot_hold_is_refused_before_it_is_read(
    base: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gsi_theory.arrays.memory, "available_memory", lambda: 1e5)
    with pytest.raises(InputError, match=r"the model at .*draft: about 333 kB of memory are needed, and 100 kB"):
        numbers_of("draft", checkpoint_path("draft"), base)


def test_weights_beyond_a_narrow_dtype_are_refused(tmp_path: Path) -> None:
    folder = copy_of(checkpoint_path("draft"), tmp_path / "draft")
    with_tensor(folder, NORM, first_replaced(1e6))
    load_engine(folder, dtype="bfloat16")
    with pytest.raises(InputError, match=rf"infinite numbers in {NORM} \(as float16\).*wider --dtype"):
        load_engine(folder, dtype="float16")
