"""The engine against a plain full forward of the whole sequence: no cache, no padding, one sequence at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from gsi_theory.errors import InputError
from llm_check.engines.contract import require_same_vocabulary
from llm_check.engines.transformers_engine import TransformersEngine
from llm_check.steps import StepRule
from llm_check.streams import Purpose, Stream
from llm_check.tiny.tokenizer import BLANK_ID, EOS_ID, build_tokenizer

# Sums of about 100 float32 products a layer, values of order 10: rounding of 1e-5 leaves a factor of ten to spare.
LOGP_TOLERANCE = 1e-4
PROMPTS = [[1, 5, 11, 4, 13], [7], [2, 3, 12, 9, 11, 4, 13, 3, 9, 13], [10, 13]]
RULE = StepRule(frozenset({BLANK_ID}), EOS_ID, 4)


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
    """Oracle: log-probabilities (len, V) of the token after each position."""
    with torch.no_grad():
        logits = engine.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def plain_step(engine: TransformersEngine, prefix: list[int], step: list[int]) -> np.ndarray:
    table = plain_log_probs(engine, prefix + step)
    return np.array([table[len(prefix) - 1 + t, token] for t, token in enumerate(step)])


def streams_of(prompts: list[int]) -> list[Stream]:
    return [Stream(5, f"prompt-{p}", 0, Purpose.DRAFT) for p in prompts]


def test_prefill_of_ragged_prompts_matches_a_plain_forward(engine: TransformersEngine) -> None:
    cache = engine.prefill(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        np.testing.assert_allclose(
            cache.log_probs[row].numpy(), plain_log_probs(engine, prompt)[-1], rtol=0, atol=LOGP_TOLERANCE
        )


def test_extend_and_select_match_a_plain_forward(engine: TransformersEngine) -> None:
    first = [[4, 13], [5, 6, 7, 13], [13], [2, 2, 13]]
    second = [[9, 9, 13], [14, 2], [3, 13]]
    cache = engine.extend(engine.prefill(PROMPTS), first)
    before = cache.log_probs.clone()
    chosen = engine.select(cache, [3, 0, 1])
    deeper = engine.extend(chosen, second)
    assert torch.equal(cache.log_probs, before)
    assert chosen.mask.any(dim=0).all()
    for row, source in enumerate([3, 0, 1]):
        whole = PROMPTS[source] + first[source]
        np.testing.assert_allclose(
            chosen.log_probs[row].numpy(), plain_log_probs(engine, whole)[-1], rtol=0, atol=LOGP_TOLERANCE
        )
        np.testing.assert_allclose(
            deeper.log_probs[row].numpy(),
            plain_log_probs(engine, whole + second[row])[-1],
            rtol=0,
            atol=LOGP_TOLERANCE,
        )
        steps = [[3, 4, 13], [3, 4, 5, 6], [13], [3, 4, 13]]
        scored = engine.score(deeper, [steps] * 3)[row]
        for given, got in zip(steps, scored, strict=True):
            oracle = plain_step(engine, whole + second[row], given)
            np.testing.assert_allclose(got[: len(given)], oracle, rtol=0, atol=LOGP_TOLERANCE)
            assert not got[len(given) :].any()


@pytest.mark.parametrize("max_rows", [4096, 3])
def test_samples_carry_the_log_probs_of_a_plain_forward(engine: TransformersEngine, max_rows: int) -> None:
    cache = engine.prefill(PROMPTS)
    steps = engine.sample(cache, 12, streams_of([0, 1, 2, 3]), RULE, max_rows=max_rows)
    for b, prompt in enumerate(PROMPTS):
        for i, step in enumerate(steps.token_ids[b]):
            oracle = plain_step(engine, prompt, step)
            np.testing.assert_allclose(steps.token_logp[b, i, : len(step)], oracle, rtol=0, atol=LOGP_TOLERANCE)
            assert steps.logp[b, i] == pytest.approx(oracle.sum(), abs=LOGP_TOLERANCE)
    assert {"stop", "eos", "length"} >= set(steps.finish.ravel())
    again = engine.score(cache, steps.tokens, max_rows)
    np.testing.assert_allclose(again, steps.token_logp, rtol=0, atol=LOGP_TOLERANCE)


def test_samples_of_a_prompt_do_not_depend_on_its_batch_or_on_chunks(engine: TransformersEngine) -> None:
    together = engine.sample(engine.prefill(PROMPTS), 40, streams_of([0, 1, 2, 3]), RULE)
    chunked = engine.sample(engine.prefill(PROMPTS), 40, streams_of([0, 1, 2, 3]), RULE, max_rows=5)
    np.testing.assert_array_equal(together.tokens, chunked.tokens)
    for b, prompt in enumerate(PROMPTS):
        alone = engine.sample(engine.prefill([prompt]), 40, streams_of([b]), RULE)
        np.testing.assert_array_equal(alone.tokens[0], together.tokens[b])
        np.testing.assert_allclose(alone.token_logp[0], together.token_logp[b], rtol=0, atol=LOGP_TOLERANCE)


def test_chain_rule_over_two_steps(engine: TransformersEngine) -> None:
    """log p(a b | x) = log p(a | x) + log p(b | x a), the whole scored as one step on the left."""
    a, b = [3, 9, 13], [14, 4, 15]
    cache = engine.prefill([PROMPTS[0]])
    whole = engine.score(cache, [[a + b]]).sum()
    parts = engine.score(cache, [[a]]).sum() + engine.score(engine.extend(cache, [a]), [[b]]).sum()
    assert whole == pytest.approx(parts, abs=LOGP_TOLERANCE)


def test_load_round_trip_and_its_refusals(tmp_path: Path, engine: TransformersEngine) -> None:
    with pytest.raises(InputError, match=r"no model folder at .*absent"):
        TransformersEngine.load(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no config\.json"):
        TransformersEngine.load(tmp_path)
    engine.model.save_pretrained(tmp_path / "one")
    engine.tokenizer.save_pretrained(tmp_path / "one")
    loaded = TransformersEngine.load(tmp_path / "one")
    assert loaded.contract.model.endswith("/one") and loaded.contract.dtype == "float32"
    assert loaded.contract.sampling_temperature == 1.0 and loaded.contract.logprobs == "raw"
    again, before = (e.prefill(PROMPTS).log_probs.numpy() for e in (loaded, engine))
    np.testing.assert_allclose(again, before, rtol=0, atol=LOGP_TOLERANCE)
    with pytest.raises(InputError, match="float7"):
        TransformersEngine.load(tmp_path / "one", dtype="float7")
    (tmp_path / "one" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="safetensors"):
        TransformersEngine.load(tmp_path / "one")


def test_bad_input_is_refused_with_the_value(engine: TransformersEngine) -> None:
    cache = engine.prefill([[1, 2]])
    with pytest.raises(InputError, match="sequence 1 is empty"):
        engine.prefill([[1], []])
    with pytest.raises(InputError, match="token id 16"):
        engine.prefill([[16]])
    with pytest.raises(InputError, match="token id 99"):
        engine.score(cache, [[[99, 13]]])
    with pytest.raises(InputError, match="2 streams for 1 prefixes"):
        engine.sample(cache, 2, streams_of([0, 1]), RULE)
    with pytest.raises(InputError, match="2 steps for 1 prefixes"):
        engine.extend(cache, [[1], [2]])


def test_vocabularies_are_compared(engine: TransformersEngine) -> None:
    require_same_vocabulary(engine, random_engine(2))
    other = build_tokenizer()
    other.add_tokens(["extra"])
    with pytest.raises(InputError, match="differ at id 16: None against 'extra'"):
        require_same_vocabulary(engine, TransformersEngine.from_model(random_model(2), other, "other"))
