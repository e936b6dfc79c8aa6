"""Samplers with planted mistakes, written out in NumPy from what the words of a mistake say; no project code.

`planted(method, mistake, ...)` draws many rounds at once. Of "gsi" (softmax), "soft_bon_draft", "soft_bon_base",
"best_of_n_base", "rsd" and "speculative"; the mistake "" is none.
"""

from __future__ import annotations

import numpy as np

__all__ = ["PLANTED", "planted"]

COLD = 0.7
_GSI = (
    "one_fewer", "one_more", "one_base_fewer", "one_base_more", "beta_missing", "reward_negated",
    "rewards_standardized", "ratio_inverted", "ratio_missing", "ratio_missing_in_weights", "ratio_clipped",
    "ratio_times_beta", "threshold_on_reward", "threshold_on_weight", "threshold_strict", "gate_before_selection",
    "no_fallback", "drafts_again", "winner_reused", "fallback_from_draft", "fallback_of_one", "fallback_with_ratio",
    "greedy", "first_candidate", "duplicates_dropped", "cold_draws", "cold_draft_scores", "cold_base_scores",
    "models_exchanged",
)  # fmt: skip
_SOFT = (
    "one_fewer", "one_more", "beta_missing", "reward_negated", "rewards_standardized", "greedy", "first_candidate",
    "duplicates_dropped", "cold_draws",
)  # fmt: skip
PLANTED = {
    "gsi": _GSI,
    "soft_bon_draft": (*_SOFT, "models_exchanged"),
    "soft_bon_base": _SOFT,
    "best_of_n_base": (
        "one_fewer", "one_more", "reward_negated", "first_candidate", "softmax_for_best", "ties_to_smallest",
        "ties_to_largest", "cold_draws",
    ),
    "rsd": (
        "threshold_strict", "no_fallback", "drafts_again", "fallback_from_draft", "cold_draws", "models_exchanged",
    ),
    "speculative": (
        "acceptance_inverted", "residual_missing", "residual_of_both_signs", "number_used_twice", "cold_draws",
        "no_fallback", "drafts_again", "models_exchanged", "cold_draft_scores", "cold_base_scores",
    ),
}  # fmt: skip


def _cold(p: np.ndarray) -> np.ndarray:
    powered = p ** (1.0 / COLD)
    return powered / powered.sum()


