"""The transformers engine where the contract suite does not reach: chunks, batches, temperature, loading, dtypes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from gsi_theory.errors import InputError
from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule
from llm_check.models.engines import engine_memory, step_sampler, transformers_engine
from llm_check.models.engines.engine import require_same_vocabulary
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID, build_tokenizer

# Sums of about 100 float32 products a layer, values of order 10: rounding of 1e-5 leaves a factor of ten to spare.
LOGP_TOLERANCE = 1e-4
PROMPTS = [[1, 5, 11, 4, 13], [7], [2, 3, 12, 9, 11, 4, 13, 3, 9, 13], [10, 13]]
RULE = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 4)


def random_model(seed: int, vocabulary: int = 16) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
        tie_word_embeddings=True,
    )
    return Qwen2ForCausalLM(config)


def random_engine(seed: int) -> TransformersEngine:
    return TransformersEngine.from_model(random_model(seed), build_tokenizer(), f"random-{seed}")


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return random_engine(1)


def plain_log_probs(engine: TransformersEngine, tokens: list[int]) -> np.ndarray:
    """Oracle: log-probabilities (len, V) of the token after each position, by the module itself."""
    with torch.no_grad():
        logits = engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return torch.log_softmax(logits.double() / engine.contract.sampling_temperature, dim=-1).numpy()


def plain_step(engine: TransformersEngine, prefix: list[int], step: list[int]) -> np.ndarray:
    table = plain_log_probs(engine, prefix + step)
    return np.array([table[len(prefix) - 1 + t, token] for t, token in enumerate(step)])


def streams_of(prompts: list[int]) -> list[PositionStream]:
    return [PositionStream(5, f"prompt-{p}", 0, Purpose.DRAFT) for p in prompts]


def test_the_law_of_the_next_token_after_extending_and_selecting(engine: TransformersEngine) -> None:
    first = [[4, 13], [5, 6, 7, 13], [13], [2, 2, 13]]
    cache = engine.prefill(PROMPTS)
    grown = engine.extend(cache, first)  # nothing was encoded before: prompt and step are encoded one after the other
    chosen = engine.select(grown, [3, 0, 3])
    _ = engine.log_probs(grown)
    again = engine.select(grown, [3, 0, 3])  # the same rows, now of an encoded cache
    for row, source in enumerate([3, 0, 3]):
        oracle = plain_log_probs(engine, PROMPTS[source] + first[source])[-1]
        np.testing.assert_allclose(engine.log_probs(chosen)[row], oracle, rtol=0, atol=LOGP_TOLERANCE)
        np.testing.assert_allclose(engine.log_probs(again)[row], oracle, rtol=0, atol=LOGP_TOLERANCE)
    np.testing.assert_allclose(
        engine.log_probs(cache)[2], plain_log_probs(engine, PROMPTS[2])[-1], rtol=0, atol=LOGP_TOLERANCE
    )
    assert again.mask.any(axis=0).all()


def test_two_extensions_of_one_prefix_do_not_disturb_each_other(engine: TransformersEngine) -> None:
    start = engine.prefill(PROMPTS)
    _ = engine.sample(start, 5, streams_of([0, 1, 2, 3]), RULE)  # leaves room in the buffer
    left, right = (engine.extend(start, [[token, 13]] * 4) for token in (3, 9))
    steps = [[[4, 13], [14, 2, 15]]] * 4
    _ = engine.score(left, steps), engine.sample(start, 5, streams_of([0, 1, 2, 3]), RULE)
    scored = engine.score(right, steps), engine.score(left, steps)
    for b, prompt in enumerate(PROMPTS):
        for got, token in zip(scored, (9, 3), strict=True):
            oracle = plain_step(engine, [*prompt, token, 13], [14, 2, 15])
            np.testing.assert_allclose(got[b, 1], oracle, rtol=0, atol=LOGP_TOLERANCE)


def test_small_forwards_change_nothing(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many candidates or prompts are worked off in groups: same tokens, same log-probabilities."""
    whole = engine.sample(engine.prefill(PROMPTS), 300, streams_of([0, 1, 2, 3]), RULE)
    scored = engine.score(engine.prefill(PROMPTS), whole.tokens)
    np.testing.assert_allclose(scored, whole.token_logp, rtol=0, atol=LOGP_TOLERANCE)
    monkeypatch.setattr(step_sampler, "TREE_COLUMNS", 64)  # 16 nodes a forward
    for module in (transformers_engine, engine_memory):
        monkeypatch.setattr(module, "TREE_TOKENS", 80)  # 20 candidates a forward
    monkeypatch.setattr(engine_memory, "_FORWARD_TOKENS", 160)  # 2 prompts a forward
    parts = engine.sample(engine.prefill(PROMPTS), 300, streams_of([0, 1, 2, 3]), RULE)
    np.testing.assert_array_equal(parts.tokens, whole.tokens)
    np.testing.assert_array_equal(parts.finish, whole.finish)
    np.testing.assert_allclose(parts.token_logp, whole.token_logp, rtol=0, atol=LOGP_TOLERANCE)
    again = engine.score(engine.prefill(PROMPTS), whole.tokens)
    np.testing.assert_allclose(again, scored, rtol=0, atol=LOGP_TOLERANCE)


