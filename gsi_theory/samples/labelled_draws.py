"""Best-of-n's gold value from few labelled draws: doubly robust, for every n at once (M31, M43).

Draw i of a prompt wins best-of-n by the reward with a chance ω_i(n) that the rewards alone decide: V(n) = Σ ω_i(n) g_i.
With gold g_i known only where a label was bought, by chance e_i, and any model ĝ of gold fitted without this prompt,

    V̂(n) = Σ_i ω_i(n) [ĝ(r_i) + 1{labelled} (g_i - ĝ(r_i))/e_i]

has mean V(n) whatever ĝ is, and little spread where ĝ is good. Here ĝ is the mean gold of reward bins, fitted on the
other half of the prompts: it may fall as well as rise with the reward. P prompts, M numbers n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.samples.curve_bands import CurveBands, curve_bands
from gsi_theory.samples.subset_shares import share_rows
from gsi_theory.types import Floats, Ints

__all__ = ["HarmlessChoice", "harmless_n", "label_support", "labelled_best_of_n"]

_BINS = 8
_FEWEST = 5  # labels a bin


def labelled_best_of_n(
    rewards: Sequence[Floats], gold: Sequence[Floats], chances: Sequence[Floats], ns: Ints, modelled: bool = True
) -> Floats:
    """V̂ (P, M) of every prompt: rewards, gold (NaN: not labelled), chances in (0, 1] of being labelled, (N_p,) each.

    chances must be those with which labels were chosen, from rewards alone and not from gold. modelled: without, ĝ = 0
    (inverse probability weighting). Prompts 0, 2, 4, … are modelled by the others and these by them. Exact given the
    labels, to 1e-12. Raises InputError on shapes, chances outside (0, 1], n beyond some prompt's draws, rewards that
    are not finite.
    """
    counts = np.array([r.size for r in rewards])
    whole = len(rewards) == len(gold) == len(chances) and all(
        r.shape == g.shape == e.shape and r.ndim == 1 for r, g, e in zip(rewards, gold, chances, strict=False)
    )
    if not whole or not counts.size or counts.min() < 1:
        raise InputError(
            f"{len(rewards)} prompts' rewards, {len(gold)} gold, {len(chances)} chances: one of each a draw"
        )
    if ns.size == 0 or ns.min() < 1 or ns.max() > counts.min():
        raise InputError(f"n = {ns.tolist()}: give whole numbers from 1 to {counts.min()}, the draws of every prompt")
    for p, (reward, chance) in enumerate(zip(rewards, chances, strict=True)):
        if not np.isfinite(reward).all() or not bool(((chance > 0) & (chance <= 1)).all()):
            raise InputError(f"prompt {p}: give finite rewards, and chances of a label above 0 and at most 1")
    folds = [list(range(k, len(rewards), 2)) for k in (0, 1)]
    out = np.empty((len(rewards), ns.size))
    for fold, other in ((folds[0], folds[1]), (folds[1], folds[0])):
        model = _Bins([rewards[p] for p in other], [gold[p] for p in other], [chances[p] for p in other])
        for p in fold:
            guess = model(rewards[p]) if modelled else np.zeros(counts[p])
            known = np.isfinite(gold[p])
            worth = guess + np.where(known, np.where(known, gold[p], 0.0) - guess, 0.0) / chances[p]
            out[p] = worth @ _wins(rewards[p], ns)
    return out


def label_support(rewards: Sequence[Floats], gold: Sequence[Floats], chances: Sequence[Floats], ns: Ints) -> Floats:
    """How many equal labels V̂ (n) rests on (M,): (Σ ω/e)²/Σ (ω/e)² over the labelled draws of all prompts, 0 of none.

    All labels at n = 1 if their chances are equal, and those of the winners where n is all draws. Below about 15 the
    spread over prompts no longer shows the error, and a band from it holds too rarely. Arguments as
    `labelled_best_of_n`.
    """
    parts = [(_wins(r, ns) / e[:, None])[np.isfinite(g)] for r, g, e in zip(rewards, gold, chances, strict=True)]
    weights = np.concatenate([np.zeros((0, ns.size)), *parts])
    square = (weights**2).sum(axis=0)
    return np.asarray(weights.sum(axis=0) ** 2 / np.where(square > 0, square, 1.0))


def _wins(reward: Floats, ns: Ints) -> Floats:
    """ω (N, M): each draw's chance to win best-of-n, draws of equal reward alike."""
    level, members = np.unique(reward, return_inverse=True, return_counts=True)[1:]
    share = np.diff(share_rows(np.cumsum(members).astype(np.float64), reward.size, ns), axis=0, prepend=0.0)
    return np.asarray((share / members[:, None])[level])


class _Bins:
    """Mean gold by bins of the reward, labels weighed by 1/e; the mean of all where there are few."""

    def __init__(self, rewards: list[Floats], gold: list[Floats], chances: list[Floats]) -> None:
        reward, value, chance = (np.concatenate(x) if x else np.zeros(0) for x in (rewards, gold, chances))
        known = np.isfinite(value)
        reward, value, weight = reward[known], value[known], 1.0 / chance[known]
        self.edges, self.means = np.zeros(0), np.zeros(1)
        if not reward.size:
            return
        bins = max(1, min(_BINS, reward.size // _FEWEST))
        self.edges = np.unique(np.quantile(reward, np.arange(1, bins) / bins))
        at = np.searchsorted(self.edges, reward, side="right")
        total = np.bincount(at, weights=weight, minlength=self.edges.size + 1)
        sums = np.bincount(at, weights=weight * value, minlength=self.edges.size + 1)
        self.means = np.where(total > 0, sums / np.where(total > 0, total, 1.0), float(weight @ value / weight.sum()))

    def __call__(self, reward: Floats) -> Floats:
        return np.asarray(self.means[np.searchsorted(self.edges, reward, side="right")])


@dataclass(frozen=True)
class HarmlessChoice:
    """n of the largest estimate among those whose gain over one draw is at least 0 at 95 %, all n together; curve: the
    values with their band over n, gain: the gains over n = 1 with theirs; of these very prompts no error is known."""

    n: int
    curve: CurveBands
    gain: CurveBands


def harmless_n(values: Floats, ns: Ints, seed: int = 0) -> HarmlessChoice:
    """The choice from per-prompt values (P, M) of `labelled_best_of_n`, ns[0] = 1; prompts drawn like those to come.

    Raises InputError unless ns begins with 1, and for fewer than five prompts.
    """
    if values.ndim != 2 or values.shape[1] != ns.size or ns[0] != 1 or values.shape[0] < 5:
        raise InputError(f"values of shape {values.shape} at n = {ns.tolist()}: give five prompts or more, n from 1")
    draws, none = np.full(values.shape[0], int(ns.max())), np.full(values.shape, np.inf)
    curve = curve_bands(values, none, draws, ns, seed=seed)
    gain = curve_bands(values - values[:, :1], none, draws, ns, seed=seed)
    safe = (ns == 1) | (np.nan_to_num(gain.low, nan=-1.0) >= 0.0)
    return HarmlessChoice(int(ns[np.where(safe, curve.mean, -np.inf).argmax()]), curve, gain)
