"""How much of the tilted policy a pool has shown at one β, and in words what it therefore cannot tell.

Drafts: the tail of their weights e^{βr}ρ, unbounded because ρ is; k̂ over all positions, and the drafts that would reach
it, read off the base candidates (`drafts_for_base`: no tail is extrapolated).

Base candidates: their weights e^{βr} are bounded by e^{βR}, R the largest reward there is, so no Pareto tail is fitted
to them: its k̂ is large for any law whose rewards bunch below their limit, with no tail at all. What N of them missed at
a prompt is steps of larger reward than any shown. By Good and Turing, with Z the mean of e^{βr} and M the largest of N,

    E[mass of π_β above the largest of N − 1] = E[e^{βM}/(N Z); M larger than all others]

and the mean over prompts of X = e^{βM}/(N Z) is bounded from above at 95 % by betting on 1 − X/c, where X ≤ c =
e^{βR}/(N Z) (`coverage.mean_low`). Prompts at which c is too large to be of use count as missed altogether, unless they
show R. The bound is of what pools of this size miss on average. It holds where R is stated (`RewardRange`); else the
pool's own largest reward stands for R, and of larger ones, which no draw has shown, nothing is said: no guarantee.
Taken from the pool, without an error: Z, the mean over the other candidates.

How many candidates would do has two answers. Many, if X and c fall as 1/N from here: enough for every law, but far too
many where more candidates would show R. Few, if the bound falls on as it did from parts of the pool (`as_fallen`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from gsi_theory.samples.pool_limits import drafts_for_base, khat_limit
from gsi_theory.samples.weight_coverage import mean_low
from gsi_theory.types import Floats
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock
from llm_check.logs.pools.tails import pareto_khat

__all__ = [
    "LEAST_ESS",
    "RewardRange",
    "Tail",
    "about",
    "as_fallen",
    "draft_tail",
    "missed",
    "tail_limits",
    "tail_of",
    "tail_shown",
    "tail_speaks",
    "times_more",
    "unseen_tilt",
    "upto",
]

_Missed = tuple[Floats, Floats, NDArray[np.bool_]]
LEAST_ESS = 10.0  # a self-normalized mean over base candidates is biased by about 1/ess of itself
UNSEEN_LIMIT = 0.05  # share of the tilted policy that the base candidates may have missed
LOG_20 = float(np.log(20.0))
MOST_READ = 500  # positions that the drafts needed are read off, evenly spread
MILLION = 1e6
FAR = 1e9
TAIL = 0.05  # of the tilted mass, the part that drafts are asked to reach
NEVER = 1e15  # drafts, as drafts_for_base says it of what the draft cannot draw
PARTS = (2, 4)  # every second and every fourth candidate: how the bound has fallen


@dataclass(frozen=True)
class RewardRange:
    """The range of the reward; stated: whether it is known, or only what the pool shows."""

    low: float
    high: float
    stated: bool


@dataclass(frozen=True)
class Tail:
    """How the tail at one β was seen.

    khat: of the drafts' weights, all positions together, each relative to its position's mean, -inf where the largest
    weight of every position repeats: atoms have no tail; needed: drafts that reach the last 5 % of the tilted
    mass, at the median position and the hardest; ess: median effective number of base
    candidates; unseen: bound (95 %) on the share of the tilted policy that so many miss; base_needed: base candidates a
    set for which ess and unseen would do, as the bound has fallen and as 1/N; highest: R; drafts, base: median
    candidates of a set; stated: whether R is known or the pool's own largest reward.
    """

    beta: float
    khat: float
    needed: tuple[float, float]
    ess: float
    unseen: float
    base_needed: tuple[float, float]
    highest: float
    drafts: int
    base: int
    fitted: int = 100_000  # weights that k̂ was fitted to
    stated: bool = False

    @property
    def heavy(self) -> bool:
        """Whether k̂ is beyond what means over so many weights bear."""
        return self.khat > khat_limit(self.fitted)


def tail_speaks(tail: Tail) -> bool:
    """Whether the base candidates show enough of the tilted policy to tell a distance to it."""
    return tail.unseen <= UNSEEN_LIMIT and tail.ess >= LEAST_ESS


def tail_shown(tail: Tail) -> bool:
    """Whether the drafts reach the tail of their weights.

    k̂ is too small where a set has few drafts (no weight exceeds N of its mean): the drafts needed count too.
    """
    return not tail.heavy and tail.needed[0] <= tail.drafts


def unseen_tilt(largest: Floats, limit: Floats, reached: NDArray[np.bool_]) -> float:
    """95 % bound on the share of the tilted policy that so many base candidates miss, mean over pools and prompts (P,).

    largest: X of each prompt, 0 where two candidates have the largest reward; limit: its largest value, e^{βR}/(N Z);
    reached: whether a candidate has reward R. The prompts that are given up are chosen by their limits alone.
    """
    order = np.argsort(limit, kind="stable")
    lost = np.cumsum((~reached)[order][::-1])[::-1]  # given up: all from here on
    # of kept prompts that show nothing the bound is about log 20 of their largest limit
    with np.errstate(over="ignore"):  # a limit beyond all numbers is one of no use
        price = np.r_[0.0, limit[order] * LOG_20] + np.r_[lost, 0]
    count = int(np.argmin(price))
    given_up = float(lost[count]) if count < order.size else 0.0
    if count == 0:
        return given_up / order.size
    rows = order[:count]
    most = float(limit[rows[-1]])
    with np.errstate(divide="ignore"):
        seen = np.exp(mean_low(np.log1p(-np.minimum(largest[rows] / most, 1.0)))) if most > 0 else 1.0
    return float(min(1.0, (given_up + count * min(1.0, most * (1.0 - seen))) / order.size))


def times_more(largest: Floats, limit: Floats, reached: NDArray[np.bool_], share: float = UNSEEN_LIMIT) -> float:
    """Factor on the base candidates for which `unseen_tilt` is `share`, if X and its limit fall as 1/N; inf beyond
    FAR."""
    if unseen_tilt(largest, limit, reached) <= share:
        return 1.0
    if unseen_tilt(largest / FAR, limit / FAR, reached) > share:
        return np.inf
    return float(brentq(lambda f: unseen_tilt(largest / f, limit / f, reached) - share, 1.0, FAR, rtol=1e-3, xtol=1e-3))


def as_fallen(bounds: Mapping[int, float], share: float = UNSEEN_LIMIT) -> float:
    """Factor on the base candidates for which the bound is `share`, falling as it did from parts of the pool.

    bounds: of all candidates under 1 and of every k-th under k; of the powers of N through them the fastest, at most 1.
    """
    if bounds[1] <= share:
        return 1.0
    power = max((np.log(bounds[k] / bounds[1]) / np.log(k) for k in bounds if k > 1), default=0.0)
    if power <= np.log(bounds[1] / share) / np.log(FAR):
        return np.inf
    return float((bounds[1] / share) ** (1.0 / min(power, 1.0)))


def tail_of(
    arrays: PositionArrays, parts: Sequence[PositionBlock], beta: float, rewards: RewardRange | None = None
) -> Tail:
    """The tail at one β over all positions of a pool; rewards: their range, what the pool shows by default."""
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    highest = float(max(reward[rows].max() for b in parts for rows in (b.draft, b.base)))
    stated = rewards is not None and rewards.stated
    if rewards is not None and stated:
        highest = rewards.high
    relative, ess, base, alone = [], [], [], []
    for block in parts:
        weight = beta * reward[block.draft] + ratio[block.draft]
        total = logsumexp(weight, axis=1, keepdims=True)
        alive = np.isfinite(total[:, 0])
        relative.append((weight[alive] - total[alive] + np.log(weight.shape[1])).ravel())
        alone.append(_alone(weight[alive]))
        raised = beta * reward[block.base]
        ess.append(np.exp(2.0 * logsumexp(raised, axis=1) - logsumexp(2.0 * raised, axis=1)))
        base.append(raised)
    weights = np.concatenate(relative)
    weights = weights[:: max(1, weights.size // 100_000)]
    khat = -np.inf
    if np.concatenate(alone).any():
        with np.errstate(all="ignore"):  # equal weights in the tail
            khat = float(pareto_khat(weights))
    middle = float(np.median(np.concatenate(ess)))
    prompts = np.concatenate([[arrays.names[p][0] for p in b.positions.tolist()] for b in parts])
    unit = np.unique(prompts, return_inverse=True)[1].ravel()
    every = _by_prompt(base, unit, beta * highest)
    unseen, least = unseen_tilt(*every), min(part.shape[1] for part in base)
    drafts, size = (
        int(np.median(np.concatenate([np.full(rows.shape[0], rows.shape[1]) for rows in kind])))
        for kind in ([b.draft for b in parts], base)
    )
    bounds = {1: unseen} | {
        k: float(
            np.mean([unseen_tilt(*_by_prompt([b[:, i::k] for b in base], unit, beta * highest)) for i in range(k)])
        )
        for k in PARTS
        if least >= 2 * k and unseen > UNSEEN_LIMIT
    }
    most = times_more(*every)
    needed = [size * max(1.0, LEAST_ESS / middle, factor) for factor in (min(as_fallen(bounds), most), most)]
    return Tail(
        beta=beta,
        khat=khat,
        needed=_needed(ratio, reward, parts, beta),
        ess=middle,
        unseen=unseen,
        base_needed=(needed[0], needed[1]),
        highest=highest,
        drafts=drafts,
        base=size,
        fitted=weights.size,
        stated=stated,
    )


def _alone(weight: Floats) -> NDArray[np.bool_]:
    """Whether the largest weight of a position (P, N) is the only one of its size."""
    if weight.shape[1] == 1:
        return np.ones(weight.shape[0], dtype=np.bool_)
    top = np.partition(weight, -2, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0] > 1e-9 * np.maximum(1.0, np.abs(top[:, 1])))


def _by_prompt(base: Sequence[Floats], unit: NDArray[np.intp], highest: float) -> _Missed:
    """`missed` of base candidates, blocks of positions of the prompts `unit`, as means over a prompt's positions."""
    largest, limit, reached = (np.concatenate(part) for part in zip(*(missed(b, highest) for b in base), strict=True))
    size = np.bincount(unit)
    return np.bincount(unit, largest) / size, np.bincount(unit, limit) / size, np.bincount(unit, ~reached) == 0


