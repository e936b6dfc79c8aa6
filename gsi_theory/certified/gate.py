"""Both sides in ball arithmetic of the bounds on the gate, on rejection methods and on trees of two steps.

The twin of sides_gate.py, sides_rejection.py and sides_stepwise.py; see certified/sides.py. A claimed limit is replaced
by its proved closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property

from flint import arb

from gsi_theory.certified.ball_facts import BallFacts, Excess, total
from gsi_theory.certified.ball_law import LogWeight, compare
from gsi_theory.certified.rational import ball
from gsi_theory.certified.selection import centered, excess_share, largest, pinsker
from gsi_theory.rules.table import score_gate_of

__all__ = ["SIDES", "high_score", "high_step"]

Sides = Callable[[BallFacts], tuple[arb, arb]]
ZERO = arb(0)


def _split(f: BallFacts) -> tuple[arb, arb]:
    """(a, 1 - a)."""
    pairs = list(zip(f.pi, f.accepted, strict=True))
    return total([p for p, kept in pairs if kept]), total([p for p, kept in pairs if not kept])


def _covariance(f: BallFacts) -> arb:
    (a, b), values = _split(f), centered(f)
    part = [(p * v, kept) for p, v, kept in zip(f.pi, values, f.accepted, strict=True)]
    return b * total([x for x, kept in part if kept]) - a * total([x for x, kept in part if not kept])


def _limit_kl(f: BallFacts) -> arb:
    a, b = _split(f)
    return -a * b.log1p() - (b * b.log() if b > 0 else ZERO)


def _mean_change(f: BallFacts) -> arb:
    """E_G r - E_π r."""
    return total([(q - p) * v for q, p, v in zip(f.gated.law, f.pi, centered(f), strict=True)])


def _base_tv(f: BallFacts) -> arb:
    return Excess(f.base_law, f.pi).tv()


def gate_reward(f: BallFacts, form: str) -> tuple[arb, arb]:
    """(M8) in its three forms."""
    values, (_, b) = centered(f), _split(f)
    osc = largest(values)
    lhs = abs(_mean_change(f) - _covariance(f))
    if form == "tv":
        return lhs, osc * (f.draft_excess().tv() + b * _base_tv(f))
    mean = total([p * v for p, v in zip(f.base_law, values, strict=True)])
    g = [
        v - mean if kept and (s or p) else ZERO
        for v, kept, s, p in zip(values, f.accepted, f.instance.draft, f.instance.base, strict=True)
    ]
    spread = largest(g) - -largest([-x for x in g])
    if form == "values":
        return lhs, spread * f.draft_excess().tv() + b * osc * _base_tv(f)
    share = excess_share(f, f.draft, f.scheme.n), excess_share(f, f.base, f.scheme.base_draws)
    return lhs, spread * share[0] + b * osc * share[1]


def unbiased(f: BallFacts) -> tuple[arb, arb]:
    """The reading that (M8) refutes."""
    _, b = _split(f)
    return -_mean_change(f), largest(centered(f)) * (f.draft_excess().tv() + b * _base_tv(f))


def gated_kl(f: BallFacts) -> tuple[arb, arb]:
    """GSI Theorem 1 read for the gated law."""
    spread = Excess(f.pi, f.base).chi2_from()
    rhs = (f.chi2 / f.scheme.n).log1p() + (spread / f.scheme.base_draws).log1p()
    return Excess(f.gated.law, f.pi).kl_to(), rhs


def gated_pinsker(f: BallFacts) -> tuple[arb, arb]:
    """GSI's reward guarantee read for the gated law."""
    _, b = _split(f)
    base = pinsker(Excess(f.pi, f.base).chi2_from(), f.scheme.base_draws)
    return -_mean_change(f), largest(centered(f)) * (pinsker(f.chi2, f.scheme.n) + b * base)


def _score(f: BallFacts) -> LogWeight:
    assert f.scheme.threshold is not None
    return LogWeight(f.scheme.beta * Fraction(f.scheme.threshold), Fraction(1))


def high_score(f: BallFacts) -> bool:
    """M ≥ C, exactly."""
    return all(not w.factor or compare(_score(f), w) >= 0 for w in f.draft_weight)


