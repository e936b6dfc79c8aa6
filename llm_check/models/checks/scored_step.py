"""Samplers against the exact law of their next step where no list of steps is possible, at one position: `lm_law`.

Draws of both models are held against the conditional laws of transformers' own forward (`checks.scored_law`); winners
of every scheme against their exact law given the candidates (`checks.winner_law`), whose log-ratios come from that
forward too. Given that candidates follow π_S and π_B and that winners follow their law given the candidates,
the steps follow the scheme's law.

    tokens d      first d tokens: χ² of cells with 5 or more draws expected, and each cell
    ranks         places of all tokens in their conditional laws: χ² of 20 equal bins
    log-prob      sum of log-probabilities minus its expectation
    overlap       E_S min(1, π_B/π_S) = E_B min(1, π_S/π_B), both 1 - TV(π_S, π_B): Welch's t
    winner        places of the winners (and fallbacks) in their laws given the candidates: χ² of equal bins
    reward        sum of the winners' rewards minus its expectation given the candidates
    gate          accepted as the gate says, with certainty or (score gate) with its probability
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory import Scheme
from gsi_theory.instance import tilted_rewards
from gsi_theory.types import Floats, Record
from llm_check.models.checks.plain_law import PlainLaw
from llm_check.models.checks.scored_law import (
    FLOOR,
    Z_LEAST,
    TokenFacts,
    mean_p,
    prefix_cells,
    rank_test,
    token_facts,
)
from llm_check.models.checks.significance import binomial_p
from llm_check.models.checks.winner_law import places_of_winners, score_gate_passes, winner_probabilities
from llm_check.models.decoding.fresh_runs_of_step import StepMeasurement, measure_step
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.tiny.exact_steps import SMALLEST_EXPECTED, FrequencyTest, frequency_test
from llm_check.models.world import World, transformers_pair

__all__ = ["DEPTHS", "scored_tests"]

DEPTHS = (1, 2, 3)
# A tilted reward is trusted to this (reward units): gates nearer to their threshold may fall either way.
_ROUNDING = 1e-3


def _row(sampler: str, test: str, found: FrequencyTest | float, draws: int) -> Record:
    if isinstance(found, FrequencyTest):
        numbers: Record = {"p_value": found.p_value, "cells": found.cells, "chi2_stat": found.statistic}
        numbers |= {"dof": found.dof, "max_abs_z": found.max_abs_z}
    else:
        numbers = {"p_value": found, "cells": 1, "chi2_stat": None, "dof": 0, "max_abs_z": None}
    return {"sampler": sampler, "test": test, "draws": draws, **numbers}


def _of_draws(
    name: str,
    law: PlainLaw,
    steps: NDArray[np.int32],
    rows: NDArray[np.int64],
    facts: TokenFacts,
    world: World,
    rng: np.random.Generator,
) -> Iterator[tuple[Record, Floats]]:
    """(row, p-values of single cells) of the tests of one model's draws, steps[rows]."""
    draws, none, before = len(rows), np.ones(0), 0
    for depth in DEPTHS[: world.rule.max_tokens]:
        cells = prefix_cells(law, world.rule, depth, draws)
        if cells.mass.size == before:  # nothing is likely enough to be told apart by one token more
            break
        before = cells.mass.size
        at = cells.locate(steps)[rows]
        large = draws * cells.mass >= SMALLEST_EXPECTED
        single = binomial_p(
            np.bincount(at, minlength=large.size)[large].astype(float), draws, np.minimum(cells.mass[large], 1.0)
        )
        yield _row(name, f"tokens {depth}", frequency_test(at, cells.mass), draws), single
    below, own, excess, variance = facts.of(rows)
    yield _row(name, "ranks", rank_test(below, own, rng.random(own.size)), own.size), none
    p = mean_p(excess, variance, -FLOOR)
    if p is not None:
        yield _row(name, "log-prob", p, own.size), none


