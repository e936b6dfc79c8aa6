"""Both sides in ball arithmetic of the bounds on selection: total variation, reward, best-of-n, race, several drafters.

The twin of sides_selection.py, sides_bon.py, sides_race.py and sides_drafters.py; see certified/sides.py.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flint import arb

from gsi_theory.certified.ball_facts import BallFacts, Excess, total
from gsi_theory.certified.ball_law import LogWeight, compare, selection_balls
from gsi_theory.certified.rational import ball

__all__ = ["SIDES", "excess_share", "largest", "pinsker"]

Sides = Callable[[BallFacts], tuple[arb, arb]]


def largest(values: list[arb]) -> arb:
    """Maximum of at least one ball."""
    top = values[0]
    for value in values[1:]:
        top = top.max(value)
    return top


def excess_share(f: BallFacts, mass: list[arb], n: int) -> arb:
    """E_π[(w - 1)_+/(n - 1 + w)] of the proposal `mass`."""
    terms = [
        p * (p - q).nonnegative_part() / ((n - 1) * q + p) for p, q in zip(f.pi, mass, strict=True) if not p.is_zero()
    ]
    return total(terms)


def pinsker(chi2: arb, n: int) -> arb:
    """√(½ log(1 + χ²/n))."""
    return ((chi2.nonnegative_part() / n).log1p() / 2).sqrt()


def centered(f: BallFacts) -> list[arb]:
    """r - min r over the outcomes that some policy has, 0 elsewhere."""
    inst = f.instance
    real = [s > 0 or b > 0 for s, b in zip(inst.draft, inst.base, strict=True)]
    low = min(r for r, y in zip(inst.reward, real, strict=True) if y)
    return [ball(r - low) if y else arb(0) for r, y in zip(inst.reward, real, strict=True)]


def _drift_bound(f: BallFacts) -> arb:
    held = [w for w in f.w if w is not None]
    low, high = -largest([-w for w in held]), largest(held)
    ratio = low if low.is_zero() else low / high
    return (f.scheme.n / (1 + (f.scheme.n - 1) * ratio)).log()


def drift_max(f: BallFacts, rule: str) -> tuple[arb, arb]:
    """(M15): D_∞(P_n‖π_S) against the bound of the softmax rule."""
    held = [(p / s).log() for p, s in zip(f.draft_law(rule), f.draft, strict=True) if not (s.is_zero() or p.is_zero())]
    return largest(held), _drift_bound(f)


def win_rate(f: BallFacts, ties: Fraction) -> tuple[arb, arb]:
    """(M16): P(w(Y) > w(Y')) + ties P(w(Y) = w(Y')) ≤ n/(n+1), comparisons of weights decided exactly."""

    def sign(a: LogWeight, b: LogWeight) -> int:
        if a.factor and b.factor:
            return compare(a, b)
        return (a.factor > 0) - (b.factor > 0)

    law, weight = f.draft_law("max"), f.draft_weight
    share = {1: arb(1), 0: ball(ties), -1: arb(0)}
    held = [y for y, s in enumerate(f.instance.draft) if s]
    rate = total([law[y] * share[sign(weight[y], weight[z])] * f.draft[z] for y in held for z in held])
    return rate, arb(f.scheme.n) / (f.scheme.n + 1)


def equality(f: BallFacts) -> tuple[arb, arb]:
    """(M16): log n - (n-1)/n against KL(P_n^max‖π_S)."""
    n = arb(f.scheme.n)
    return n.log() - (n - 1) / n, Excess(f.draft_law("max"), f.draft).kl_from()


def reward_pinsker(f: BallFacts) -> tuple[arb, arb]:
    """(M12): E_π r - E_Q r ≤ osc(r) √(½ log(1 + χ²/n))."""
    values = centered(f)
    return -f.draft_excess("softmax").mean_change(values), largest(values) * pinsker(f.chi2, f.scheme.n)


def race_bound(f: BallFacts, form: str) -> tuple[arb, arb]:
    """(M17), one form: 2(1+χ²)/(e n), at most 1, half of it, E_π(1 - 1/w)_+ⁿ, or (1 - 1/C)ⁿ."""
    if form == "mean":
        held = [(p, s) for p, s in zip(f.pi, f.draft, strict=True) if not p.is_zero()]
        rhs = total([p * (1 - s / p).nonnegative_part() ** f.scheme.n for p, s in held])
        return f.draft_excess("race").tv(), rhs
    if form == "minimax":
        rhs = (1 - 1 / f.coverage).nonnegative_part() ** f.scheme.n
    else:
        rhs = arb(1).min((2 if form == "chi2" else 1) * (1 + f.chi2) / (arb.const_e() * f.scheme.n))
    return f.draft_excess("race").tv(), rhs


def _hockey(f: BallFacts, law: list[arb]) -> arb:
    return total([(p - 2 * q).nonnegative_part() for p, q in zip(law, f.pi, strict=True)])


def _ordered(kind: str) -> Sides:
    """A divergence of the race and of the softmax law."""

    def value(f: BallFacts, rule: str) -> arb:
        excess, law = f.draft_excess(rule), f.draft_law(rule)
        pairs = [(p, q) for p, q in zip(law, f.pi, strict=True) if not q.is_zero()]
        if kind == "tv":
            return excess.tv()
        if kind == "kl":
            return excess.kl_to()
        if kind == "chi2":
            return excess.chi2_from()
        if kind == "chi2_reverse":
            return total([q * q / p for p, q in pairs]) - 1
        if kind == "hockey":
            return _hockey(f, law)
        if kind == "renyi_half":
            return -2 * total([(p * q).sqrt() for p, q in pairs]).log()
        return largest([(q / p).log() for p, q in pairs])

    return lambda f: (value(f, "race"), value(f, "softmax"))


def _spare(f: BallFacts) -> arb:
    return total([(p - f.scheme.n * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])


def importance_bias(f: BallFacts, factor: int) -> tuple[arb, arb]:
    """(M27): 2 TV(P_n, π) ≤ factor (1 + χ²)/n."""
    return 2 * f.draft_excess("softmax").tv(), factor * (1 + f.chi2) / f.scheme.n


def _mix(f: BallFacts) -> list[Fraction]:
    n, other = f.scheme.n, f.scheme.base_draws
    pairs = zip(f.instance.draft, f.instance.base, strict=True)
    return [(n * s + other * b) / Fraction(n + other) for s, b in pairs]


def mixture_chi2(f: BallFacts) -> tuple[arb, arb]:
    """(M20): log(1 + χ²(π‖p_mix)) ≤ min_j log((N/n_j)(1 + χ²(π‖p_j)))."""
    n, other = f.scheme.n, f.scheme.base_draws
    whole = arb(n + other)
    mix = [ball(m) for m in _mix(f)]
    base = whole / other * (1 + Excess(f.pi, f.base).chi2_from())
    draft = whole / n * (1 + f.chi2) if f.covered else base
    return Excess(f.pi, mix).chi2_from().log1p(), draft.min(base).log()


def random_allocation(f: BallFacts) -> tuple[arb, arb]:
    """(M20): KL(π‖P) ≤ log(1 + χ²(π‖p_mix)/N), every draw from p_mix."""
    mix, whole = _mix(f), f.scheme.n + f.scheme.base_draws
    weight = [
        LogWeight(f.scheme.beta * r, b / m) if m else LogWeight(Fraction(0), Fraction(0))
        for r, b, m in zip(f.instance.reward, f.instance.base, mix, strict=True)
    ]
    law = selection_balls(mix, weight, whole, "softmax", f.goal)
    spread = Excess(f.pi, [ball(m) for m in mix]).chi2_from()
    return Excess(law, f.pi).kl_to(), (spread / whole).log1p()


SIDES: dict[str, Sides] = {
    "M10-tv": lambda f: (f.draft_excess("softmax").tv(), excess_share(f, f.draft, f.scheme.n)),
    "M11-pinsker": lambda f: (f.draft_excess("softmax").tv(), pinsker(f.chi2, f.scheme.n)),
    "M12-reward": reward_pinsker,
    "M15-max": lambda f: drift_max(f, "softmax"),
    "M15-race": lambda f: drift_max(f, "race"),
    "M16-equality": equality,
    "M16-win": lambda f: win_rate(f, Fraction(1, 2)),
    "M16-win-ties": lambda f: win_rate(f, Fraction(1)),
    "M17-tv-chi2": lambda f: race_bound(f, "chi2"),
    "M17-tv-half": lambda f: race_bound(f, "half"),
    "M17-tv-mean": lambda f: race_bound(f, "mean"),
    "M17-tv-minimax": lambda f: race_bound(f, "minimax"),
    "M17-dominance-zero-weights-tv": _ordered("tv"),
    "M17-dominance-zero-weights-kl": _ordered("kl"),
    "M17-dominance-chi2": _ordered("chi2"),
    "M17-dominance-chi2-reverse": _ordered("chi2_reverse"),
    "M17-dominance-hockey": _ordered("hockey"),
    "M17-dominance-renyi-half": _ordered("renyi_half"),
    "M17-dominance-renyi-max": _ordered("renyi_max"),
    "M18-linear": lambda f: (arb(0), f.chi2),
    "M19-softmax": lambda f: (f.best_tv, f.draft_excess("softmax").tv()),
    "M19-race": lambda f: (f.best_tv, f.draft_excess("race").tv()),
    "M19-max": lambda f: (f.best_tv, f.draft_excess("max").tv()),
    "M19-hockey": lambda f: (_spare(f), f.draft_excess().tv()),
    "M19-attained": lambda f: (1 - _spare(f), 1 - f.best_tv),
    "M20-random": random_allocation,
    "M20-chi2": mixture_chi2,
    "M27": lambda f: importance_bias(f, 12),
    "M27-sharp": lambda f: importance_bias(f, 2),
    "M27-channel": lambda f: (f.draft_excess("softmax").tv(), f.pi_over_draft.kl_from() / arb(f.scheme.n).log()),
}
