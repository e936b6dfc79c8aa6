"""How much of the tilted policy a pool has shown at one β, and in words what it therefore cannot tell.

Drafts: the tail of their weights e^{βr}ρ, unbounded because ρ is; k̂ over all positions, and the drafts that would reach
it, read off the base candidates (`drafts_for_base`: no tail is extrapolated).

Base candidates: their weights e^{βr} are bounded by e^{β max r}, so no Pareto tail is fitted to them: its k̂ is
large for any law whose rewards bunch below their limit, with no tail at all. What they may miss is outcomes of larger
reward than any of N_p shown at prompt p. If these have probability a_p they are missed at every prompt with probability
above 5 % only if Σ N_p a_p ≤ log 20, and they hold at most a_p e^{βR}/Z_p of the tilted policy, R the largest reward of
the whole pool and Z_p the mean of e^{βr}. `unseen` is the largest mean over prompts of min(1, a_p e^{βR}/Z_p) that this
allows. Assumed: rewards up to R, and Z_p as seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from gsi_theory.reach import drafts_for_base
from llm_check.pools.position_arrays import Block, PositionArrays
from llm_check.pools.tails import pareto_khat

__all__ = [
    "KHAT_LIMIT",
    "LEAST_ESS",
    "Tail",
    "about",
    "draft_tail",
    "tail_limits",
    "tail_of",
    "tail_speaks",
    "unseen_tilt",
]

Floats = NDArray[np.float64]
KHAT_LIMIT = 0.7
LEAST_ESS = 10.0  # a self-normalized mean over base candidates is biased by about 1/ess of itself
UNSEEN_LIMIT = 0.05  # share of the tilted policy that the base candidates may have missed
LOG_20 = float(np.log(20.0))
MOST_READ = 500  # positions that the drafts needed are read off, evenly spread
MILLION = 1e6


@dataclass(frozen=True)
class Tail:
    """How the tail at one β was seen.

    khat: of the drafts' weights, all positions together, each relative to its position's mean; needed: drafts that
    reach the last 5 % of the tilted mass, at the median position and the hardest; ess: median effective number of base
    candidates; unseen: share of the tilted policy that they may have missed (95 %); base_needed: base candidates a set
    for which ess and unseen would do; highest: R; drafts, base: least candidates of a set.
    """

    beta: float
    khat: float
    needed: tuple[float, float]
    ess: float
    unseen: float
    base_needed: float
    highest: float
    drafts: int
    base: int


def tail_speaks(tail: Tail) -> bool:
    """Whether the base candidates show enough of the tilted policy to tell a distance to it."""
    return tail.unseen <= UNSEEN_LIMIT and tail.ess >= LEAST_ESS


def unseen_tilt(log_excess: Floats, draws: Floats, limit: float = UNSEEN_LIMIT) -> tuple[float, float]:
    """(unseen share, factor on `draws` that would bring it to `limit`) from log e^{βR}/Z (P,) and base draws N (P,).

    log_excess is -inf where a candidate has reward R. Mass 1 at prompt p takes N_p Z_p e^{-βR} of the log 20 there is;
    the greatest total takes the cheapest prompts whole, and a part of the next.
    """
    with np.errstate(over="ignore"):
        price = np.sort(draws * np.exp(-log_excess))
    spent = np.concatenate([[0.0], np.cumsum(price)])
    whole = int(np.searchsorted(spent, LOG_20, side="right")) - 1
    part = (LOG_20 - spent[whole]) / price[whole] if whole < price.size else 0.0
    allowed = limit * price.size
    filled = min(int(allowed), price.size - 1)
    rest = allowed - filled
    cost = float(spent[filled] + (rest * price[filled] if rest > 0 else 0.0))
    return float((whole + part) / price.size), (LOG_20 / cost if cost > 0 else np.inf)


def tail_of(arrays: PositionArrays, parts: Sequence[Block], beta: float) -> Tail:
    """The tail at one β over all positions of a pool."""
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    highest = float(max(reward[rows].max() for b in parts for rows in (b.draft, b.base)))
    own, ess, excess, draws = [], [], [], []
    for block in parts:
        weight = beta * reward[block.draft] + ratio[block.draft]
        raised = beta * reward[block.base]
        total = logsumexp(weight, axis=1, keepdims=True)
        alive = np.isfinite(total[:, 0])
        own.append((weight[alive] - total[alive] + np.log(weight.shape[1])).ravel())
        log_z = logsumexp(raised, axis=1) - np.log(raised.shape[1])
        ess.append(np.exp(2.0 * (log_z + np.log(raised.shape[1])) - logsumexp(2.0 * raised, axis=1)))
        reached = reward[block.base].max(axis=1) >= highest
        excess.append(np.where(reached, -np.inf, beta * highest - log_z))
        draws.append(np.full(raised.shape[0], float(raised.shape[1])))
    weights = np.concatenate(own)
    with np.errstate(all="ignore"):  # equal weights in the tail
        khat = float(pareto_khat(weights[:: max(1, weights.size // 100_000)]))
    middle = float(np.median(np.concatenate(ess)))
    unseen, factor = unseen_tilt(np.concatenate(excess), np.concatenate(draws))
    drafts, base = min(b.draft.shape[1] for b in parts), min(b.base.shape[1] for b in parts)
    more = base * max(1.0, LEAST_ESS / middle, factor)
    return Tail(beta, khat, _needed(ratio, reward, parts, beta), middle, unseen, more, highest, drafts, base)


def _needed(ratio: Floats, reward: Floats, parts: Sequence[Block], beta: float) -> tuple[float, float]:
    """(median, largest) over positions of the drafts that reach the last 5 % of the tilted mass."""
    stride = max(1, sum(b.base.shape[0] for b in parts) // MOST_READ)
    found = [
        drafts_for_base(ratio[rows], beta * reward[rows])
        for b in parts
        for rows in b.base[::stride]
        if (ratio[rows] > -np.inf).all()
    ]
    return (float(np.median(found)), float(max(found))) if found else (np.inf, np.inf)


def about(numbers: Iterable[float]) -> str:
    """A count in words, to two digits: of several numbers the range; beyond a million only that."""
    words = list(dict.fromkeys(_rounded(number) for number in sorted(numbers)))
    text = words[0] if len(words) == 1 else f"{words[0]} to {words[-1]}"
    return text if text.startswith("more") else f"about {text}"


def _rounded(number: float) -> str:
    if not number <= MILLION:
        return "more than a million"
    scale = 10 ** max(int(np.floor(np.log10(max(number, 1.0)))) - 1, 0)
    return f"{int(np.ceil(number / scale - 1e-9)) * scale:,}"


def draft_tail(tails: Sequence[Tail]) -> str:
    """k̂ of the drafts' weights and the drafts a prompt that would show their tail, in words."""
    khats = [t.khat for t in tails]
    khat = f"{min(khats):.2g}" if len(set(khats)) == 1 else f"{min(khats):.2g} to {max(khats):.2g}"
    return (
        f"k̂ = {khat} of the drafts' weights; {about(t.needed[0] for t in tails)} drafts would show their tail at the "
        f"median prompt, {about(t.needed[1] for t in tails)} at the hardest ({min(t.drafts for t in tails)} are there)"
    )