def missed(raised: Floats, highest: float) -> _Missed:
    """X, its limit and whether the largest reward is reached, at positions (P,) with βr of N candidates (P, N)."""
    count = raised.shape[1]
    ordered = np.sort(raised, axis=1)
    top = ordered[:, -1]
    if count == 1:
        return np.ones(top.size), np.full(top.size, np.inf), top >= highest
    others = logsumexp(ordered[:, :-1], axis=1) + np.log(count / (count - 1.0))  # log of N Z
    alone = ordered[:, -2] < top
    with np.errstate(over="ignore"):
        return np.where(alone, np.exp(top - others), 0.0), np.exp(highest - others), top >= highest


def _needed(ratio: Floats, reward: Floats, parts: Sequence[PositionBlock], beta: float) -> tuple[float, float]:
    """(median, largest) over positions of the drafts that reach the last 5 % of the tilted mass."""
    stride = max(1, sum(b.base.shape[0] for b in parts) // MOST_READ)
    drafts = [
        drafts_for_base(ratio[rows], beta * reward[rows], TAIL)
        for b in parts
        for rows in b.base[::stride]
        if (ratio[rows] > -np.inf).all()
    ]
    return (float(np.median(drafts)), float(max(drafts))) if drafts else (np.inf, np.inf)


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


def upto(tail: Tail) -> str:
    """What the share that base candidates miss rests on, in words."""
    if tail.stated:
        return f" up to reward {tail.highest:.3g}, the largest there is as stated"
    return (
        f" if there is no reward above {tail.highest:.3g}, the largest of this pool: of larger ones nothing is said "
        "(--reward-range states the largest there is)"
    )


def draft_tail(tails: Sequence[Tail]) -> str:
    """k̂ of the drafts' weights and the drafts a prompt that would show their tail, in words."""
    khats = [f"{min(t.khat for t in tails):.2g}", f"{max(t.khat for t in tails):.2g}"]
    if khats == ["-inf", "-inf"]:
        told = "the largest of the drafts' weights repeat"
    else:
        told = f"k̂ = {' to '.join(dict.fromkeys(khats)).replace('-inf', 'none')} of the drafts' weights"
    # the last 5 % of the tilt are held by fewer than three effective base candidates: they show too little of it
    least = "at least " if any(t.ess < 3.0 / TAIL for t in tails) else ""
    middle, hardest = (about(t.needed[k] for t in tails) for k in (0, 1))
    there = f"({min(t.drafts for t in tails)} are there)"
    if min(t.needed[0] for t in tails) >= NEVER:
        return f"{told}; the base draws steps there that no number of drafts shows"
    if middle == hardest:
        return f"{told}; {least}{middle} drafts would show their tail {there}"
    return (
        f"{told}; {least}{middle} drafts would show their tail at the median position, {hardest} at the hardest {there}"
    )


def tail_limits(tails: Iterable[Tail]) -> list[str]:
    """What cannot be told, one line for all β of the same cause."""
    every = list(tails)
    lines = []
    heavy = [t for t in every if not tail_shown(t)]
    if heavy:
        lines.append(f"cannot tell what unseen drafts do at β = {_betas(heavy)}: {draft_tail(heavy)}")
    few = [t for t in every if t.ess < LEAST_ESS]
    if few:
        lines.append(
            f"cannot tell the distance to the tilted policy at β = {_betas(few)}: effective number "
            f"{min(t.ess for t in few):.1f} of {few[0].base} base candidates; "
            f"{about(n for t in few for n in t.base_needed)} a prompt would be needed"
        )
    hidden = [t for t in every if t.unseen > UNSEEN_LIMIT and t not in few]
    if hidden:
        most = f"{hidden[0].highest:.3g}, {'as stated' if hidden[0].stated else 'the largest seen'}"
        lines.append(
            f"cannot tell the distance to the tilted policy at β = {_betas(hidden)}: what {hidden[0].base} base "
            f"candidates miss up to reward {most}, may hold {_shares(hidden)} of it (95 %); "
            f"{about(n for t in hidden for n in t.base_needed)} a prompt would do"
        )
    return lines


def _betas(tails: Sequence[Tail]) -> str:
    return ", ".join(f"{t.beta:g}" for t in tails)


def _shares(tails: Sequence[Tail]) -> str:
    low, high = (f"{pick(t.unseen for t in tails):.0%}" for pick in (min, max))
    return low if low == high else f"{low} to {high}"
