"""What every engine must satisfy, as assertions over the `Engine` protocol alone.

Use: build a `Pair` of the embedded draft and base on the engine under test, and run every entry of `CONTRACT`:

    @pytest.mark.parametrize("law", CONTRACT)
    def test_contract(law, pair): CONTRACT[law](pair)

The oracle is transformers' own module, one whole sequence at a time or equal lengths in a batch: no cache, no padding,
no code of the engine. It reads the sampling temperature off the engine's contract, so engines at T != 1 pass too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from gsi_theory.errors import InputError
from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import PAD, StepRule
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID

# Prompts of the arithmetic task at different lengths, the last two after one and two steps.
PROMPTS = [
    [5, 9, 12, 6, 12, 8, 11, 5, 13],
    [3, 11, 4, 13],
    [10, 2, 11, 7, 12, 1, 13, 3, 11, 8, 13],
    [7, 12, 4, 11, 9, 11, 2, 13, 4, 13, 2, 3, 13],
]
SPREAD = PROMPTS[2]  # both models are unsure here: many different steps
STEPS = [[[4, 13], [5, 6, 7, 13], [13], [2, 2, 9, 9]]] * len(PROMPTS)
RULE = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 4)
SHORT = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 3)


@dataclass(frozen=True)
class Pair:
    """The engines under test on the embedded draft and base, and transformers' modules of the same weights in float32
    as oracles. `draws`: how many steps the tests of laws draw; `tolerance`: nats per token."""

    draft: Engine
    base: Engine
    draft_module: Any
    base_module: Any
    draws: int = 4000
    tolerance: float = 1e-4
    rule: StepRule = field(default=RULE)

    def sides(self) -> list[tuple[Engine, Any]]:
        """(engine, oracle) of draft and base."""
        return [(self.draft, self.draft_module), (self.base, self.base_module)]


def streams_of(names: Sequence[int], purpose: Purpose = Purpose.DRAFT) -> list[PositionStream]:
    """One stream for each name."""
    return [PositionStream(5, f"prompt-{name}", 0, purpose) for name in names]


@torch.inference_mode()
def plain_log_probs(engine: Engine, module: Any, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Oracle: log-probabilities (M, length, V) after every position of M sequences of one length."""
    logits = module(input_ids=torch.tensor([list(row) for row in rows]), use_cache=False).logits
    return torch.log_softmax(logits.double() / engine.contract.sampling_temperature, dim=-1).numpy()


def plain_step(engine: Engine, module: Any, prefix: Sequence[int], step: Sequence[int]) -> np.ndarray:
    """Oracle: the token log-probabilities of one step after one prefix."""
    table = plain_log_probs(engine, module, [[*prefix, *step]])[0]
    return np.array([table[len(prefix) - 1 + t, token] for t, token in enumerate(step)])


def plain_law(engine: Engine, module: Any, prefix: Sequence[int], rule: StepRule) -> dict[tuple[int, ...], float]:
    """Oracle: every next step with its probability, level by level, by whole forwards."""
    leaves: dict[tuple[int, ...], float] = {}
    level: dict[tuple[int, ...], float] = {(): 0.0}
    for _ in range(rule.max_tokens):
        logp = plain_log_probs(engine, module, [[*prefix, *path] for path in level])[:, -1]
        grown = {}
        for (path, own), row in zip(level.items(), logp, strict=True):
            for token, value in enumerate(row.tolist()):
                step = (*path, token)
                closed = token in rule.step_end_ids | rule.eos_ids or len(step) == rule.max_tokens
                (leaves if closed else grown)[step] = own + value
        level = grown
    return {step: float(np.exp(value)) for step, value in leaves.items()}


def scores_equal_a_full_forward(pair: Pair) -> None:
    """Every token log-probability of given steps, over prefixes of different lengths, and zero on the padding."""
    for engine, module in pair.sides():
        scored = engine.score(engine.prefill(PROMPTS), STEPS)
        assert scored.shape == (len(PROMPTS), 4, 4) and scored.dtype == np.float64
        for b, prompt in enumerate(PROMPTS):
            for i, step in enumerate(STEPS[b]):
                oracle = plain_step(engine, module, prompt, step)
                np.testing.assert_allclose(scored[b, i, : len(step)], oracle, rtol=0, atol=pair.tolerance)
                assert not scored[b, i, len(step) :].any()
        padded = np.full((len(PROMPTS), 4, 4), PAD)
        for b, i in np.ndindex(len(PROMPTS), 4):
            padded[b, i, : len(STEPS[b][i])] = STEPS[b][i]
        np.testing.assert_allclose(engine.score(engine.prefill(PROMPTS), padded), scored, rtol=0, atol=pair.tolerance)


