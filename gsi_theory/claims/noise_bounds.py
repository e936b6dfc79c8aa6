"""Claims on the noise of rules that score w/T, T iid, the largest wins (M17b): is uniform noise the only one?

The theorem of the Uniform Race that says so is known to us by its title alone; both readings here are ours.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, RACE
from gsi_theory.claims.claim import proved, reading
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.selection_law import EPS, Law, selection_laws
from gsi_theory.laws.weights import form_weights

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "best_noise", "thinned"]


def _thinned_law(f: Facts) -> Law:
    """The law for T uniform on (0, 1) or, half of the time, infinite: such a draw wins only where all are."""

    def make(rows: Facts) -> Law:
        xp = rows.xp
        made = form_weights(rows.log_draft, rows.reward, rows.log_ratio, rows.beta[..., None], "race")
        half = xp.zeros_like(rows.log_draft[..., :1]) - np.log(2.0)
        mass = xp.concat([rows.log_draft - np.log(2.0), half], axis=-1)
        weight = xp.concat([made.log_weight, xp.zeros_like(made.log_weight[..., :1]) - np.inf], axis=-1)
        law = selection_laws(mass, weight, rows.n, "race")
        scored, none = law.log_prob[..., :-1], law.log_prob[..., -1:]
        gone = (scored == -np.inf) & (rows.log_draft == -np.inf)
        both = xp.logaddexp(xp.where(gone, 0.0, scored), xp.where(gone, 0.0, rows.log_draft + none))
        return Law(
            xp.where(gone, -np.inf, both), law.error + rows.weight_error, law.log_error + 2.0 * rows.weight_error
        )

    return f.shared("thinned race", make)


def thinned(f: Facts) -> Sides:
    """(M17b): TV(P, π) ≤ (1 - 1/(2C))ⁿ for T uniform or, half of the time, infinite; trivial: 1."""
    xp, law = f.xp, _thinned_law(f)
    share = 0.5 * xp.exp(-f.log_coverage)
    with np.errstate(under="ignore"):
        rhs = xp.exp(f.n * xp.log1p(-share))
    moved = detached(rhs) * xp.clip(8.0 * detached(f.n * share) * f.weight_error + detached(f.n) * EPS, None, 1.0)
    error = law.error + f.weight_error + moved + f.rounding
    return Sides(divergence.tv(f.log_pi, law.log_prob), rhs, error, 1.0)


def best_noise(f: Facts) -> Sides:
    """(M17b) read as: no noise brings the winner nearer to π than uniform noise does; the witness is none at all."""
    (uniform, race), (none, largest) = f.tv("race"), f.tv("max")
    return Sides(uniform, none, race.error + largest.error + 2.0 * f.weight_error)


def thinned_balls(f: BallFacts) -> tuple[arb, arb]:
    """`thinned`."""
    from fractions import Fraction

    from gsi_theory.certified.ball_law import LogWeight

    half, nothing = Fraction(1, 2), LogWeight(Fraction(0), Fraction(0))
    mass = [*(half * s for s in f.instance.draft), half]
    *scored, none = f.law_of(mass, [*f.draft_weight, nothing], f.scheme.n, "race")
    law = [p + none * s for p, s in zip(scored, f.draft, strict=True)]
    return f.excess(law, f.pi).tv(), (1 - 1 / (2 * f.coverage)) ** f.scheme.n


def best_noise_balls(f: BallFacts) -> tuple[arb, arb]:
    """`best_noise`."""
    return f.draft_excess("race").tv(), f.draft_excess("max").tv()


_reading = partial(
    reading, source=f"{RACE}, Theorem 2 (text not at hand) read as: no noise T of scores w/T does better"
)

TABLE = (
    proved(
        "M17b-thinned",
        r"TV(P_n,\pi) \le (1-1/(2C))^n,\ T = U\ \text{or}\ \infty\ \text{(half each)}",
        thinned,
        thinned_balls,
        (COVERED,),
        smooth=False,
    ),
    _reading(
        "M17b-best-noise",
        r"TV(P_n^{race},\pi) \le TV(P_n^{max},\pi)",
        best_noise,
        best_noise_balls,
        (COVERED,),
        smooth=False,
    ),
)
