"""One step of a method at B places: search, gate, fallback, and a record of all of it.

Costs count candidates and tokens as if nothing were shared between them, and only what the method itself needs: the
step taken is judged for the record also where the method never asks for its reward, and that is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.instance import tilted_rewards
from gsi_theory.types import Floats
from llm_check.models.decoding.method_table import METHODS, Method, policies_used
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.decoding.search import SEARCHES, Found, Setting
from llm_check.models.decoding.step_candidates import COSTS, Models, judge, padded
from llm_check.models.decoding.winners import GATES

__all__ = ["RECORDED", "StepOutcome", "run_step"]

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class StepOutcome:
    """One step at B places; every array has one row for each.

    The step taken: tokens (B, T) padded, finish ("stop", "eos", "length": cut by the cap), source (who drew it),
    reward. Of the proposal's winner, accepted or not: winner_reward, winner_log_ratio ℓ (nats), winner_tilted_reward
    r + ℓ/β (reward units), NaN where the method does not compute them. accepted: the step taken is that winner.
    gate_value: what the gate compared with the threshold, reward units; NaN without a gate. Then costs, in candidates
    and in tokens: drawn by the draft (and further drafters) and by the base, scored by the base and by the drafters,
    rewards asked for.
    """

    tokens: NDArray[np.int32]
    finish: NDArray[np.str_]
    source: NDArray[np.str_]
    reward: Floats
    accepted: NDArray[np.bool_]
    gate_value: Floats
    winner_reward: Floats
    winner_log_ratio: Floats
    winner_tilted_reward: Floats
    draft_samples: Counts
    base_samples: Counts
    base_scored: Counts
    draft_scored: Counts
    reward_calls: Counts
    draft_tokens: Counts
    base_tokens: Counts
    base_scored_tokens: Counts
    draft_scored_tokens: Counts
    reward_tokens: Counts


RECORDED = tuple(field.name for field in fields(StepOutcome) if field.name != "tokens")


def run_step(
    method: Method,
    scheme: Scheme,
    models: Models,
    caches: dict[str, Any],
    places: Sequence[Position],
    rule: StepRule,
    seed: int,
    passed: NDArray[np.bool_] | None = None,
) -> StepOutcome:
    """One step of `method` under `scheme` at B places; row b depends on places[b] and the seed alone.

    `caches` holds the encoded prefixes of `policies_used(method)`. `passed` (B,) says whether the step before passed
    the gate, which only methods that switch read (None: no steps before).
    """
    at = Setting(method, scheme, models, caches, places, rule, seed)
    if method.switch is not None:
        return _switched(at, np.zeros(len(places), dtype=bool) if passed is None else passed)
    found = SEARCHES[method.search](at)
    if not at.gated or method.gate is None:
        everyone = np.ones(len(places), dtype=bool)
        return _outcome(at, found, everyone, np.full(len(places), np.nan))
    gate = GATES[method.gate]
    # The uniform is drawn where the gate may read it: ω of (M21).
    uniforms = np.array([place.stream(seed, Purpose.ACCEPT).generator().random() for place in places])
    accepted = gate.passes(found.reward, found.log_ratio, found.score, scheme, uniforms)
    value = gate.value(found.reward, found.log_ratio, found.score, scheme)
    outcome = _outcome(at, found, accepted, value)
    rejected = np.flatnonzero(~accepted)
    return outcome if not len(rejected) else _with_fallback(at, outcome, rejected)


def _outcome(at: Setting, found: Found, accepted: NDArray[np.bool_], gate_value: Floats) -> StepOutcome:
    reward = found.reward.copy()
    # Only steps that are kept are judged for the record.
    unknown = np.flatnonzero(np.isnan(reward) & accepted)
    reward[unknown] = judge(at.models.reward_model, at.places, unknown, found.tokens[unknown])
    return StepOutcome(
        tokens=found.tokens,
        finish=found.finish,
        source=found.source,
        reward=reward,
        accepted=accepted,
        gate_value=gate_value,
        winner_reward=found.reward,
        winner_log_ratio=found.log_ratio,
        winner_tilted_reward=tilted_rewards(found.reward, found.log_ratio, at.scheme.beta),
        **found.costs,
    )


def _with_fallback(at: Setting, outcome: StepOutcome, rejected: NDArray[np.int64]) -> StepOutcome:
    """`outcome` with the rejected rows' steps drawn from the base, and their costs added."""
    name = "soft_bon_base" if at.method.fallback == "select" else "base"
    method = METHODS[name]
    scheme = Scheme(at.scheme.beta, at.scheme.base_draws, None, at.scheme.rule)
    cache = at.models.base.select(at.caches["base"], rejected)
    places = [at.places[b] for b in rejected.tolist()]
    drawn = run_step(method, scheme, at.models, {"base": cache}, places, at.rule, at.seed)
    depth = max(outcome.tokens.shape[1], drawn.tokens.shape[1])
    changed: dict[str, Any] = {"tokens": padded(outcome.tokens, depth).copy()}
    changed["tokens"][rejected] = padded(drawn.tokens, depth)
    for key in ("finish", "source", "reward"):
        changed[key] = getattr(outcome, key).copy()
        changed[key][rejected] = getattr(drawn, key)
    for key in COSTS:
        changed[key] = getattr(outcome, key).copy()
        changed[key][rejected] += getattr(drawn, key)
    return replace(outcome, **changed)


def _switched(at: Setting, passed: NDArray[np.bool_]) -> StepOutcome:
    """Rows whose last step passed take the second method of the switch, the others the first; nobody falls back."""
    assert at.method.switch is not None and at.scheme.threshold is not None
    parts: list[tuple[NDArray[np.int64], StepOutcome]] = []
    for goes, name in zip((False, True), at.method.switch, strict=True):
        rows = np.flatnonzero(passed == goes)
        if not len(rows):
            continue
        scheme = Scheme(at.scheme.beta, at.scheme.n if goes else at.scheme.base_draws, None, at.scheme.rule)
        used = policies_used(METHODS[name])
        caches = {policy: at.models.engine(policy).select(at.caches[policy], rows) for policy in used}
        places = [at.places[b] for b in rows.tolist()]
        parts.append((rows, run_step(METHODS[name], scheme, at.models, caches, places, at.rule, at.seed)))
    merged = _merged(parts, len(at.places))
    value = np.where(np.isnan(merged.winner_tilted_reward), merged.winner_reward, merged.winner_tilted_reward)
    return replace(merged, gate_value=value)


def _merged(parts: list[tuple[NDArray[np.int64], StepOutcome]], size: int) -> StepOutcome:
    """One outcome of `size` rows from outcomes of some rows each."""
    depth = max(part.tokens.shape[1] for _, part in parts)
    merged = {}
    for field in fields(StepOutcome):
        pieces = [getattr(part, field.name) for _, part in parts]
        if field.name == "tokens":
            pieces = [padded(piece, depth) for piece in pieces]
        together = np.concatenate(pieces)
        ordered = np.empty_like(together)
        ordered[np.concatenate([rows for rows, _ in parts])] = together
        merged[field.name] = ordered
    return StepOutcome(**merged)