def samples_carry_the_log_probs_of_a_full_forward(pair: Pair) -> None:
    """Sampled steps close by the rule, and their token log-probabilities are the oracle's and those `score` gives."""
    for engine, module in pair.sides():
        prefixes = engine.prefill(PROMPTS)
        steps = engine.sample(prefixes, 6, streams_of(range(4)), pair.rule)
        for b, i in np.ndindex(len(PROMPTS), 6):
            step = steps.token_ids[b][i]
            oracle = plain_step(engine, module, PROMPTS[b], step)
            np.testing.assert_allclose(steps.token_logp[b, i, : len(step)], oracle, rtol=0, atol=pair.tolerance)
            assert steps.logp[b, i] == pytest.approx(oracle.sum(), abs=4 * pair.tolerance)
            assert pair.rule.cut(step) == (tuple(step), steps.finish[b, i])
        again = engine.score(prefixes, steps.tokens)
        np.testing.assert_allclose(again, steps.token_logp, rtol=0, atol=pair.tolerance)


def chain_rule(pair: Pair) -> None:
    """log p(a b | x) = log p(a | x) + log p(b | x a), the whole scored as one step on the left."""
    a, b = [3, 9, 13], [14, 4, 15]
    for engine, _ in pair.sides():
        prefixes = engine.prefill(PROMPTS)
        whole = engine.score(prefixes, [[a + b]] * 4)[:, 0]
        first = engine.score(prefixes, [[a]] * 4)[:, 0]
        second = engine.score(engine.extend(prefixes, [a] * 4), [[b]] * 4)[:, 0]
        np.testing.assert_allclose(whole, np.concatenate([first, second], axis=1), rtol=0, atol=pair.tolerance)


def extend_and_select_equal_a_fresh_prefill(pair: Pair) -> None:
    """Prefixes grown step by step, reordered and repeated score as prefixes encoded at once; the old ones stay."""
    first, second = [[4, 13], [5, 6, 7, 13], [13], [2, 2, 13]], [[9, 9, 13], [14, 2], [3, 13]]
    rows = [3, 0, 3]
    for engine, _ in pair.sides():
        start = engine.prefill(PROMPTS)
        grown = engine.extend(start, first)
        deeper = engine.extend(engine.select(grown, rows), second)
        assert (start.rows, grown.rows, deeper.rows) == (4, 4, 3)
        whole = [PROMPTS[r] + first[r] for r in range(4)]
        fresh = engine.prefill(whole)
        deep = engine.prefill([whole[r] + second[i] for i, r in enumerate(rows)])
        for ours, theirs in ((grown, fresh), (deeper, deep), (start, engine.prefill(PROMPTS))):
            wanted = engine.score(theirs, STEPS[: theirs.rows])
            np.testing.assert_allclose(engine.score(ours, STEPS[: ours.rows]), wanted, rtol=0, atol=pair.tolerance)


def batched_equals_single(pair: Pair) -> None:
    """A prompt's samples and scores do not depend on the prompts beside it."""
    for engine, _ in pair.sides():
        together = engine.sample(engine.prefill(PROMPTS), 16, streams_of(range(4)), pair.rule)
        scored = engine.score(engine.prefill(PROMPTS), STEPS)
        for b, prompt in enumerate(PROMPTS):
            alone = engine.sample(engine.prefill([prompt]), 16, streams_of([b]), pair.rule)
            assert alone.token_ids[0] == together.token_ids[b]
            np.testing.assert_allclose(alone.logp[0], together.logp[b], rtol=0, atol=4 * pair.tolerance)
            own = engine.score(engine.prefill([prompt]), [STEPS[b]])[0]
            np.testing.assert_allclose(own, scored[b], rtol=0, atol=pair.tolerance)


def equal_streams_give_equal_steps(pair: Pair) -> None:
    """Same stream, same tokens; the first n of a larger n are these; other streams and prompts give other tokens."""
    for engine, _ in pair.sides():
        prefixes = engine.prefill([SPREAD] * 2)
        small, large = (engine.sample(prefixes, n, streams_of([0, 1]), pair.rule) for n in (8, 24))
        assert small.token_ids == [group[:8] for group in large.token_ids]
        assert small.token_ids == engine.sample(prefixes, 8, streams_of([0, 1]), pair.rule).token_ids
        assert large.token_ids[0] != large.token_ids[1]
        other = engine.sample(prefixes, 24, streams_of([0, 1], Purpose.BASE), pair.rule)
        assert other.token_ids[0] != large.token_ids[0]


