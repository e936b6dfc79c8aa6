"""Tests against a law that nothing enumerates: their level for right samplers, their power for wrong ones.

The law is a table over 2,000 ids that depends on the token before: peaked and long-tailed, as those of language models.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gsi_theory import Scheme
from llm_check.models.checks.scored_law import FLOOR, detectable, mean_p, prefix_cells, rank_test, token_facts
from llm_check.models.checks.significance import binomial_p, holm
from llm_check.models.checks.winner_law import places_of_winners, score_gate_passes, winner_probabilities
from llm_check.models.decoding.reasoning_steps import PAD, StepRule
from llm_check.models.decoding.winners import GATES, select
from llm_check.models.tiny.exact_steps import frequency_test

VOCABULARY, CONTEXTS, DEPTH = 2000, 40, 4
RULE = StepRule(frozenset(), frozenset({7}), DEPTH)
REPEATS = 200


@cache
def table(temperature: float = 1.0, dropped: bool = False) -> np.ndarray:
    """Log-probabilities (contexts, V): Zipf's law with noise, ids shuffled; id 7 ends a step."""
    rng = np.random.default_rng(5)
    logits = -1.3 * np.log(1 + np.arange(VOCABULARY)) + rng.normal(size=(CONTEXTS, VOCABULARY)) / 2
    logits = np.stack([row[rng.permutation(VOCABULARY)] for row in logits])
    logits[:, 7] = logits.max(axis=1) - 2.0
    if dropped:
        logits[np.arange(CONTEXTS), logits.argmax(axis=1)] = -40.0
    return np.asarray(logits / temperature - np.logaddexp.reduce(logits / temperature, axis=1)[:, None])


class Tabled:
    """The law of the table, as `StepLaw`."""

    def along(self, steps: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(steps), 64):
            part = np.maximum(steps[start : start + 64], 0)
            contexts = np.column_stack([np.zeros(len(part), dtype=int), part % CONTEXTS])
            yield slice(start, start + len(part)), table()[contexts].copy()


def drawn(rng: np.random.Generator, count: int, law: np.ndarray) -> np.ndarray:
    """Steps (count, DEPTH) of a sampler that follows `law`."""
    steps = np.full((count, DEPTH), PAD, dtype=np.int32)
    cdf = np.cumsum(np.exp(law), axis=1)
    context, live = np.zeros(count, dtype=int), np.ones(count, dtype=bool)
    for t in range(DEPTH):
        u = rng.random(count)
        ids = np.array([np.searchsorted(cdf[c], v * cdf[c, -1], side="right") for c, v in zip(context, u, strict=True)])
        steps[live, t] = ids[live]
        live &= ids != 7
        context = ids % CONTEXTS
    return steps


