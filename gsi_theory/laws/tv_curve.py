"""TV(P_n, π) for many n at once, without forming the laws (M3, M4).

Under rules that tend to the tilt P_n/π decreases in the weight, so the TV is the largest of π(A) - P_n(A) over the sets
A of the j heaviest candidates, attained where P_n/π crosses one. Each rule's file says how it finds the crossing, in
compiled loops; without numba, and where weights spread too far, the laws are formed after all.
"""

from __future__ import annotations

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import COMPILED, host
from gsi_theory.arrays.ranked_rows import ranked
from gsi_theory.divergence import tv
from gsi_theory.errors import InputError
from gsi_theory.laws.selection_law import checked_rows, selection_law
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax import CELLED
from gsi_theory.rules.table import RULES, rule_named
from gsi_theory.types import Floats

__all__ = ["tv_curve"]

LARGEST = 1 << 22  # entries of the laws formed at once


def tv_curve(log_mass: ArrayLike, log_weight: ArrayLike, n: ArrayLike, rule: str | Rule = "softmax") -> Floats:
    """TV(P_n, π) (M,) for whole numbers n (M,): the law of the winner of n draws against its limit π ∝ μ w.

    Rule softmax or race; log_mass and log_weight (K,) as in `selection_law`, torch tensors too, answered in NumPy;
    errors are those of its laws. Raises InputError.
    """
    rule = rule_named(rule)
    if rule.tv_curve is None:
        known = " or ".join(each.name for each in RULES.values() if each.tv_curve)
        raise InputError(f"rule {rule.name!r}: give {known}, whose laws tend to the tilt")
    log_mass, log_weight = (host(v) if array_api_compat.is_torch_array(v) else v for v in (log_mass, log_weight))
    counts = np.atleast_1d(np.asarray(n))
    if counts.ndim != 1:
        raise InputError(f"n of shape {counts.shape}: give a list of whole numbers")
    with np.errstate(under="ignore"):
        rows = checked_rows(log_mass, log_weight, counts)
    if np.ndim(log_mass) != 1 or np.ndim(log_weight) != 1:
        raise InputError(f"log_mass of shape {np.shape(log_mass)}: give one vector (K,)")
    weight, used = np.asarray(log_weight, dtype=np.float64), np.isfinite(rows.log_mass[0])
    if COMPILED and np.count_nonzero(used) > 1:
        _, ordered, mass = ranked(weight[used], rows.mass[0, used])
        if ordered[-1] > -np.inf and ordered[0] - ordered[-1] <= CELLED:
            return rule.tv_curve(mass, ordered, rows.counts)
    return _by_laws((rows.log_mass - rows.log_total[0])[0], weight, counts, rule)


def _by_laws(log_mass: Floats, log_weight: Floats, n: Floats, rule: Rule) -> Floats:
    log_pi = normalize(np.where(np.isfinite(log_mass), log_mass + log_weight, -np.inf))
    step = max(1, LARGEST // log_mass.size)
    parts = (n[i : i + step] for i in range(0, n.size, step))
    return np.concatenate([tv(selection_law(log_mass, log_weight, part, rule).log_prob, log_pi) for part in parts])
