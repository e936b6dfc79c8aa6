"""The enumerated law of the next step: it is a law, both models agree on it, and the sampler follows it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gsi_theory.errors import InputError
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines import transformers_engine
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny.enumeration import StepTrie, enumerate_steps, score_trie
from tests.llm_check.models.engines.test_transformers_engine import RULE, plain_step, random_engine

PREFIX = [5, 9, 12, 6, 12, 8, 11, 5, 13]
SHORT = StepRule(RULE.step_end_ids, RULE.eos_ids, 3)


@pytest.fixture(scope="module")
def draft() -> TransformersEngine:
    return random_engine(3)


@pytest.fixture(scope="module")
def trie(draft: TransformersEngine) -> StepTrie:
    return enumerate_steps(draft, PREFIX, RULE)


def test_the_trie_is_complete(draft: TransformersEngine, trie: StepTrie) -> None:
    # 14 tokens go on and 2 close: 2 (1 + 14 + 196) leaves below the cap and 16 * 2744 at it.
    assert len(trie.tokens) == 2 * (1 + 14 + 196) + 16 * 2744
    assert trie.missing_mass == 0.0
    assert np.exp(trie.logp).sum() == pytest.approx(1.0, abs=1e-6)
    assert len(set(trie.steps)) == len(trie.tokens)
    for i in np.random.default_rng(0).choice(len(trie.tokens), 20, replace=False):
        step = list(trie.steps[i])
        assert trie.logp[i] == pytest.approx(plain_step(draft, PREFIX, step).sum(), abs=1e-4)
        assert trie.finish[i] == {13: "stop", 15: "eos"}.get(step[-1], "length")


def test_scores_of_the_trie_under_the_other_model(trie: StepTrie) -> None:
    base = random_engine(4)
    logp = score_trie(base, PREFIX, trie)
    for i in np.random.default_rng(1).choice(len(trie.tokens), 20, replace=False):
        assert logp[i] == pytest.approx(plain_step(base, PREFIX, list(trie.steps[i])).sum(), abs=1e-4)
    # (M32): the mean ratio under the draft is the base mass on the support, here all of it.
    assert np.exp(trie.logp + (logp - trie.logp)).sum() == pytest.approx(1.0, abs=1e-6)


def test_chunks_change_nothing(draft: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = enumerate_steps(draft, PREFIX, SHORT)
    monkeypatch.setattr(transformers_engine, "TREE_TOKENS", 7)
    chunked = enumerate_steps(draft, PREFIX, SHORT)
    np.testing.assert_array_equal(whole.tokens, chunked.tokens)
    np.testing.assert_allclose(whole.logp, chunked.logp, rtol=0, atol=1e-4)
    np.testing.assert_allclose(score_trie(draft, PREFIX, whole), whole.logp, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tolerance", [1e-3, 0.1])
def test_tolerance_bounds_the_missing_mass(draft: TransformersEngine, trie: StepTrie, tolerance: float) -> None:
    part = enumerate_steps(draft, PREFIX, RULE, tolerance=tolerance)
    assert 0.0 < part.missing_mass <= tolerance
    assert np.exp(part.logp).sum() + part.missing_mass == pytest.approx(1.0, abs=1e-6)
    assert len(part.tokens) < len(trie.tokens)
    leaves = trie.locate(part.tokens)
    np.testing.assert_allclose(trie.logp[leaves], part.logp, rtol=0, atol=1e-4)


def test_bad_input(draft: TransformersEngine) -> None:
    with pytest.raises(InputError, match=r"tolerance 1\.5"):
        enumerate_steps(draft, PREFIX, RULE, tolerance=1.5)
    with pytest.raises(InputError, match="3,166 next steps"):
        enumerate_steps(draft, PREFIX, RULE, max_leaves=1000)


def test_locate(trie: StepTrie) -> None:
    assert trie.locate(trie.tokens[[5, 0]]).tolist() == [5, 0]
    assert trie.locate(np.array([[1, 2]])).tolist() == [-1]


def test_sampled_frequencies_follow_the_enumerated_law(draft: TransformersEngine, trie: StepTrie) -> None:
    """Chi-square of 20 000 draws; leaves expected fewer than 10 times are pooled into one cell."""
    draws = 20_000
    steps = draft.sample(draft.prefill([PREFIX]), draws, [PositionStream(11, "enumerated", 0, 0)], RULE)
    leaves = trie.locate(steps.tokens[0])
    np.testing.assert_allclose(steps.logp[0], trie.logp[leaves], rtol=0, atol=1e-4)
    expected = np.exp(trie.logp) * draws
    counts = np.bincount(leaves, minlength=len(expected))
    large = expected >= 10
    observed = np.append(counts[large], counts[~large].sum())
    cells = np.append(expected[large], draws - expected[large].sum())
    assert large.sum() > 50
    assert stats.chisquare(observed, cells).pvalue > 1e-3