def _of_winners(
    name: str, measured: StepMeasurement, s: int, log_ratio: Floats, rng: np.random.Generator
) -> Iterator[Record]:
    """Rows of the winners and fallbacks of scheme number s; log_ratio (M,) of the distinct steps."""
    scheme, reward, runs = measured.schemes[s], measured.step_reward, np.arange(len(measured.drafts))
    weight = scheme.beta * reward + log_ratio
    kinds = [("winner", measured.drafts[:, : scheme.n], weight, measured.winner[s])]
    if scheme.threshold is not None:
        bases = measured.bases[:, : scheme.base_draws]
        kinds.append(("fallback", bases, scheme.beta * reward, measured.fallback[s]))
    for kind, candidates, log_weight, won in kinds:
        probability = winner_probabilities(log_weight[candidates], scheme.rule)
        yield _row(name, kind, rank_test(*places_of_winners(probability, won), rng.random(runs.size)), runs.size)
        values = reward[candidates]
        mean = (probability * values).sum(axis=1)
        variance = np.maximum((probability * values**2).sum(axis=1) - mean**2, 0.0)
        p = mean_p(values[runs, won] - mean, variance, float(np.ptp(reward)) or 1.0)
        if p is not None:
            yield _row(name, f"reward of {kind}", p, runs.size)
    p = _gate_p(measured, s, weight[measured.drafts[:, : scheme.n]], log_ratio)
    if p is not None:
        yield _row(name, "gate", p, runs.size)


def _gate_p(measured: StepMeasurement, s: int, log_weight: Floats, log_ratio: Floats) -> float | None:
    """p-value of the runs accepted: 0 or 1 where the gate is certain given the winner; None without a gate."""
    scheme, accepted = measured.schemes[s], measured.accepted[s]
    if scheme.threshold is None or not np.isfinite(scheme.threshold):
        return None
    if scheme.gate == "score":
        chance = score_gate_passes(log_weight, scheme)
        return mean_p(accepted - chance, chance * (1.0 - chance), 1.0)
    at = measured.drafts[np.arange(len(accepted)), measured.winner[s]]
    value = tilted_rewards(measured.step_reward[at], log_ratio[at], scheme.beta)
    clear = np.abs(value - scheme.threshold) > _ROUNDING
    return float(np.array_equal(accepted[clear], value[clear] >= scheme.threshold))


def _same_mean(ours: Floats, theirs: Floats) -> float | None:
    """Welch's p-value of one mean of two samples in [0, 1]; None where nearly all are 0, or nearly all 1."""
    if min(min(part.sum(), (1.0 - part).sum()) for part in (ours, theirs)) < Z_LEAST:
        return None
    return float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def scored_tests(
    world: World, exact: World, place: Position, schemes: dict[str, Scheme], draws: int, seed: int
) -> Record:
    """Rows of all tests at one position on `draws` draws of each model, p-values of single cells, mean and variance of
    the ratios π_B/π_S of the drafts, and the largest difference of a token's log-probability between the engines and
    transformers' forward."""
    runs = max(1, draws // max(scheme.n for scheme in schemes.values()))
    pair = (world.draft, world.base)
    measured = measure_step(*pair, world.reward_model, place, runs, list(schemes.values()), world.rule, seed)
    rng = place.stream(seed, Purpose.CHECK).generator()
    laws = [
        PlainLaw(engine.model, place.prefix, engine.contract.sampling_temperature)
        for engine in transformers_pair(exact)
    ]
    facts = [token_facts(law, measured.steps) for law in laws]
    drawn = (measured.drafts.ravel(), measured.bases.ravel())
    rows, single = [], []
    for name, law, indices, known in zip(("draft", "base"), laws, drawn, facts, strict=True):
        for row, p in _of_draws(name, law, measured.steps, indices, known, world, rng):
            rows.append(row)
            single.append(p.tolist())
    log_ratio = facts[1].logp.sum(axis=1) - facts[0].logp.sum(axis=1)
    shares = [np.exp(np.minimum(0.0, sign * log_ratio[i])) for sign, i in zip((1.0, -1.0), drawn, strict=True)]
    p_overlap = _same_mean(*shares)
    if p_overlap is not None:
        rows.append(_row("draft", "overlap", p_overlap, drawn[0].size))
    for s, name in enumerate(schemes):
        rows += _of_winners(name, measured, s, log_ratio, rng)
    single += [[]] * (len(rows) - len(single))
    ratio = np.exp(log_ratio[drawn[0]])
    scores = [engine.score(engine.prefill([place.prefix]), measured.steps[None])[0] for engine in pair]
    return {
        "rows": rows,
        "outcome_p": single,
        "ratio": (float(ratio.mean()), float(ratio.var())),
        "overlap": float(np.concatenate(shares).mean()),
        "difference": max(float(np.abs(score - f.logp).max()) for score, f in zip(scores, facts, strict=True)),
    }