def _choice(rng: np.random.Generator, p: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice(p.size, size=shape, p=p / p.sum())


def _picked(rng: np.random.Generator, drawn: np.ndarray, weight: np.ndarray, rule: str) -> np.ndarray:
    """Place of the winner of each row: by Gumbel noise for a draw by weights, the largest with ties at random."""
    noise = rng.gumbel(size=drawn.shape) if rule == "softmax" else 1e-7 * rng.random(drawn.shape)
    return np.argmax(weight + noise, axis=1)


def planted(
    method: str,
    mistake: str,
    draft: np.ndarray,
    base: np.ndarray,
    reward: np.ndarray,
    beta: float,
    n: int,
    n_base: int,
    u: float,
    rounds: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Outcomes (rounds,) of a sampler of `method` that makes `mistake`; draft, base: probabilities (K,)."""
    if method == "speculative":
        return _speculative(mistake, draft, base, rounds, rng)
    n += {"one_fewer": -1, "one_more": 1}.get(mistake, 0)
    n_base += {"one_base_fewer": -1, "one_base_more": 1}.get(mistake, 0)
    n = 1 if mistake == "first_candidate" or method == "rsd" else n
    n_base = 1 if mistake == "fallback_of_one" or method == "rsd" else n_base
    seen_draft = _cold(draft) if mistake == "cold_draft_scores" else draft
    seen_base = _cold(base) if mistake == "cold_base_scores" else base
    log_ratio = np.log(seen_base) - np.log(seen_draft)
    proposing, falling = (base if method.endswith("_base") else draft), base
    if mistake == "models_exchanged":
        proposing, falling = base, draft
    if mistake == "fallback_from_draft":
        falling = draft
    if mistake == "cold_draws":
        proposing, falling = _cold(proposing), _cold(falling)
    rule = "max" if (method == "best_of_n_base") != (mistake in ("greedy", "softmax_for_best")) else "softmax"
    ratio = log_ratio if method == "gsi" else np.zeros(reward.size)
    ratio = {
        "ratio_inverted": -ratio, "ratio_missing": 0.0 * ratio, "ratio_clipped": np.minimum(ratio, 0.0),
        "ratio_times_beta": beta * ratio,
    }.get(mistake, ratio)  # fmt: skip
    gate = reward + ratio / beta if method == "gsi" else reward
    weighing = 0.0 * ratio if mistake == "ratio_missing_in_weights" else ratio
    slope = {"beta_missing": 1.0, "reward_negated": -beta}.get(mistake, beta)
    if mistake == "threshold_on_reward":
        gate = reward
    if mistake == "threshold_on_weight":
        gate = beta * reward + ratio
    accepts = gate > u if mistake == "threshold_strict" else gate >= u
    if method not in ("gsi", "rsd") or mistake == "no_fallback":
        accepts = np.ones(reward.size, dtype=bool)

    def one(size: int) -> np.ndarray:
        """Winners of `size` rounds of drafts, -1 where no draft passed a gate before the selection."""
        drawn = _choice(rng, proposing, (size, n))
        values = reward[drawn]
        if mistake == "rewards_standardized":
            spread = values.std(axis=1, keepdims=True)
            values = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0.0, spread, 1.0)
        weight = slope * values + weighing[drawn]
        if method == "rsd":
            weight = 0.0 * weight
        if mistake in ("ties_to_smallest", "ties_to_largest"):
            weight = weight - {"ties_to_smallest": 1e-4, "ties_to_largest": -1e-4}[mistake] * drawn
        if mistake == "duplicates_dropped":
            for k in range(1, n):
                weight[(drawn[:, :k] == drawn[:, k : k + 1]).any(axis=1), k] = -np.inf
        if mistake == "gate_before_selection":
            weight = np.where(accepts[drawn], weight, -np.inf)
        place = _picked(rng, drawn, weight, rule)
        winner = drawn[np.arange(size), place]
        lost = np.isneginf(weight).all(axis=1)
        return np.where(lost, -1, winner)

    outcome = one(rounds)
    while mistake == "drafts_again" and not accepts[outcome].all():
        outcome[~accepts[outcome]] = one(int((~accepts[outcome]).sum()))
    rejected = np.flatnonzero((outcome < 0) | ~accepts[outcome])
    if rejected.size:
        drawn = _choice(rng, falling, (rejected.size, n_base))
        if mistake == "winner_reused":
            drawn = np.concatenate([outcome[rejected, None], drawn], axis=1)
        weight = beta * reward[drawn] + (log_ratio[drawn] if mistake == "fallback_with_ratio" else 0.0)
        if method == "rsd":
            weight = 0.0 * weight
        outcome[rejected] = drawn[np.arange(rejected.size), _picked(rng, drawn, weight, rule)]
    return outcome


def _speculative(
    mistake: str, draft: np.ndarray, base: np.ndarray, rounds: int, rng: np.random.Generator
) -> np.ndarray:
    seen_draft = _cold(draft) if mistake == "cold_draft_scores" else draft
    seen_base = _cold(base) if mistake == "cold_base_scores" else base
    chance = np.minimum(1.0, seen_base / seen_draft)
    if mistake == "acceptance_inverted":
        chance = np.minimum(1.0, seen_draft / seen_base)
    residual = np.maximum(seen_base - seen_draft, 0.0)
    if mistake == "residual_missing":
        residual = seen_base
    if mistake == "residual_of_both_signs":
        residual = np.abs(seen_base - seen_draft)
    proposing = {"cold_draws": _cold(draft), "models_exchanged": base}.get(mistake, draft)
    outcome, number = _choice(rng, proposing, (rounds,)), rng.random(rounds)
    rejected = number >= chance[outcome]
    if mistake == "no_fallback":
        return outcome
    if mistake == "drafts_again":
        while rejected.any():
            outcome[rejected] = _choice(rng, proposing, (int(rejected.sum()),))
            rejected[rejected] = rng.random(int(rejected.sum())) >= chance[outcome[rejected]]
        return outcome
    again = number[rejected] if mistake == "number_used_twice" else rng.random(int(rejected.sum()))
    ends = np.cumsum(residual / residual.sum())
    outcome[rejected] = np.minimum(np.searchsorted(ends, again, side="right"), ends.size - 1)
    return outcome