def test_rows_of_different_lengths_reach_the_end_of_the_context(engine: TransformersEngine) -> None:
    """A short prompt's steps beside a prompt that fills the context: padding stays out of both."""
    long = [1 + i % 12 for i in range(60)]
    steps = [[[3, 4, 5, 6]], [[9, 13]]]
    scored = engine.score(engine.prefill([long, [7, 8]]), steps)
    np.testing.assert_allclose(scored[0, 0], plain_step(engine, long, steps[0][0]), rtol=0, atol=LOGP_TOLERANCE)
    np.testing.assert_allclose(scored[1, 0, :2], plain_step(engine, [7, 8], [9, 13]), rtol=0, atol=LOGP_TOLERANCE)
    with pytest.raises(InputError, match="needs 65 tokens, and the context of random-1 holds 64"):
        engine.score(engine.prefill([long]), [[[3, 4, 5, 6, 7]]])
    padded = np.full((1, 1, 30), PAD)  # what counts is the step, not the width it travels in
    padded[0, 0, :4] = [3, 4, 5, 6]
    np.testing.assert_allclose(
        engine.score(engine.prefill([long]), padded)[0, 0, :4], scored[0, 0], rtol=0, atol=LOGP_TOLERANCE
    )


@pytest.mark.parametrize("temperature", [0.7, 1.6])
def test_temperature_holds_for_draws_and_scores(temperature: float) -> None:
    engine = TransformersEngine.from_model(random_model(1), build_tokenizer(), "warm", temperature)
    assert engine.contract.sampling_temperature == temperature
    steps = engine.sample(engine.prefill(PROMPTS[:1]), 4000, streams_of([0]), RULE)
    for i in range(5):
        step = steps.token_ids[0][i]
        oracle = plain_step(engine, PROMPTS[0], step)
        np.testing.assert_allclose(steps.token_logp[0, i, : len(step)], oracle, rtol=0, atol=LOGP_TOLERANCE)
    scored = engine.score(engine.prefill(PROMPTS[:1]), steps.tokens)
    np.testing.assert_allclose(scored, steps.token_logp, rtol=0, atol=LOGP_TOLERANCE)
    law = np.exp(plain_log_probs(engine, PROMPTS[0])[-1])
    counts = np.bincount(steps.tokens[0, :, 0], minlength=16)
    z = (counts - 4000 * law) / np.sqrt(4000 * law * (1 - law))
    assert np.abs(z).max() < 4.5
    with pytest.raises(InputError, match=r"temperature 0\.0"):
        TransformersEngine.from_model(random_model(1), build_tokenizer(), "cold", 0.0)


def test_load_round_trip_and_its_refusals(tmp_path: Path, engine: TransformersEngine) -> None:
    with pytest.raises(InputError, match=r"no model folder at .*absent"):
        TransformersEngine.load(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no config\.json"):
        TransformersEngine.load(tmp_path)
    folder = tmp_path / "one"
    engine.model.save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)
    loaded = TransformersEngine.load(folder)
    assert loaded.contract.model.endswith("/one") and loaded.contract.dtype == "float32"
    assert loaded.contract.sampling_temperature == 1.0 and loaded.contract.logprobs == "raw"
    assert loaded.contract.forward == "lean, compiled" and len(loaded.contract.model_hash) == 64
    again, before = (e.log_probs(e.prefill(PROMPTS)) for e in (loaded, engine))
    np.testing.assert_allclose(again, before, rtol=0, atol=LOGP_TOLERANCE)
    with pytest.raises(InputError, match="float7"):
        TransformersEngine.load(folder, dtype="float7")
    with pytest.raises(InputError, match="device 'warp' is not available"):
        TransformersEngine.load(folder, device="warp")
    weights = load_file(folder / "model.safetensors")
    lost = weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight"):
        TransformersEngine.load(folder)
    weights["model.layers.1.mlp.up_proj.weight"] = lost + 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert TransformersEngine.load(folder).contract.model_hash != loaded.contract.model_hash
    (folder / "model.safetensors").rename(folder / "model.bin")
    with pytest.raises(InputError, match="safetensors"):
        TransformersEngine.load(folder)


def test_code_in_a_checkpoint_runs_only_when_asked_for_with_a_warning(
    tmp_path: Path, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    engine.model.save_pretrained(tmp_path / "own")
    engine.tokenizer.save_pretrained(tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    config |= {"model_type": "own_kind", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}}
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    (tmp_path / "own" / "own.py").write_text("raise RuntimeError('the code of the checkpoint ran')\n")
    with pytest.raises(InputError, match="cannot load the model"):
        TransformersEngine.load(tmp_path / "own")
    with (
        pytest.warns(UserWarning, match="is executed"),
        pytest.raises(RuntimeError, match="the code of the checkpoint"),
    ):
        TransformersEngine.load(tmp_path / "own", trust_remote_code=True)


def test_vocabularies_are_compared(engine: TransformersEngine) -> None:
    require_same_vocabulary(engine, random_engine(2))
    other = build_tokenizer()
    other.add_tokens(["extra"])
    with pytest.raises(InputError, match="differ at id 16: None against 'extra'"):
        require_same_vocabulary(engine, TransformersEngine.from_model(random_model(2), other, "other"))


def test_bfloat16_weights_have_float64_laws() -> None:
    """Log-probabilities of a bfloat16 model are normalized to float64 rounding, and close to those of float32."""
    exact, rough = (TransformersEngine.load(checkpoint_path("base"), dtype=d) for d in ("float32", "bfloat16"))
    assert rough.contract.dtype == "bfloat16" and rough.contract.forward == "lean"
    law = rough.log_probs(rough.prefill(PROMPTS))
    np.testing.assert_allclose(np.logaddexp.reduce(law, axis=1), 0.0, atol=1e-12)
    steps = exact.sample(exact.prefill(PROMPTS), 20, streams_of([0, 1, 2, 3]), RULE)
    noise = rough.score(rough.prefill(PROMPTS), steps.tokens) - steps.token_logp
    assert 1e-4 < noise[steps.tokens != PAD].std() < 0.3
