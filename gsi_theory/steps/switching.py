"""A stepwise method that starts with the base and switches between the two models, exactly on a tree.

Our reading of the cascade of SPECS (speculative drafts with reward-based deferral; its text was not at hand):

    base step    n_B base candidates, softmax rule on β r; the winner y is taken; if r(y) ≥ v the draft goes on
    draft step   n draft candidates, softmax rule on β r̃; the winner is taken if r̃ ≥ u, and the draft goes on; if not,
                 the base does this step as above

The first step is the base's. The law is a forward recursion over (prefix, model that comes next): given the prefix,
the two winners and the gate have the laws of (M6). `start` "draft" begins with the draft instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.instance import Scheme
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.rules.softmax import SOFTMAX
from gsi_theory.rules.table import rule_named
from gsi_theory.steps.tree import Tree
from gsi_theory.types import Floats

__all__ = ["SwitchingLaw", "switching_law"]


@dataclass(frozen=True)
class SwitchingLaw:
    """log_prob (L,) of tree.trajectories; expected steps that the draft proposed, that it kept, that the base wrote;
    error: bound on the TV error of log_prob, at most 1."""

    tree: Tree
    log_prob: Floats
    proposed: float
    kept: float
    written: float
    error: float

    def expectation(self, values: Floats) -> float:
        """E f for values f (L,) of the trajectories."""
        return float(np.exp(self.log_prob) @ values)


def switching_law(tree: Tree, scheme: Scheme, switch: float, start: str = "base") -> SwitchingLaw:
    """Law of trajectories under `scheme` (its threshold is u, softmax rule) and `switch` v, both in reward units.

    Raises InputError when the scheme has no threshold, its rule is not softmax, or start is neither model.
    """
    if scheme.threshold is None or rule_named(scheme.rule) is not SOFTMAX:
        raise InputError(f"threshold {scheme.threshold!r} with rule {scheme.rule!r}: give a threshold and rule softmax")
    if start not in ("base", "draft"):
        raise InputError(f"start {start!r}: give base or draft")
    reach = {"base": np.array([float(start == "base")]), "draft": np.array([float(start == "draft")])}
    proposed = kept = written = error = 0.0
    paths = []
    base_only = replace(scheme, threshold=np.inf)  # a base step: no draft is kept
    for level in tree.levels:
        base_step, accepted, errors = [], [], []
        for instance in level.instances:
            law, base_law = gsi_laws(instance, [scheme, base_only])
            base_step.append(np.exp(law.fallback_log_prob))
            accepted.append(np.exp(law.accepted_log_mass))
            errors.append((2.0 * base_law.error, 2.0 * law.error))
        b, a = np.concatenate(base_step), np.concatenate(accepted)
        reject = 1.0 - np.minimum(level.total(a), 1.0)
        wrote = reach["base"] + reach["draft"] * reject
        proposed += float(reach["draft"].sum())
        written += float(wrote.sum())
        kept += float(reach["draft"].sum() - reach["draft"] @ reject)
        error += float(np.sum(np.stack([reach["base"], reach["draft"]], axis=1) * np.array(errors)))
        from_draft, from_base = reach["draft"][level.node] * a, wrote[level.node] * b
        up = level.reward >= switch
        step = {"draft": from_draft + np.where(up, from_base, 0.0), "base": np.where(up, 0.0, from_base)}
        paths.append(step["draft"] + step["base"])
        reach = {model: mass[~level.ends] for model, mass in step.items()}
    with np.errstate(divide="ignore"):
        log_prob = np.log(tree.arrange(paths))
    return SwitchingLaw(tree, log_prob, proposed, kept, written, min(error, 1.0))
