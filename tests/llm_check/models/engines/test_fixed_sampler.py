"""Buffers of fixed shape give the tokens of the tree, to the last one; here without a GPU, operation by operation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines import fixed_sampler
from llm_check.models.engines.fixed_sampler import FixedSamplers
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.engines.contract_suite import PROMPTS, RULE, streams_of

LONG = StepRule(frozenset({13}), frozenset({15}), 20)
# "1" then the blank line ends a step: the state of a rule that looks at more than one token.
PAIRS = np.zeros((2, 16), dtype=np.int16)
PAIRS[:, 2] = 1
PAIRS[1, 13] = -1


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine.load(checkpoint_path("draft"), temperature=1.3)


@pytest.mark.parametrize(
    "rule", [RULE, LONG, replace(RULE, max_tokens=1), StepRule(frozenset(), frozenset({15}), 12, PAIRS)]
)
def test_fixed_buffers_give_the_same_steps(
    engine: TransformersEngine, rule: StepRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_sampler, "_LOOK", 3)
    fixed = replace(engine, fixed=FixedSamplers(engine.forward, 1.3))
    wanted = engine.prefill(PROMPTS)
    for prefixes in (wanted, engine.extend(engine.select(wanted, [2, 0, 1, 2]), [[4, 13], [9], [2, 2, 13], [13]])):
        tree, flat = (e.sample(prefixes, 9, streams_of([0, 1, 2, 3]), rule) for e in (engine, fixed))
        np.testing.assert_array_equal(tree.tokens, flat.tokens)
        np.testing.assert_array_equal(tree.finish, flat.finish)
        np.testing.assert_allclose(tree.token_logp, flat.token_logp, rtol=0, atol=1e-4)
    assert fixed.fixed is not None and 1 <= len(fixed.fixed.kept) <= 2


def test_few_samplers_are_kept(engine: TransformersEngine) -> None:
    samplers = FixedSamplers(engine.forward, 1.0)
    prefixes = engine.prefill(PROMPTS[:1])
    for n in range(1, 9):
        samplers.sample(prefixes, np.full((1, n, 4), 0.5), RULE)
    assert len(samplers.kept) == 4 and list(samplers.kept)[-1][1] == 8