def p_values(steps: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """The p-value of every test of draws."""
    found: dict[str, float] = {}
    for depth in (1, 2, 3):
        cells = prefix_cells(Tabled(), RULE, depth, len(steps))
        at = cells.locate(steps)
        found[f"tokens {depth}"] = frequency_test(at, cells.mass).p_value
        large = cells.mass * len(steps) >= 5
        single = binomial_p(np.bincount(at, minlength=large.size)[large], len(steps), cells.mass[large])
        found[f"cells {depth}"] = float(holm(single).min())
    below, own, excess, variance = token_facts(Tabled(), steps).of(np.arange(len(steps)))
    found["ranks"] = rank_test(below, own, rng.random(own.size)).p_value
    sum_p = mean_p(excess, variance, -FLOOR)
    assert sum_p is not None
    return found | {"log-prob": sum_p}


def repeated(count: int, law: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    runs = [p_values(drawn(rng, count, law), rng) for _ in range(REPEATS)]
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


def test_cells_are_a_partition_of_known_mass() -> None:
    for depth in (1, 2, 3):
        cells = prefix_cells(Tabled(), RULE, depth, 300)
        assert cells.mass.sum() == pytest.approx(1.0) and (cells.mass[1:] * 300 >= 5).all() and len(cells.mass) > 5
        first = np.exp(table()[0])
        for path, cell in cells.leaves.items():
            expected = first[path[0]]
            for before, token in pairwise(path):
                expected *= np.exp(table()[before % CONTEXTS, token])
            assert cells.mass[cell] == pytest.approx(expected)
            assert len(path) == depth or path[-1] == 7
    # cells of two tokens merge to those of one
    one, two = (prefix_cells(Tabled(), RULE, d, 300) for d in (1, 2))
    top = max(one.leaves, key=lambda path: one.mass[one.leaves[path]])
    inside = sum(two.mass[cell] for path, cell in two.leaves.items() if path[0] == top[0])
    assert inside + two.mass[two.others[top]] == pytest.approx(one.mass[one.leaves[top]], abs=two.mass[0] + 1e-12)


def test_facts_of_tokens_by_hand() -> None:
    steps = np.array([[3, 7, PAD, PAD], [1999, 5, 5, 5]], dtype=np.int32)
    facts = token_facts(Tabled(), steps)
    assert facts.real.sum() == 6
    law = table()[5 % CONTEXTS]
    assert facts.logp[1, 2] == pytest.approx(law[5])
    assert facts.below[1, 2] == pytest.approx(np.exp(law[law > law[5]]).sum())
    bounded = np.maximum(law, FLOOR)
    mean = (np.exp(law) * bounded).sum()
    assert facts.excess[1, 2] == pytest.approx(max(law[5], FLOOR) - mean)
    assert facts.variance[1, 2] == pytest.approx((np.exp(law) * (bounded - mean) ** 2).sum())
    assert facts.logp[0, 2] == 0.0


def test_right_samplers_fail_no_more_often_than_the_level_says() -> None:
    """200 repeats of 300 draws: shares below 0.05 and 0.01 within three errors, and no p-value piles up at 1."""
    for name, p in repeated(300, table()).items():
        for level in (0.05, 0.01):
            assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / REPEATS), (name, level)
        assert name.startswith("cells") or 0.4 <= p.mean() <= 0.6, name


@pytest.mark.parametrize(("temperature", "dropped"), [(0.9, False), (1.0, True), (0.7, False)])
def test_wrong_samplers_are_found_with_the_power_that_is_stated(temperature: float, dropped: bool) -> None:
    """At as many draws as make the total variation on the cells one that is found with 80 %, it is; and a wrong
    temperature is found by the sum of log-probabilities with fewer."""
    wrong, level = table(temperature, dropped), 0.01
    for draws in np.unique(np.geomspace(20, 20_000, 40).astype(int)).tolist():
        cells = prefix_cells(Tabled(), RULE, 1, draws)
        q = np.array(cells.mass) * 0
        for path, cell in cells.leaves.items():
            q[cell] = np.exp(wrong[0, path[0]])
        q[cells.others[()]] += 1 - q.sum()
        bound = detectable(
            frequency_test(cells.locate(drawn(np.random.default_rng(1), draws, table())), cells.mass).cells,
            draws,
            level,
        )
        if bound is not None and 0.5 * np.abs(q - cells.mass).sum() >= bound:
            break
    else:
        raise AssertionError("no number of draws tells them apart")
    rng = np.random.default_rng(12)
    hits = []
    for _ in range(REPEATS):
        steps = drawn(rng, draws, wrong)
        hits.append(frequency_test(cells.locate(steps), cells.mass).p_value <= level)
    assert np.mean(hits) >= 0.8 - 3 * np.sqrt(0.16 / REPEATS)
    if temperature != 1.0:
        few = [p_values(drawn(rng, min(draws, 400), wrong), rng)["log-prob"] <= level for _ in range(40)]
        assert np.mean(few) >= 0.8


def test_detectable_falls_with_draws_and_stands_for_its_power() -> None:
    assert detectable(1, 100, 0.01) is None
    few, many = detectable(20, 100, 0.01), detectable(20, 10_000, 0.01)
    assert few == pytest.approx(10 * many)
    # two cells: a binomial test of p = 1/2 against 1/2 + TV
    rng, draws = np.random.default_rng(3), 1000
    tv = detectable(2, draws, 0.05)
    assert tv is not None
    heads = rng.binomial(draws, 0.5 + tv, 4000)
    rejected = (heads - 500) ** 2 / 250 > 3.841
    assert rejected.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("rule", ["softmax", "race", "max", "regularized:2"])
def test_winners_follow_their_law_given_the_candidates(rule: str) -> None:
    rng = np.random.default_rng(21)
    p = []
    for _ in range(REPEATS):
        weight = rng.normal(size=(150, 4)) * 1.5
        uniforms = rng.random(weight.shape)
        winner, _ = select(weight, uniforms, rule)
        probability = winner_probabilities(weight, rule)
        p.append(rank_test(*places_of_winners(probability, winner), rng.random(150)).p_value)
    assert (np.array(p) <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPEATS)
    other = winner_probabilities(weight, "race" if rule == "softmax" else "softmax")
    wrong = [rank_test(*places_of_winners(np.tile(other, (20, 1)), np.tile(winner, 20)), rng.random(3000)).p_value]
    assert wrong[0] < 1e-3


def test_the_score_gate_given_the_candidates() -> None:
    rng = np.random.default_rng(22)
    scheme = Scheme(2.0, 4, 0.5, "race", gate="score")
    weight = np.repeat(rng.normal(size=(1, 4)), 200_000, axis=0)
    _, score = select(weight, rng.random(weight.shape), "race")
    passes: Any = GATES["score"].passes(score, score, score, scheme, score)
    assert score_gate_passes(weight[:1], scheme)[0] == pytest.approx(passes.mean(), abs=0.005)
