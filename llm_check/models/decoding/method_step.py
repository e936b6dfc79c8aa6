"""One step of a method at B places: search, gate, fallback, and a record of all of it.

Costs count candidates and tokens as if nothing were shared between them, and only what the method itself needs: the
step taken is judged for the record also where the method never asks for its reward, and that is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.instance import tilted_rewards
from gsi_theory.methods import METHODS, Method
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Flags, Floats, Ints
from llm_check.models.decoding.method_table import policies_used
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.decoding.search import SEARCHES, Found, Setting, residual
from llm_check.models.decoding.step_candidates import COSTS, Models, judge, padded
from llm_check.models.decoding.winners import GATES
from llm_check.models.model_types import Encoded

__all__ = ["RECORDED", "StepOutcome", "run_step"]


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
    accepted: Flags
    gate_value: Floats
    winner_reward: Floats
    winner_log_ratio: Floats
    winner_tilted_reward: Floats
    draft_samples: Ints
    base_samples: Ints
    base_scored: Ints
    draft_scored: Ints
    reward_calls: Ints
    draft_tokens: Ints
    base_tokens: Ints
    base_scored_tokens: Ints
    draft_scored_tokens: Ints
    reward_tokens: Ints


RECORDED = tuple(field.name for field in fields(StepOutcome) if field.name != "tokens")


def run_step(
    method: Method,
    scheme: Scheme,
    models: Models,
    caches: dict[str, Encoded],
    places: Sequence[Position],
    rule: StepRule,
    seed: int,
    passed: Flags | None = None,
) -> StepOutcome:
    """One step of `method` under `scheme` at B places; row b depends on places[b] and the seed alone.

    `caches` holds the encoded prefixes of `policies_used(method)`. `passed` (B,) says whether the step before passed
    the gate, which only methods that switch read (None: no steps before).
    """
    require_plain(scheme.target, "decoding on models")
    at = Setting(method, scheme, models, caches, places, rule, seed)
    if method.switch is not None:
        return _switched(at, np.zeros(len(places), dtype=bool) if passed is None else passed)
    found = SEARCHES[method.search](at)
    if method.gate is None or not method.gated(scheme):
        return _outcome(at, found)
    gate = GATES[method.gate]
    # The uniform is drawn where the gate may read it: ω of (M21).
    uniforms = np.array([place.stream(seed, Purpose.ACCEPT).generator().random() for place in places])
    accepted = gate.passes(found.reward, found.log_ratio, found.score, scheme, uniforms)
    outcome = _outcome(at, found, accepted, gate.value(found.reward, found.log_ratio, found.score, scheme))
    rejected = np.flatnonzero(~accepted)
    return outcome if not len(rejected) else _with_fallback(at, outcome, rejected)


def _outcome(at: Setting, found: Found, accepted: Flags | None = None, gate_value: Floats | None = None) -> StepOutcome:
    """The record of a step; without a gate everyone is accepted."""
    size, reward = len(at.places), found.reward.copy()
    accepted = np.ones(size, dtype=bool) if accepted is None else accepted
    # Only steps that are kept are judged for the record.
    unknown = np.flatnonzero(np.isnan(reward) & accepted)
    reward[unknown] = judge(at.models.reward_model, at.places, unknown, found.tokens[unknown])
    return StepOutcome(
        tokens=found.tokens,
        finish=found.finish,
        source=found.source,
        reward=reward,
        accepted=accepted,
        gate_value=np.full(size, np.nan) if gate_value is None else gate_value,
        winner_reward=found.reward,
        winner_log_ratio=found.log_ratio,
        winner_tilted_reward=tilted_rewards(found.reward, found.log_ratio, at.scheme.beta),
        **found.costs,
    )


def _part(at: Setting, method: Method, scheme: Scheme, rows: Ints) -> Setting:
    """A method's step at the places `rows` alone."""
    caches = {policy: at.cache(policy, rows) for policy in policies_used(method)}
    return Setting(method, scheme, at.models, caches, [at.places[b] for b in rows.tolist()], at.rule, at.seed)


def _played(at: Setting) -> StepOutcome:
    return run_step(at.method, at.scheme, at.models, at.caches, at.places, at.rule, at.seed)


def _with_fallback(at: Setting, outcome: StepOutcome, rejected: Ints) -> StepOutcome:
    """`outcome` with the rejected rows' steps drawn from the base, and their costs added."""
    if at.method.fallback == "residual":
        part = _part(at, at.method, at.scheme, rejected)
        drawn = _outcome(part, residual(part))
    else:
        method = METHODS["soft_bon_base" if at.method.fallback == "select" else "base"]
        drawn = _played(_part(at, method, Scheme(at.scheme.beta, at.scheme.base_draws, None, at.scheme.rule), rejected))
    depth = max(outcome.tokens.shape[1], drawn.tokens.shape[1])
    changed = {"tokens": padded(outcome.tokens, depth).copy()}
    changed["tokens"][rejected] = padded(drawn.tokens, depth)
    for key in ("finish", "source", "reward", *COSTS):
        column, later = getattr(outcome, key).copy(), getattr(drawn, key)
        column[rejected] = column[rejected] + later if key in COSTS else later
        changed[key] = column
    return replace(outcome, **changed)  # type: ignore[arg-type]


def _switched(at: Setting, passed: Flags) -> StepOutcome:
    """Rows whose last step passed take the second method of the switch, the others the first; nobody falls back."""
    parts: list[tuple[Ints, StepOutcome]] = []
    for goes in (False, True):
        if len(rows := np.flatnonzero(passed == goes)):
            parts.append((rows, _played(_part(at, *at.method.step(at.scheme, goes), rows))))
    merged = _merged(parts, len(at.places))
    value = np.where(np.isnan(merged.winner_tilted_reward), merged.winner_reward, merged.winner_tilted_reward)
    return replace(merged, gate_value=value)


def _merged(parts: list[tuple[Ints, StepOutcome]], size: int) -> StepOutcome:
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
