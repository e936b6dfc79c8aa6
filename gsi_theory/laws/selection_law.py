"""The law of the winner of n draws: M2-M5, plus the score-gated race of M9. Arrays in, arrays out.

Symbols. K candidates with masses μ (log_mass (..., K), summing to one) and log-weights lw (log_weight (..., K), nats,
not normalized; -inf is weight zero). n candidates are drawn iid from μ, candidate i scores w(Y_i)/T_i, the largest
wins:

    softmax   T ~ Exp(1)       (M3)    chosen with probability w_i / Σ w_j
    race      T ~ Uniform(0,1) (M4)
    max       T constant       (M5)    ties shared in proportion to mass

These and others are records in `gsi_theory.rules`, each in its own file.

Arrays may be NumPy or torch (CPU or CUDA, float64); results come back in kind, and torch gradients flow through the
softmax law. Leading axes are a batch; pad short rows with mass zero (log_mass -inf). Weights that are the same along
an axis of n (size 1 there) are evaluated once for all n.

Conventions. Candidates of mass zero never matter, whatever their weight. If all n drawn have weight zero, the
winner is uniform among them (the limit of equal weights tending to zero).

Errors. `Law.log_error` bounds |error| of every log-probability above log(1e-300); `Law.error` bounds the TV error of
the numbers. Both are for the weights as given; rounding in forming them is the caller's (see gate.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import (
    added,
    as_arrays,
    capped,
    detached,
    divided,
    expanded,
    highest,
    host,
    is_numpy,
    lowest,
    plain_number,
    refuse_booleans,
    rows_of,
    sum_tolerance,
)
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import Counts, Draws, as_count, as_counts
from gsi_theory.rules import table
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named, score_gate_of
from gsi_theory.types import Array, Namespace

__all__ = [
    "RULES",
    "Draws",
    "Law",
    "Rows",
    "ScoredLaw",
    "as_count",
    "checked_rows",
    "score_gated_law",
    "score_gated_race",
    "selection_law",
    "selection_laws",
]

EPS = float(np.finfo(np.float64).eps)
LARGEST_LOG = 1e12
SMALLEST = float(np.log(1e-300))
BLOCK = 1 << 15  # candidates whose probabilities fit the processor's cache
RULES = tuple(table.RULES)


@dataclass(frozen=True)
class Law:
    """log_prob (..., K): log-probabilities of the winner; error (...): bound on their TV error; log_error: on each.

    log_error (...) is in nats. Both errors are floats where there is no batch.
    """

    log_prob: Array
    error: Array
    log_error: Array


@dataclass(frozen=True)
class ScoredLaw:
    """The law under a gate on the winning score (M9): log_accepted (..., K), log P(y, accepted), and log_reject (...).

    Together they sum to one; with `Draws` both are given at least one draw. log_error (...) bounds the error of each in
    nats, rounding in forming the weights included; None where nobody asked for it.
    """

    log_accepted: Array
    log_reject: Array
    log_error: Array = None


@dataclass(frozen=True)
class Rows:
    """Checked input as rows: log_mass, mass, log_weight (B, K), counts (B, M), zero (mask or None), zero_mass (B,).

    log_mass is as given; log_total (B, 1, 1) normalizes it.
    """

    log_mass: Array
    log_total: Array
    mass: Array
    log_weight: Array
    counts: Counts
    zero: Array
    zero_mass: Array
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    def unfold(self, values: Array) -> Array:
        """(B, M, ...) to the batch shape of the call."""
        xp = array_api_compat.array_namespace(values)
        tail = tuple(values.shape[2:])
        moved = xp.reshape(values, tuple(self.shape[a] for a in self.axes) + tail)
        back = tuple(np.argsort(self.axes).tolist())
        return xp.permute_dims(moved, back + tuple(range(len(back), len(back) + len(tail))))


def _values(log_mass: Array, log_weight: Array) -> tuple[Array, Array, Array, bool]:
    """(namespace, log_mass, log_weight, whether both are finite throughout)."""
    refuse_booleans(log_mass=log_mass, log_weight=log_weight)
    xp, (mass, weight) = as_arrays(log_mass=log_mass, log_weight=log_weight)
    if mass.ndim < 1 or weight.ndim < 1 or mass.shape[-1] != weight.shape[-1] or mass.shape[-1] == 0:
        raise InputError(
            f"log_mass {tuple(mass.shape)} and log_weight {tuple(weight.shape)}: give arrays of one length K ≥ 1 "
            "along the last axis"
        )
    try:
        np.broadcast_shapes(mass.shape[:-1], weight.shape[:-1])
    except ValueError as error:
        raise InputError(
            f"log_mass {tuple(mass.shape)} and log_weight {tuple(weight.shape)}: give batch axes that broadcast"
        ) from error
    # One pass each while all is well: min and max carry NaN, so only trouble looks closer.
    plain = True
    for name, values in (("log_mass", mass), ("log_weight", weight)):
        if not (lowest(values) >= -LARGEST_LOG and highest(values) <= LARGEST_LOG):
            _refuse(name, host(values), host(mass))
            plain = False
    return xp, mass, weight, plain


def _refuse(name: str, values: np.ndarray, mass: np.ndarray) -> None:
    used, values = np.broadcast_arrays(np.isfinite(mass), values)
    bad = np.argwhere(np.isnan(values) | (used & (values > -np.inf) & (np.abs(values) > LARGEST_LOG)))
    if len(bad):
        place, value = ", ".join(map(str, bad[0])), values[tuple(bad[0])]
        raise InputError(f"{name}[{place}] = {value}: give -inf or numbers within ±{LARGEST_LOG:g} nats")


def checked_rows(log_mass: Array, log_weight: Array, n: Array) -> Rows:
    """Everything checked once, and brought to rows of weights times counts."""
    xp, mass, weight, plain = _values(log_mass, log_weight)
    size = mass.shape[-1]
    probability = xp.exp(mass)
    total = xp.sum(probability, axis=-1)
    tolerance = sum_tolerance(log_mass)
    wrong = ~(np.abs(host(total) - 1.0) <= tolerance)
    if np.any(wrong):
        off = np.argwhere(wrong)
        where = f" in row {tuple(map(int, off[0]))}" if total.ndim else ""
        value = float(host(total)[tuple(off[0])])
        raise InputError(f"exp(log_mass) sums to {value!r}{where}: give masses that sum to 1 within {tolerance:.2g}")
    probability = divided(probability, total[..., None])
    fixed, poisson = as_counts(n, mass)
    batch = np.broadcast_shapes(mass.shape[:-1], weight.shape[:-1])
    try:
        shape = np.broadcast_shapes(batch, tuple(fixed.shape))
    except ValueError as error:
        raise InputError(f"n {tuple(fixed.shape)} and a batch {batch}: give shapes that broadcast") from error
    padded = (1,) * (len(shape) - len(batch)) + batch
    own = [a for a, length in enumerate(shape) if padded[a] == length]
    shared = [a for a, length in enumerate(shape) if padded[a] != length]
    flat = (math.prod(shape[a] for a in own), size)

    def rows(values: Array) -> Array:
        return xp.reshape(expanded(values, (*batch, size)), flat)

    def columns(values: Array) -> Array:
        moved = xp.permute_dims(expanded(values, shape), (*own, *shared))
        return xp.reshape(moved, (flat[0], math.prod(shape[a] for a in shared)))

    log_total = rows(xp.broadcast_to(xp.log(total)[..., None], mass.shape))[:, None, :1]
    mass, probability, weight = rows(mass), rows(probability), rows(weight)
    counts = Counts(columns(fixed), columns(poisson))
    zero, zero_mass = None, xp.zeros_like(probability[:, 0])
    if not plain:
        used = probability > 0
        zero = used & (weight == -xp.inf)
        zero_mass = xp.sum(xp.where(zero, probability, 0.0), axis=-1)
        weight = xp.where(used & ~zero, weight, 0.0)
        probability = xp.where(zero, 0.0, probability)
    return Rows(mass, log_total, probability, weight, counts, zero, zero_mass, shape, (*own, *shared))


def selection_law(log_mass: Array, log_weight: Array, n: Array, rule: str | Rule = "softmax") -> Law:
    """Law of the candidate selected among n draws (M2) by a rule, given by name or as a record.

    log_mass (..., K) sums to one within 1e-9, or what its dtype leaves of it (`sum_tolerance`; then normalized);
    log_weight (..., K) in nats up to a constant, -inf legal, +inf only where the mass is zero; n a whole number from 1
    to 2^53, an array of them that broadcasts with the leading axes, or `Draws`. Raises InputError otherwise.
    """
    rule = rule_named(rule)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        rows = checked_rows(log_mass, log_weight, n)
        xp = array_api_compat.array_namespace(rows.mass)
        single = rows.counts.single[..., None]
        if bool(xp.all(single)):
            ratio = xp.zeros((*single.shape[:2], rows.mass.shape[-1]), dtype=xp.float64)
        else:
            ratio = rule.log_ratio(rows.mass, rows.log_weight, rows.counts, rows.zero_mass)
        if rows.zero is not None:
            silent = rule.log_zero_ratio(rows.mass, rows.counts, rows.zero_mass)
            ratio = xp.where(rows.zero[:, None, :], silent[..., None], ratio)
        single = rows.counts.single[..., None]
        if bool(xp.any(single)):
            ratio = xp.where(single, 0.0, ratio)
        log_prob, error, log_error = _finished(xp, ratio, rows, rule)
    if not rows.shape:
        return Law(log_prob[0, 0], float(error[0, 0]), float(log_error[0, 0]))
    return Law(rows.unfold(log_prob), rows.unfold(error), rows.unfold(log_error))


def _finished(xp: Namespace, ratio: Array, rows: Rows, rule: Rule) -> tuple[Array, Array, Array]:
    """(log-probabilities (B, M, K), TV error, log error, each (B, M)) from log P/μ, which may be written over.

    The rule says what its sums carry; the exponent of a probability adds units of its size, since both n log φ and the
    log-weight are read back from logs.
    """
    size = ratio.shape[-1]
    units = rule.rounding(size)
    parts = rows_of(size, 1, BLOCK) if is_numpy(ratio) else [slice(None)]
    pieces, total, entropy, least = [], 0.0, 0.0, np.inf
    for part in parts:
        piece = capped(added(added(ratio[..., part], -rows.log_total), rows.log_mass[:, None, part]))
        pieces.append(piece)
        seen = detached(piece)
        low = xp.min(seen, axis=-1)
        if lowest(low) < SMALLEST:
            seen = xp.clip(seen, SMALLEST, None)
            low = xp.min(xp.where(detached(piece) > -np.inf, seen, 0.0), axis=-1)
        p = xp.exp(seen)
        total, entropy = total + xp.sum(p, axis=-1), entropy - xp.vecdot(p, seen, axis=-1)
        least = low if least is np.inf else xp.minimum(least, low)
    # In NumPy the pieces are views of what has been written over.
    log_prob = ratio if is_numpy(ratio) else pieces[0]
    error = 0.5 * (units * total + 2.0 * EPS * entropy)
    # The sum of the numbers is a free check: the deviation from one is error that happened.
    error = xp.maximum(error, 0.5 * xp.abs(total - 1.0)) + 1e-300 * size
    # A log-probability of -inf, as that of padding, is exact.
    deep = units if rule.magnified is None else units * rule.magnified(-least, rows.counts)
    return log_prob, error, deep - 2.0 * EPS * least


def selection_laws(log_mass: Array, log_weight: Array, n: Array, rule: str | Rule) -> Law:
    """`selection_law` of rows log_mass, log_weight (..., K) and real n ≥ 1 (...), which is not checked."""
    return selection_law(log_mass, log_weight, Counts(n, array_api_compat.array_namespace(n).zeros_like(n)), rule)


def score_gated_law(
    log_mass: Array, log_weight: Array, n: Array, log_score: Array, rule: str | Rule = "race"
) -> ScoredLaw:
    """A rule's law where the winner is accepted if its score w/T is at least exp(log_score) (M9).

    For the race the accepted mass of y is n μ w ∫_0^{min(1/w, 1/M)} A^{n-1} dv and P(reject) = A(1/M)^n. log_score =
    -inf accepts always, +inf never. Arguments as in `selection_law`; log_score a number, or an array that broadcasts
    with the leading axes. Raises InputError for a rule without a score gate.
    """
    gate = score_gate_of(rule)
    xp, (mass, weight, score) = as_arrays(log_mass=log_mass, log_weight=log_weight, log_score=log_score)
    fixed, poisson = as_counts(n, mass)
    shape = np.broadcast_shapes(mass.shape[:-1], weight.shape[:-1], fixed.shape, score.shape)
    mass, weight = (xp.broadcast_to(v, (*shape, v.shape[-1])) for v in (mass, weight))
    counts = Counts(*(xp.broadcast_to(v, shape) for v in (fixed, poisson)))
    score = xp.broadcast_to(score, shape)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        rows = checked_rows(mass, weight, counts)
        # infinite scores are looked up, not integrated
        finite = xp.reshape(xp.where(xp.isfinite(score), score, 0.0), (-1,))
        ratio, rejected = gate.law(rows.mass, rows.log_weight, rows.counts, rows.zero_mass, finite)
        if rows.zero is not None:  # weight zero scores nothing
            ratio = xp.where(rows.zero[:, None, :], -np.inf, ratio)
        accepted = rows.unfold(capped(rows.log_mass[:, None, :] + (ratio - rows.log_total)))
        log_reject = rows.unfold(rejected)
    always, never = score == -np.inf, score == np.inf
    if bool(xp.any(always)):
        accepted = xp.where(always[..., None], selection_law(mass, weight, counts, rule).log_prob, accepted)
    accepted = xp.where(never[..., None], -np.inf, accepted)
    return ScoredLaw(accepted, plain_number(xp.where(never, 0.0, xp.where(always, -np.inf, log_reject))))


def score_gated_race(log_mass: Array, log_weight: Array, n: Array, log_score: Array) -> tuple[Array, Array]:
    """(log accepted mass (..., K), log P(reject) (...)) of `score_gated_law` by the race rule."""
    law = score_gated_law(log_mass, log_weight, n, log_score, "race")
    return law.log_accepted, law.log_reject
