"""Facts about the real vLLM that the engines rely on, and its agreement with the transformers engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.reasoning_steps import PAD, StepRule
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.engines.token_engine import TokenEngine
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID
from tests.llm_check.models.engines.contract_suite import PROMPTS, RULE, SPREAD, STEPS, streams_of

AGREEMENT = 1e-4


@pytest.fixture(scope="module")
def plain() -> dict[str, TransformersEngine]:
    return {name: TransformersEngine.load(checkpoint_path(name)) for name in ("draft", "base")}


@pytest.mark.parametrize("name", ["draft", "base"])
def test_engines_agree(name: str, offline: dict[str, TokenEngine], plain: dict[str, TransformersEngine]) -> None:
    """Given steps, and each engine's own draws scored by the other, on the checkpoint as shipped and as widened."""
    ours, theirs = plain[name], offline[name]
    a, b = ours.prefill(PROMPTS), theirs.prefill(PROMPTS)
    np.testing.assert_allclose(theirs.score(b, STEPS), ours.score(a, STEPS), rtol=0, atol=AGREEMENT)
    mine, other = (e.sample(p, 64, streams_of(range(4)), RULE) for e, p in ((ours, a), (theirs, b)))
    np.testing.assert_allclose(theirs.score(b, mine.tokens), mine.token_logp, rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(ours.score(a, other.tokens), other.token_logp, rtol=0, atol=AGREEMENT)
    require_pair(ours, theirs)


def scores_do_not_depend_on_order_or_on_the_prefix_cache(engine: Engine) -> None:
    """Sequences longer than a cache block, in two orders, alone, and after their prefixes were sampled from. A block of
    32 ends inside the steps here: where vLLM may read its cache, log-probabilities of cached prompt tokens are whatever
    lay in memory (github.com/vllm-project/vllm/issues/42019 reports values that depend on the order)."""
    rng = np.random.default_rng(0)
    shared = rng.integers(1, 13, size=20).tolist()
    steps = [rng.integers(1, 13, size=36).tolist() for _ in range(24)]
    prefixes = engine.prefill([shared])
    first = engine.score(prefixes, [steps])[0]
    engine.sample(prefixes, 16, streams_of([0]), RULE)
    backward = engine.score(prefixes, [steps[::-1]])[0][::-1]
    alone = np.array([engine.score(prefixes, [[step]])[0, 0] for step in steps])
    np.testing.assert_allclose(backward, first, rtol=0, atol=1e-5)
    np.testing.assert_allclose(alone, first, rtol=0, atol=1e-5)


def test_scores_do_not_depend_on_order_or_on_the_prefix_cache(offline: dict[str, TokenEngine]) -> None:
    scores_do_not_depend_on_order_or_on_the_prefix_cache(offline["draft"])


def test_children_of_one_request_use_seed_plus_index(offline: dict[str, TokenEngine]) -> None:
    """What lets a larger n be split over requests, here and over servers."""
    from vllm import SamplingParams

    llm: Any = offline["draft"].service.llm  # type: ignore[attr-defined]

    def draw(n: int, seed: int) -> list[list[int]]:
        params = SamplingParams(n=n, seed=seed, max_tokens=4, ignore_eos=True, detokenize=False)
        (answer,) = llm.generate([{"prompt_token_ids": SPREAD}], params, use_tqdm=False)
        return [list(one.token_ids) for one in answer.outputs]

    assert draw(6, 100) == [draw(1, 100 + i)[0] for i in range(6)]
    assert len(set(map(tuple, draw(6, 100)))) > 1


def test_steps_whose_end_no_single_token_shows_are_cut_by_the_rule(offline: dict[str, TokenEngine]) -> None:
    """vLLM is given stop ids alone; a rule over several tokens (two digits in a row, say) is cut on token ids, and
    what was drawn after the cut leaves no trace."""
    table = np.zeros((2, 17), dtype=np.int16)
    table[0, 1:11] = 1  # after a digit ...
    table[1, 1:11] = -1  # ... another ends the step
    rule = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 6, table)
    engine = offline["base"]
    steps = engine.sample(engine.prefill([PROMPTS[0]]), 400, streams_of([3]), rule)
    ended = [step for step in steps.token_ids[0] if len(step) > 1 and {*step[-2:]} <= {*range(1, 11)}]
    assert len(ended) > 40
    for step, finish in zip(steps.token_ids[0], steps.finish[0], strict=True):
        assert rule.cut(step) == (tuple(step), finish)
    scored = engine.score(engine.prefill([PROMPTS[0]]), steps.tokens)
    np.testing.assert_allclose(scored, steps.token_logp, rtol=0, atol=1e-5)
    assert not steps.token_logp[steps.tokens == PAD].any()


def test_a_step_that_may_not_fit_the_context_is_refused_before_it_is_drawn(offline: dict[str, TokenEngine]) -> None:
    engine = offline["draft"]
    assert engine.context == 63
    full = engine.prefill([[1] * 59])
    assert engine.sample(full, 2, streams_of([0]), RULE).tokens.shape[:2] == (1, 2)
    with pytest.raises(InputError, match="64 tokens, longer than the 63"):
        engine.sample(engine.prefill([[1] * 60]), 2, streams_of([0]), RULE)


def test_prompts_of_a_batch_may_exceed_what_is_prefilled_at_once(offline: dict[str, TokenEngine]) -> None:
    """With seeds, a prompt prefilled in parts kills the CPU build: a few hundred candidates of a prompt just under a
    cache block were enough. And each draw must be what it is alone."""
    engine = offline["draft"]
    long = (SPREAD * 3)[:31]
    prefixes = engine.prefill([long, long[1:]])
    steps = engine.sample(prefixes, 400, streams_of([0, 1]), RULE)
    few = engine.sample(engine.select(prefixes, [1]), 3, streams_of([1]), RULE)
    assert few.token_ids[0] == steps.token_ids[1][:3]
    assert np.isfinite(engine.score(prefixes, steps.tokens)).all()


@pytest.mark.parametrize(
    ("tail", "options", "named"),
    [
        ("", {}, "heads of 16 numbers.*llm_check.models.tiny.widen"),
        ("?logprobs_mode=processed_logprobs", {}, "option logprobs_mode"),
        ("?trust_remote_code=true", {}, "option trust_remote_code"),
        ("", {"device": "cuda"}, "runs on cpu"),
        ("", {"temperature": 0.7}, "temperature 0.7"),
    ],
)
def test_what_cannot_be_served_is_refused(tail: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        load_engine(f"vllm:{checkpoint_path('draft')}{tail}", **options)


def test_an_option_that_vllm_does_not_know_is_named(wide: Path) -> None:
    with pytest.raises(InputError, match="speeed"):
        load_engine(f"vllm:{wide / 'draft'}?speeed=1")
