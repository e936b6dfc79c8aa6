"""The lean forward against transformers' own, architecture by architecture; and the module where there is none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from gsi_theory.errors import InputError
from llm_check.models.engines import lean_decoder as decoder
from llm_check.models.engines import next_token
from llm_check.models.engines.forward import _changed, forward_of
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny.tokenizer import build_tokenizer
from tests.llm_check.models.engines.contract_suite import CONTRACT, Pair
from tests.llm_check.models.engines.test_transformers_engine import PROMPTS, RULE, random_model, streams_of

SIZES: dict[str, Any] = {
    "vocab_size": 16, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16, "rope_theta": 500.0,
}  # fmt: skip
KNOWN: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama3": LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2 yarn": Qwen2Config(**SIZES, rope_parameters=YARN),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
}


def model_of(config: PretrainedConfig) -> Any:
    """Random weights, biases and norms included, which a fresh model would leave at 0 and 1."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    return model.eval()


def tree_scores(engine: TransformersEngine) -> np.ndarray:
    steps = engine.sample(engine.prefill(PROMPTS), 8, streams_of([0, 1, 2, 3]), RULE)
    grown = engine.extend(engine.prefill(PROMPTS), [[2, 13], [5, 6, 13], [13], [4, 4, 13]])
    return np.concatenate([steps.token_logp, engine.score(grown, steps.tokens)])


@pytest.mark.parametrize("name", KNOWN)
def test_lean_equals_the_module(name: str) -> None:
    model = model_of(KNOWN[name])
    fast = TransformersEngine.from_model(model, build_tokenizer(), name)
    plain = TransformersEngine.from_model(model, build_tokenizer(), name, lean=False)
    assert fast.contract.forward == "lean, compiled" and plain.contract.forward == "module (asked for)"
    np.testing.assert_allclose(tree_scores(fast), tree_scores(plain), rtol=0, atol=1e-4)
    # The array version of the same loop, which larger forwards and other devices take.
    assert fast.forward.small is not None
    object.__setattr__(fast.forward, "small", None)
    np.testing.assert_allclose(tree_scores(fast), tree_scores(plain), rtol=0, atol=1e-4)


@pytest.mark.parametrize("law", ["scores_equal_a_full_forward", "batched_equals_single", "bad_input_is_refused"])
def test_an_unknown_architecture_takes_the_module(law: str) -> None:
    sizes = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    models = [model_of(GPTNeoXConfig(**sizes, use_parallel_residual=True)) for _ in range(2)]
    engines = [TransformersEngine.from_model(model, build_tokenizer(), "neox") for model in models]
    assert engines[0].contract.forward == "module (architecture gpt_neox)"
    CONTRACT[law](Pair(engines[0], engines[1], models[0], models[1]))


class HalfHead(torch.nn.Linear):
    """A head that does more than multiply, as an adapter's does."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden) / 2


@pytest.mark.parametrize("how", ["hook", "forward", "head"])
def test_a_model_that_someone_changed_takes_the_module(how: str) -> None:
    """Logits halved outside of the body, by a hook, a forward set on the instance, or the head: no lean forward would
    see it."""
    model = model_of(KNOWN["llama"])
    plain = model.forward

    def halved(*given: Any, **more: Any) -> Any:
        output = plain(*given, **more)
        output.logits = output.logits / 2
        return output

    if how == "hook":
        model.register_forward_hook(lambda module, given, output: setattr(output, "logits", output.logits / 2))
    elif how == "forward":
        model.forward = halved
    else:
        model.lm_head.__class__ = HalfHead
    engine = TransformersEngine.from_model(model, build_tokenizer(), "changed")
    reason = r"logits differ from the head's by \d.*" if how == "head" else "hooks or a replaced forward"
    assert re.fullmatch(rf"module \({reason}\)", engine.contract.forward)
    scored = engine.score(engine.prefill([[2, 5, 7]]), [[[3, 4]]])[0, 0]
    logits = model(input_ids=torch.tensor([[2, 5, 7, 3, 4]])).logits[0, 2:4]
    np.testing.assert_allclose(scored, torch.log_softmax(logits, -1)[[0, 1], [3, 4]], rtol=0, atol=1e-5)


def test_states_and_logits_that_are_all_zero_are_the_models_own() -> None:
    model = model_of(KNOWN["qwen3"])
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert _changed(model) == ""
    assert not isinstance(decoder.lean_decoder(model.base_model), str)


@pytest.mark.parametrize("mistake", ["rope", "norm", "bias"])
def test_a_forward_that_differs_from_the_module_is_not_used(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that computes something else under a known name falls back, and says why."""
    build = decoder._build

    def wrong(body: Any) -> Any:
        made = build(body)
        change = {"rope": {"sin": -made.sin}, "norm": {"eps": 0.3}, "bias": {"norm": made.norm + 0.01}}[mistake]
        for key, value in change.items():
            object.__setattr__(made, key, value)
        return made

    monkeypatch.setattr(decoder, "_build", wrong)
    forward = forward_of(model_of(KNOWN["qwen2"]), "changed")
    assert forward.lean is None and "differs from the module" in forward.way


def test_weights_are_held_once() -> None:
    model = model_of(KNOWN["qwen3"])
    forward = forward_of(model, "shared")
    assert forward.lean is not None
    attention = model.model.layers[1].self_attn
    assert attention.k_proj.weight.data_ptr() > forward.lean.layers[1].qkv.data_ptr()
    assert (
        attention.k_proj.weight.untyped_storage().data_ptr() == forward.lean.layers[1].qkv.untyped_storage().data_ptr()
    )


def test_bfloat16_and_float64_pass_the_comparison() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        assert forward_of(model_of(KNOWN["qwen3"]).to(dtype), "other dtype").way == "lean"


def test_sliding_windows_are_refused() -> None:
    with pytest.raises(InputError, match="sliding"):
        forward_of(model_of(MistralConfig(**SIZES, sliding_window=8)), "windowed")
    with pytest.raises(InputError, match="sliding"):
        config = Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1)
        forward_of(model_of(config), "windowed")


def test_large_vocabularies_are_worked_off_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine.from_model(random_model(5), build_tokenizer(), "wide")
    whole = tree_scores(engine)
    monkeypatch.setattr(next_token, "BLOCK", 16 * 3)  # three rows of logits at a time
    # The head multiplies other blocks, so float32 rounds otherwise; a row read at a wrong place is off by order 1.
    np.testing.assert_allclose(tree_scores(engine), whole, rtol=0, atol=1e-4)