def score_gate(f: BallFacts, form: str) -> tuple[arb, arb]:
    """(M9): TV of the law given acceptance, or of the whole law, against E_M; "unbiased": against 0."""
    gate = score_gate_of("race")
    accepted, reject = gate.balls(f.instance.draft, f.draft_weight, f.scheme.n, _score(f), f.goal)
    beta = f.scheme.beta
    pairs = zip(f.instance.base, f.instance.reward, strict=True)
    z = total([ball(b) * ball(beta * r).exp() for b, r in pairs if b])
    score = ball(_score(f).exponent).exp() / z
    outside = total([(p - score * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])
    if form == "whole":
        law = [x + reject * q for x, q in zip(accepted, f.base_law, strict=True)]
        return Excess(law, f.pi).tv(), (1 - reject) * outside + reject * _base_tv(f)
    kept = total(accepted)
    lhs = Excess([x / kept for x in accepted], f.pi).tv()
    return lhs, outside if form == "accepted" else ZERO


def _step(f: BallFacts) -> Fraction:
    """The threshold of RSD's step: u, or E_{π_B} r."""
    cut, inst = f.scheme.threshold, f.instance
    if cut is None:
        return sum((b * r for b, r in zip(inst.base, inst.reward, strict=True)), Fraction(0))
    if cut in (float("inf"), float("-inf")):
        return (max(inst.reward) + 1) if cut > 0 else min(inst.reward) - 1
    return Fraction(cut)


def high_step(f: BallFacts) -> bool:
    """Whether RSD's step is at or above E_{π_B} r, exactly."""
    return _step(f) >= sum((b * r for b, r in zip(f.instance.base, f.instance.reward, strict=True)), Fraction(0))


def rsd_gain(f: BallFacts) -> tuple[arb, arb]:
    """(M21): 0 ≤ E_{π_S}[ω (r - E_{π_B} r)], all rational."""
    inst, cut = f.instance, _step(f)
    mean = sum((b * r for b, r in zip(inst.base, inst.reward, strict=True)), Fraction(0))
    gain = sum((s * (r - mean) for s, r in zip(inst.draft, inst.reward, strict=True) if r >= cut), Fraction(0))
    return ZERO, ball(gain)


def rsd_tilts(f: BallFacts) -> tuple[arb, arb]:
    """The reading that (M21) refutes: TV(RSD, π) = 0."""
    inst, cut = f.instance, _step(f)
    kept = [s if r >= cut else Fraction(0) for s, r in zip(inst.draft, inst.reward, strict=True)]
    law = [ball(k + (1 - sum(kept)) * b) for k, b in zip(kept, inst.base, strict=True)]
    return Excess(law, f.pi).tv(), ZERO


def rsd_best_step(f: BallFacts) -> tuple[arb, arb]:
    """(M21): the gain of the sigmoid against that of the step that accepts equally often."""
    inst, cut = f.instance, f.scheme.threshold
    endless = cut in (float("inf"), float("-inf"))
    mean = sum((b * r for b, r in zip(inst.base, inst.reward, strict=True)), Fraction(0))
    if endless:
        omega = [arb(0) if cut == float("inf") else arb(1)] * inst.size
    else:
        steep = [f.scheme.beta * (r - _step(f)) for r in inst.reward]
        omega = [1 / (1 + ball(-max(min(x, Fraction(40)), Fraction(-40))).exp()) for x in steep]
    order = sorted(range(inst.size), key=lambda y: -inst.reward[y])
    budget, gain = total([ball(s) * o for s, o in zip(inst.draft, omega, strict=True)]), ZERO
    for y in order:
        mass = ball(inst.draft[y])
        gain += budget.nonnegative_part().min(mass) * ball(inst.reward[y] - mean)
        budget -= mass
    lhs = total([ball(s * (r - mean)) * o for s, r, o in zip(inst.draft, inst.reward, omega, strict=True)])
    return lhs, gain


class _Tree:
    """The two-step tree of an instance (sides_stepwise.py): laws of trajectories as K² balls."""

    def __init__(self, f: BallFacts) -> None:
        inst, beta = f.instance, f.scheme.beta
        self.beta = beta
        held = [(b, r) for b, r in zip(inst.base, inst.reward, strict=True) if b]
        top = max(abs(r) for _, r in held) or Fraction(1)
        self.pairs = [(i, j) for i in range(len(held)) for j in range(len(held))]
        self.first = [held[i][1] for i, _ in self.pairs]
        self.second = [held[i][1] * held[j][1] / top for i, j in self.pairs]
        self.reward = [a + b for a, b in zip(self.first, self.second, strict=True)]
        self.base = [ball(held[i][0] * held[j][0]) for i, j in self.pairs]
        self.size = len(held)

    def tilt(self, law: list[arb], values: list[arb]) -> list[arb]:
        """∝ law e^{values}."""
        grown = [p * v.exp() for p, v in zip(law, values, strict=True)]
        whole = total(grown)
        return [g / whole for g in grown]

    def rows(self, values: list[arb]) -> list[arb]:
        """Sums over the second step, repeated for each of them."""
        k = self.size
        sums = [total(values[i * k : (i + 1) * k]) for i in range(k)]
        return [s for s in sums for _ in range(k)]

    def stepwise(self, law: list[arb], first: list[arb], second: list[arb]) -> list[arb]:
        """Each step of `law` tilted by its own value."""
        start = self.rows(law)
        later = [p * v.exp() for p, v in zip(law, second, strict=True)]
        within = [x / y for x, y in zip(later, self.rows(later), strict=True)]
        grown = [p * v.exp() / self.size for p, v in zip(start, first, strict=True)]
        whole = total(grown)
        return [g * self.size / whole * w for g, w in zip(grown, within, strict=True)]

    @cached_property
    def sequence(self) -> list[arb]:
        """∝ π_B e^{βR}."""
        return self.tilt(self.base, [ball(self.beta * r) for r in self.reward])

    @cached_property
    def steps(self) -> list[arb]:
        """The stepwise tilt."""
        return self.stepwise(self.base, *([ball(self.beta * r) for r in v] for v in (self.first, self.second)))

    @cached_property
    def algorithm(self) -> list[arb]:
        """Transfer Q*: each step of the sequence tilt tilted by βQ."""
        rho, beta = self.sequence, ball(self.beta)
        earned = self.rows([p * ball(r) for p, r in zip(rho, self.reward, strict=True)])
        q = [beta * e / p for e, p in zip(earned, self.rows(rho), strict=True)]
        return self.stepwise(rho, q, [ball(self.beta * r) for r in self.reward])

    def mean(self, law: list[arb]) -> arb:
        """E R."""
        return total([p * ball(r) for p, r in zip(law, self.reward, strict=True)])


def transfer_ratio(f: BallFacts, steps: int) -> tuple[arb, arb]:
    """(M26): log(alg/π_B) ≤ (β + β·steps) R_max."""
    tree = _Tree(f)
    lhs = largest([(p / b).log() for p, b in zip(tree.algorithm, tree.base, strict=True)])
    return lhs, ball((1 + steps) * tree.beta * max(tree.reward))


def transfer_reward(f: BallFacts) -> tuple[arb, arb]:
    """(M26) times β, ρ* the sequence tilt at 2β."""
    tree = _Tree(f)
    star = tree.tilt(tree.base, [ball(2 * tree.beta * r) for r in tree.reward])
    lhs = ball(tree.beta) * (tree.mean(star) - tree.mean(tree.algorithm))
    kl = [Excess(p, q).kl_from() for p, q in ((star, tree.base), (tree.sequence, tree.base), (star, tree.sequence))]
    return lhs, kl[0] - kl[1] - kl[2]


def oscillation(f: BallFacts) -> tuple[arb, arb]:
    """(M29): KL(sequence‖stepwise) ≤ max - min of log Z_2."""
    tree = _Tree(f)
    grown = [b * ball(tree.beta * r).exp() for b, r in zip(tree.base, tree.second, strict=True)]
    log_z = [(g / b).log() for g, b in zip(tree.rows(grown), tree.rows(tree.base), strict=True)]
    return Excess(tree.sequence, tree.steps).kl_from(), largest(log_z) - -largest([-z for z in log_z])


def stepwise(f: BallFacts) -> tuple[arb, arb]:
    """The reading that (M29) refutes: TV(sequence, stepwise) = 0."""
    tree = _Tree(f)
    return Excess(tree.sequence, tree.steps).tv(), ZERO


SIDES: dict[str, Sides] = {
    "M7-vanishes-kl": lambda f: (_limit_kl(f), ZERO),
    "M7-vanishes-reward": lambda f: (_covariance(f), ZERO),
    "M7-gains": lambda f: (ZERO, _covariance(f)),
    "M8": lambda f: gate_reward(f, "tv"),
    "M8-values": lambda f: gate_reward(f, "values"),
    "M8-rate": lambda f: gate_reward(f, "rate"),
    "M8-unbiased": unbiased,
    "M9-accepted": lambda f: score_gate(f, "accepted"),
    "M9-whole": lambda f: score_gate(f, "whole"),
    "M9-unbiased": lambda f: score_gate(f, "unbiased"),
    "M12-gated-kl": gated_kl,
    "M12-gated-reward": gated_pinsker,
    "M21-step": rsd_best_step,
    "M21-gain": rsd_gain,
    "M21-gain-always": rsd_gain,
    "M21-tilts": rsd_tilts,
    "M26-ratio": lambda f: transfer_ratio(f, 2),
    "M26-sharp": lambda f: transfer_ratio(f, 1),
    "M26-reward": transfer_reward,
    "M29-oscillation": oscillation,
    "M29-stepwise": stepwise,
}
