"""Laws of the samplers by summing over every possible draw of candidates.  Imports no project code.

Contract
- `mass` (K,): probabilities of one draw, summing to one exactly (Fraction or int).  `weight` (K,):
  nonnegative selection weights, raw or normalized: only the score gate looks at their scale.
- n candidates are drawn independently from `mass`.  Draws are enumerated as multisets (c_1..c_K), sum c = n,
  of probability n!/(c_1!..c_K!) * prod mass^c, because no rule looks at the order.
- Rules, given the drawn multiset:
    softmax  position i wins with probability w_i / sum_j w_j;
    max      the positions of the largest drawn weight share the win uniformly;
    regularized:M  the top ceil(n/M) positions by weight share it, ties at the border broken uniformly;
    race     position i scores w_i / U_i, U_i uniform on (0, 1), and the largest score wins.
  If every drawn candidate has weight zero, the winner is uniform among the drawn positions under every rule;
  otherwise a candidate of weight zero never wins, but by "regularized:M", where it is the lightest.
- Arithmetic is exact on Fractions.  The `_mp` version runs the same sums in 60-digit floats for weights given
  as logarithms (nats, -inf allowed): all terms are positive except inside the race polynomial, whose
  cancellation costs less than n 2^n, so the relative error stays below 1e-40 for the small n meant here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

__all__ = [
    "RULES",
    "chi2",
    "draws",
    "gsi_law",
    "kl",
    "score_gate_law",
    "selection_law",
    "selection_law_mp",
    "tv",
    "winner_given_draw",
]

Number = Any  # Fraction in the exact functions, mpmath.mpf in the floating ones
MP_DIGITS = 60


def draws(mass: Sequence[Number], n: int) -> Iterator[tuple[tuple[int, ...], Number]]:
    """Every multiset of n candidates as (counts (K,), probability), those of probability zero left out."""
    for counts in _compositions(n, len(mass)):
        ways = math.factorial(n)
        for c in counts:
            ways //= math.factorial(c)
        probability = ways
        for c, m in zip(counts, mass, strict=True):
            if c:
                probability = probability * m**c
        if probability:
            yield counts, probability


def _compositions(n: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in _compositions(n - first, parts - 1):
            yield (first, *rest)


def winner_given_draw(counts: Sequence[int], weight: Sequence[Number], rule: str) -> list[Number]:
    """Probability (K,) that each outcome wins, given how often it was drawn; unknown rule: ValueError."""
    rule, _, parameter = rule.partition(":")
    if rule not in RULES and rule != "regularized":
        raise ValueError(f"rule={rule!r} is unknown to the oracle: use one of {tuple(RULES)}")
    n = sum(counts)
    top = max(w for c, w in zip(counts, weight, strict=True) if c)
    if top == 0 and rule != "regularized":
        return [Fraction(c, n) if isinstance(top, Fraction) else mpmath.mpf(c) / n for c in counts]
    if rule == "regularized":
        return regularized_wins(counts, weight, Fraction(parameter))
    return RULES[rule](counts, weight, top)


def _softmax_wins(counts: Sequence[int], weight: Sequence[Number], top: Number) -> list[Number]:
    total = sum(c * w for c, w in zip(counts, weight, strict=True))
    return [c * w / total for c, w in zip(counts, weight, strict=True)]


def _race_wins(counts: Sequence[int], weight: Sequence[Number], top: Number) -> list[Number]:
    return [_race_win(counts, weight, i, 1 / top) for i in range(len(weight))]


def _max_wins(counts: Sequence[int], weight: Sequence[Number], top: Number) -> list[Number]:
    ties = sum(c for c, w in zip(counts, weight, strict=True) if w == top)
    one = top / top
    return [one * c / ties if w == top else 0 * one for c, w in zip(counts, weight, strict=True)]


def regularized_wins(counts: Sequence[int], weight: Sequence[Number], m: Fraction) -> list[Number]:
    """Uniform among the top ceil(n/M) positions, those of the border's weight taken at random: a position of weight w
    is kept with chance 1 above the border, (places left)/(positions of that weight) at it, 0 below."""
    left = places = math.ceil(sum(counts) / m)
    chance: dict[Number, Fraction] = {}
    for w in sorted({w for c, w in zip(counts, weight, strict=True) if c}, reverse=True):
        same = sum(c for c, v in zip(counts, weight, strict=True) if v == w)
        chance[w] = min(Fraction(left, same), Fraction(1))
        left = max(left - same, 0)
    kept = [c * chance[w] / places if c else Fraction(0) for c, w in zip(counts, weight, strict=True)]
    return [mpmath.mpf(p.numerator) / p.denominator for p in kept] if isinstance(weight[0], mpmath.mpf) else kept


# chances (K,) of each outcome from (counts, weight, largest drawn weight > 0)
RULES: dict[str, Callable[[Sequence[int], Sequence[Number], Number], list[Number]]] = {
    "softmax": _softmax_wins,
    "race": _race_wins,
    "max": _max_wins,
}


def _race_win(counts: Sequence[int], weight: Sequence[Number], i: int, upper: Number) -> Number:
    """P(the winner is outcome i and its v = 1/score is at most `upper`), upper <= 1/(largest drawn weight).

    v_j = U_j / w_j is uniform on (0, 1/w_j), so P(v_j > v) = (1 - v w_j)_+.  The candidate of the largest
    weight has its v below 1/(that weight), hence so does the winner, and there each factor is 1 - v w_j.
    """
    if counts[i] == 0 or weight[i] == 0:
        return 0 * upper
    survival: list[Number] = [1 + 0 * upper]  # coefficients in v, constant term first
    for j, (c, w) in enumerate(zip(counts, weight, strict=True)):
        for _ in range(c - (j == i)):
            shifted = [0 * upper, *(w * a for a in survival)]
            survival = [a - b for a, b in zip([*survival, 0 * upper], shifted, strict=True)]
    integral = sum(a * upper ** (k + 1) / (k + 1) for k, a in enumerate(survival))
    return counts[i] * weight[i] * integral


def selection_law(mass: Sequence[Any], weight: Sequence[Any], n: int, rule: str) -> list[Fraction]:
    """Exact law (K,) of the winner among n candidates, from Fractions or ints; ValueError on bad input."""
    mass, weight = _checked(mass, weight, n)
    law = [Fraction(0)] * len(mass)
    for counts, probability in draws(mass, n):
        for i, win in enumerate(winner_given_draw(counts, weight, rule)):
            law[i] += probability * win
    return law


def gsi_law(
    draft: Sequence[Any],
    base: Sequence[Any],
    weight_draft: Sequence[Any],
    weight_base: Sequence[Any],
    accept: Sequence[bool],
    n: int,
    n_base: int,
    rule: str,
) -> tuple[list[Fraction], Fraction, list[Fraction], list[Fraction]]:
    """The gated scheme: select among n drafts; keep an accepted winner, else select among n_base draws.

    `accept` (K,) says which winners pass the gate (tilted reward at least the threshold).  Returns law (K,),
    p_accept, accepted_mass (K,) = P(accepted and the winner is y), and fallback (K,), the law of the base
    selection.
    """
    draft, weight_draft = _checked(draft, weight_draft, n)
    base, weight_base = _checked(base, weight_base, n_base)
    if not len(draft) == len(base) == len(accept):
        raise ValueError(f"lengths {len(draft)} (draft), {len(base)} (base), {len(accept)} (accept): make them equal")
    size = len(draft)
    fallback = [Fraction(0)] * size
    for counts, probability in draws(base, n_base):
        for i, win in enumerate(winner_given_draw(counts, weight_base, rule)):
            fallback[i] += probability * win
    law, accepted_mass = [Fraction(0)] * size, [Fraction(0)] * size
    for counts, probability in draws(draft, n):
        for i, win in enumerate(winner_given_draw(counts, weight_draft, rule)):
            if accept[i]:
                accepted_mass[i] += probability * win
                law[i] += probability * win
                continue
            for j in range(size):
                law[j] += probability * win * fallback[j]
    return law, sum(accepted_mass, Fraction(0)), accepted_mass, fallback


def score_gate_law(draft: Sequence[Any], weight: Sequence[Any], M: Any, n: int) -> tuple[list[Fraction], Fraction]:
    """Race rule, kept only when the winning score w/U is at least M (units of `weight`).

    Returns accepted_mass (K,) = P(accepted and the winner is y), and p_accept.  M <= 0 accepts everything.
    """
    draft, weight = _checked(draft, weight, n)
    if M <= 0:
        law = selection_law(draft, weight, n, "race")
        return law, sum(law, Fraction(0))
    accepted = [Fraction(0)] * len(draft)
    for counts, probability in draws(draft, n):
        top = max(w for c, w in zip(counts, weight, strict=True) if c)
        if top == 0:
            continue  # every score is zero, below M
        upper = min(1 / top, 1 / Fraction(M))
        for i in range(len(draft)):
            accepted[i] += probability * _race_win(counts, weight, i, upper)
    return accepted, sum(accepted, Fraction(0))


def selection_law_mp(log_mass: Sequence[Any], log_weight: Sequence[Any], n: int, rule: str) -> list[Any]:
    """Law (K,) of the winner as 60-digit mpf, from log-masses and log-weights in nats (float, mpf or -inf).

    Inputs are taken as exact numbers; masses are then divided by their sum, because floats rarely sum to one.
    """
    if n < 1 or len(log_mass) != len(log_weight):
        raise ValueError(f"n={n}, {len(log_mass)} masses, {len(log_weight)} weights: need n >= 1, equal lengths")
    with mpmath.workdps(MP_DIGITS):
        mass = _exp_relative(log_mass)
        total = mpmath.fsum(mass)
        mass = [m / total for m in mass]
        if rule == "max":
            # exp could merge two weights that differ by less than 1e-60: ranks keep ties exact
            levels = sorted(set(log_weight))
            floor = 1 if levels[0] == -mpmath.inf else 0
            weight = [mpmath.mpf(levels.index(ell) + 1 - floor) for ell in log_weight]
        else:
            drawable = [ell for ell, m in zip(log_weight, mass, strict=True) if m]
            weight = _exp_relative(log_weight, max(drawable))
        law = [mpmath.mpf(0)] * len(mass)
        for counts, probability in draws(mass, n):
            for i, win in enumerate(winner_given_draw(counts, weight, rule)):
                law[i] += probability * win
        return law


def _exp_relative(logs: Sequence[Any], reference: Any = None) -> list[Any]:
    """exp(log - reference) as mpf, the largest finite log by default; all -inf gives zeros."""
    top = max(logs) if reference is None else reference
    if top == -mpmath.inf:
        return [mpmath.mpf(0) for _ in logs]
    shifted = [mpmath.mpf(ell) - mpmath.mpf(top) for ell in logs]  # exp(-inf) is 0
    return [mpmath.exp(s) for s in shifted]


def tv(p: Sequence[Number], q: Sequence[Number]) -> Number:
    """Total variation: half the l1 distance, in the arithmetic of the inputs."""
    with mpmath.workdps(MP_DIGITS):
        return sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2


def chi2(p: Sequence[Number], q: Sequence[Number]) -> Number:
    """chi^2(p || q) = sum p^2/q - 1, for p and q that sum to one; +inf where p has mass outside q."""
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return mpmath.inf
    with mpmath.workdps(MP_DIGITS):
        return sum((a - b) ** 2 / b for a, b in zip(p, q, strict=True) if b)


def kl(p: Sequence[Number], q: Sequence[Number]) -> Any:
    """KL(p || q) in nats as a 60-digit mpf; +inf where p has mass outside q."""
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return mpmath.inf
    with mpmath.workdps(MP_DIGITS):
        pairs = [(_mpf(a), _mpf(b)) for a, b in zip(p, q, strict=True) if a > 0]
        return mpmath.fsum(a * mpmath.log(a / b) for a, b in pairs)


def _mpf(x: Number) -> Any:
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction | int) else mpmath.mpf(x)


def _checked(mass: Sequence[Any], weight: Sequence[Any], n: int) -> tuple[list[Fraction], list[Fraction]]:
    """Both as Fractions; ValueError unless masses are a distribution, weights nonnegative and n >= 1."""
    exact_mass, exact_weight = [Fraction(m) for m in mass], [Fraction(w) for w in weight]
    if len(exact_mass) != len(exact_weight):
        raise ValueError(f"{len(exact_mass)} masses, {len(exact_weight)} weights: give one weight per mass")
    if any(m < 0 for m in exact_mass) or sum(exact_mass) != 1:
        raise ValueError(f"masses {mass} sum to {sum(exact_mass)}: the oracle needs an exact distribution")
    if any(w < 0 for w in exact_weight):
        raise ValueError(f"weights {weight} include a negative one: the oracle needs w >= 0")
    if n < 1:
        raise ValueError(f"n={n}: draw at least one candidate")
    return exact_mass, exact_weight
