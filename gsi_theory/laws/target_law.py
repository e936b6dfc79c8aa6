"""The law that a scheme aims at, for every target of the table (M41), and the instance of which it is the tilt.

Every target is a tilted policy (M1) of another reward, on what it leaves of the base: `as_tilt` says which. What
depends on μ and π alone, M10, M11 and M17-M19 among it, therefore holds for it as it stands.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme, as_beta, beta_times
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.targets.target import Aim, Target
from gsi_theory.targets.target_table import target_named

__all__ = ["as_tilt", "scheme_aim", "target_aim", "target_law"]


def target_aim(instance: Instance, beta: float, target: str | Target = "kl") -> Aim:
    """What a target asks of every outcome of an instance. Raises InputError for an unknown target or a bad beta."""
    if not isinstance(instance, Instance):
        raise InputError(f"{type(instance).__name__} as instance: give an Instance")
    beta_times(instance.reward, beta)
    return target_named(target).aim(instance.log_base, instance.reward, as_beta(beta))


def scheme_aim(instance: Instance, scheme: Scheme) -> Aim | None:
    """`target_aim` of a scheme; None for a plain target, whose log-weights are βr + ℓ of each candidate alone."""
    if target_named(scheme.target).plain:
        return None
    return target_aim(instance, scheme.beta, scheme.target)


def target_law(instance: Instance, beta: float, target: str | Target = "kl") -> Law:
    """The target's law π (K,), normalized, with bounds on its TV error and on that of each log-probability, nats.

    log_error is infinite where rounding may have made a weight zero (`Aim.vague`). Errors as `target_aim`.
    """
    aim = target_aim(instance, beta, target)
    log_prob = normalize(instance.log_base + aim.log_tilt)
    held = log_prob > -np.inf
    visible = np.exp(log_prob[held])
    terms = aim.size + np.abs(np.where(held, instance.log_base, 0.0)) + np.abs(np.where(held, aim.log_tilt, 0.0))
    units = np.log2(log_prob.size + 1.0) + 16.0 + terms[held]
    error = EPS * float(visible @ units) + 2.0 * aim.slack
    vague = aim.vague is not None
    return Law(log_prob, min(1.0, error), np.inf if vague else 2.0 * EPS * float(np.max(units)))


def as_tilt(instance: Instance, beta: float, target: str | Target = "kl") -> tuple[Instance, float]:
    """(instance, beta) whose tilted policy is the target's law (M41): the base without what the target leaves out,
    normalized, and the target's own reward. The draft is the same. Errors as `target_aim`."""
    aim = target_aim(instance, beta, target)
    kept = (aim.log_tilt > -np.inf) & (instance.log_base > -np.inf)
    base = normalize(np.where(kept, instance.log_base, -np.inf))
    reward = np.where(kept, np.where(kept, aim.reward, 0.0), np.min(aim.reward[kept]))
    return replace(instance, log_base=base, reward=reward), aim.beta