def tail_limits(tails: Iterable[Tail]) -> list[str]:
    """What cannot be told, one line for all β of the same cause.

    k̂ is too small where a set has few drafts (no weight exceeds N of its mean): the drafts needed count too.
    """
    every = list(tails)
    found = []
    heavy = [t for t in every if t.khat > KHAT_LIMIT or t.needed[0] > t.drafts]
    if heavy:
        found.append(f"cannot tell what unseen drafts do at β = {_betas(heavy)}: {draft_tail(heavy)}")
    few = [t for t in every if t.ess < LEAST_ESS]
    if few:
        found.append(
            f"cannot tell the distance to the tilted policy at β = {_betas(few)}: effective number "
            f"{min(t.ess for t in few):.1f} of {few[0].base} base candidates; "
            f"{about(t.base_needed for t in few)} a prompt would be needed"
        )
    missed = [t for t in every if t.unseen > UNSEEN_LIMIT and t not in few]
    if missed:
        found.append(
            f"cannot tell the distance to the tilted policy at β = {_betas(missed)}: steps of reward up to "
            f"{missed[0].highest:.3g} that the base candidates missed may hold {_shares(missed)} of it; "
            f"{about(t.base_needed for t in missed)} a prompt would be needed"
        )
    return found


def _betas(tails: Sequence[Tail]) -> str:
    return ", ".join(f"{t.beta:g}" for t in tails)


def _shares(tails: Sequence[Tail]) -> str:
    low, high = (f"{pick(t.unseen for t in tails):.0%}" for pick in (min, max))
    return low if low == high else f"{low} to {high}"