def frequencies_follow_the_enumerated_law(pair: Pair) -> None:
    """Pearson's chi-square of drawn steps against the oracle's law; cells expected below 5 are pooled into one."""
    for engine, module in pair.sides():
        law = plain_law(engine, module, SPREAD, SHORT)
        assert sum(law.values()) == pytest.approx(1.0, abs=1e-5)
        steps = engine.sample(engine.prefill([SPREAD]), pair.draws, streams_of([7]), SHORT)
        cell = {step: i for i, step in enumerate(law)}
        counts = np.bincount([cell[tuple(step)] for step in steps.token_ids[0]], minlength=len(law))
        expected = pair.draws * np.array(list(law.values()))
        large = expected >= 5
        assert large.sum() > 3
        observed, wanted = counts[large], expected[large]
        if (rest := pair.draws - wanted.sum()) >= 5:
            observed, wanted = np.append(observed, counts[~large].sum()), np.append(wanted, rest)
        spread = (observed - wanted) ** 2 / wanted
        assert stats.chi2.sf(spread.sum(), max(1, len(wanted) - 1)) > 1e-4
        # What is left over is too little for a cell: a sampler that leaks mass into it would show here.
        assert counts[~large].sum() <= rest + 6 * np.sqrt(rest) + 6


def mean_importance_weight_is_one(pair: Pair) -> None:
    """E under the draft of base over draft is 1: within 4.5 standard errors, and not because both are equal."""
    require_pair(pair.draft, pair.base)
    prompts = [PROMPTS[0], SPREAD, PROMPTS[3]]  # the other is no prompt of the task: the draft misses the base there
    prefixes, other = pair.draft.prefill(prompts), pair.base.prefill(prompts)
    steps = pair.draft.sample(prefixes, pair.draws // 2, streams_of(range(3)), pair.rule)
    ratio = np.exp(pair.base.score(other, steps.tokens).sum(axis=-1) - steps.logp).ravel()
    error = ratio.std(ddof=1) / np.sqrt(ratio.size)
    assert 0.0 < error < 0.2
    assert abs(ratio.mean() - 1.0) < 4.5 * error


def bad_input_is_refused(pair: Pair) -> None:
    """One InputError each, naming the value."""
    engine = pair.draft
    prefixes = engine.prefill([[1, 2]])
    long = [1] * (int(pair.draft_module.config.max_position_embeddings) + 1)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: engine.prefill([]), "no token sequences"),
        (lambda: engine.prefill([[1], []]), "sequence 1 is empty"),
        (lambda: engine.prefill([[1, 16]]), "token id 16"),
        (lambda: engine.prefill([[1, -1]]), "token id -1"),
        (lambda: engine.prefill([[1], long]), str(len(long))),
        (lambda: engine.extend(prefixes, [[1], [2]]), "2 steps for 1 prefixes"),
        (lambda: engine.extend(prefixes, [[99]]), "token id 99"),
        (lambda: engine.extend(prefixes, [long]), str(len(long) + 2)),
        (lambda: engine.score(prefixes, [[[99, 13]]]), "token id 99"),
        (lambda: engine.score(prefixes, [[[1]], [[1]]]), "for 1 prefixes"),
        (lambda: engine.score(prefixes, [[long]]), str(len(long) + 2)),
        (lambda: engine.sample(prefixes, 2, streams_of([0, 1]), RULE), "2 streams for 1 prefixes"),
        (lambda: engine.sample(prefixes, 0, streams_of([0]), RULE), "n = 0"),
    ]
    for call, named in cases:
        with pytest.raises(InputError, match=named):
            call()


def contract_is_filled_in(pair: Pair) -> None:
    """The conditions of the log-probabilities are stated, and agree between the policies."""
    for engine, module in pair.sides():
        contract = engine.contract
        assert all((contract.engine, contract.engine_version, contract.model, contract.dtype))
        assert contract.sampling_temperature > 0 and contract.truncation == "none"
        assert engine.vocabulary == module.config.vocab_size
        assert engine.tokenizer.eos_token_id == EOS_ID
    require_pair(pair.draft, pair.base)


CONTRACT: dict[str, Callable[[Pair], None]] = {
    law.__name__: law
    for law in (
        contract_is_filled_in,
        scores_equal_a_full_forward,
        samples_carry_the_log_probs_of_a_full_forward,
        chain_rule,
        extend_and_select_equal_a_fresh_prefill,
        batched_equals_single,
        equal_streams_give_equal_steps,
        frequencies_follow_the_enumerated_law,
        mean_importance_weight_is_one,
        bad_input_is_refused,
    )
}
