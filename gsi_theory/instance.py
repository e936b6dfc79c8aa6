"""The records every law starts from: Instance (two policies and a reward), Candidates and Scheme; and the tilt (M1).

Policies are log-probabilities over K completions, reward is in reward units, beta ≥ 0 multiplies the reward,
log-ratio ℓ = log π_B - log π_S in nats. Everything is validated once, here, and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import log_sum, normalize
from gsi_theory.arrays.namespace import as_number, as_numbers, sum_tolerance
from gsi_theory.errors import InputError, quoted, require_name
from gsi_theory.laws.draws import as_count
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named, score_gate_of
from gsi_theory.targets.target import Target
from gsi_theory.targets.target_table import target_named
from gsi_theory.types import Floats

__all__ = [
    "GATES",
    "Candidates",
    "Instance",
    "Scheme",
    "beta_times",
    "log_weight",
    "tilted_policy",
    "tilted_reward",
    "tilted_rewards",
]

GATES = ("tilted_reward", "score")
ROUNDING = 1e-14
LARGEST_NATS = 1e300


def _vector(values: ArrayLike, name: str) -> Floats:
    array = as_numbers(values, name)
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}: give a flat list of K ≥ 1 numbers")
    return array + 0.0  # a copy, in which -0.0 is 0.0, as it is printed


def _frozen(array: Floats) -> Floats:
    array.setflags(write=False)
    return array


def _refuse(bad: np.ndarray, values: Floats, name: str, cure: str) -> None:
    where = np.flatnonzero(bad)
    if where.size:
        raise InputError(f"{name}[{where[0]}] = {float(values[where[0]])!r}: {cure}")


def _same_length(**arrays: Floats) -> None:
    lengths = {name: a.size for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"lengths differ ({', '.join(f'{k} {v}' for k, v in lengths.items())}): give one K for all")


def _log_policy(values: Floats, name: str, tolerance: float) -> Floats:
    _refuse(~np.isfinite(values) | (values < 0), values, name, "give finite probabilities ≥ 0")
    with np.errstate(over="ignore"):
        total = float(np.sum(values))
    if abs(total - 1.0) > tolerance:
        raise InputError(f"{name} sums to {total!r}: give probabilities that sum to 1 within {tolerance:.2g}")
    with np.errstate(divide="ignore"):
        return np.log(values if abs(total - 1.0) <= ROUNDING else values / total)


@dataclass(frozen=True)
class Instance:
    """Two policies and a reward on K completions: .log_draft, .log_base (K,) log-probabilities, .reward (K,).

    Base mass where the draft has none is legal: those completions are `uncovered`, coverage is infinite and no number
    of drafts reaches them. Raises InputError on lengths that differ, NaN, negative mass, sums off one, K = 0, and on
    what is no array of numbers (strings, booleans, dicts, tensors that need gradients).
    """

    log_draft: Floats
    log_base: Floats
    reward: Floats

    def __post_init__(self) -> None:
        fields = {name: _vector(getattr(self, name), name) for name in ("log_draft", "log_base", "reward")}
        _same_length(**fields)
        _refuse(~np.isfinite(fields["reward"]), fields["reward"], "reward", "give finite rewards")
        for name in ("log_draft", "log_base"):
            tolerance = sum_tolerance(getattr(self, name))
            _refuse(np.isnan(fields[name]) | (fields[name] > tolerance), fields[name], name, "give numbers ≤ 0")
            total = float(log_sum(fields[name]))
            if abs(total) > tolerance:
                raise InputError(f"exp({name}) sums to {np.exp(total)!r}: give log-probabilities of a policy")
            # What sums to one to rounding stays as it is: shifting two equal probabilities apart would lose ℓ = 0.
            if abs(total) > ROUNDING:
                fields[name] = normalize(fields[name])
        for name, array in fields.items():
            object.__setattr__(self, name, _frozen(array))

    @classmethod
    def from_probabilities(cls, draft: ArrayLike, base: ArrayLike, reward: ArrayLike) -> Instance:
        """From probabilities draft, base (K,) (each summing to one within 1e-9, or what float32, float16 or bfloat16
        leave of it; then normalized in float64) and reward (K,)."""
        arrays = {"draft": _vector(draft, "draft"), "base": _vector(base, "base"), "reward": _vector(reward, "reward")}
        _same_length(**arrays)
        return cls(
            _log_policy(arrays["draft"], "draft", sum_tolerance(draft)),
            _log_policy(arrays["base"], "base", sum_tolerance(base)),
            arrays["reward"],
        )

    @property
    def size(self) -> int:
        """K."""
        return int(self.reward.size)

    @property
    def log_ratio(self) -> Floats:
        """ℓ = log π_B - log π_S (K,) in nats; +inf where uncovered, 0 where both policies are zero."""
        neither = (self.log_base == -np.inf) & (self.log_draft == -np.inf)
        return np.where(neither, 0.0, self.log_base) - np.where(neither, 0.0, self.log_draft)

    @property
    def uncovered(self) -> tuple[int, ...]:
        """Indices with base mass and no draft mass."""
        return tuple(np.flatnonzero((self.log_draft == -np.inf) & (self.log_base > -np.inf)).tolist())

    def draft_candidates(self) -> Candidates:
        """The draft as a weighted set: mass π_S."""
        return Candidates(self.log_draft, self.reward, self.log_ratio)

    def base_candidates(self) -> Candidates:
        """The base as a weighted set: mass π_B."""
        return Candidates(self.log_base, self.reward, self.log_ratio)


@dataclass(frozen=True)
class Candidates:
    """A weighted set: log_mass (K,) summing to one, reward (K,), raw log_ratio (K,) in nats (never normalized).

    From an instance the masses are a policy; from a pool of N samples each is 1/N (M30). log_ratio -inf is legal (no
    base mass); +inf is legal only for candidates that are not drawn from the draft. Raises InputError otherwise.
    """

    log_mass: Floats
    reward: Floats
    log_ratio: Floats

    def __post_init__(self) -> None:
        fields = {name: _vector(getattr(self, name), name) for name in ("log_mass", "reward", "log_ratio")}
        _same_length(**fields)
        mass, ratio, tolerance = fields["log_mass"], fields["log_ratio"], sum_tolerance(self.log_mass)
        _refuse(~np.isfinite(fields["reward"]), fields["reward"], "reward", "give finite rewards")
        _refuse(np.isnan(mass) | (mass > tolerance), mass, "log_mass", "give numbers ≤ 0")
        total = float(log_sum(mass))
        if abs(total) > tolerance:
            raise InputError(f"exp(log_mass) sums to {np.exp(total)!r}: give masses that sum to 1")
        _refuse(np.isnan(ratio), ratio, "log_ratio", "give nats (-inf: no base mass)")
        fields["log_mass"] = normalize(mass)
        for name, array in fields.items():
            object.__setattr__(self, name, _frozen(array))


@dataclass(frozen=True)
class Scheme:
    """beta ≥ 0, n draws, threshold u in reward units (None: no gate), rule, n_base draws of the fallback, gate.

    gate "tilted_reward" (M6) accepts when the winner's tilted reward is ≥ u; "score" (M9) when the winning score is,
    and needs a rule with a score gate: "race". n_base defaults to n. target: the law that the weights aim at (M41), the
    tilted policy by default. Raises InputError naming the field.
    """

    beta: float
    n: int
    threshold: float | None = None
    rule: str | Rule = "softmax"
    n_base: int | None = None
    gate: str = "tilted_reward"
    target: str | Target = "kl"

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", as_beta(self.beta))
        object.__setattr__(self, "n", as_count(self.n, "n"))
        object.__setattr__(self, "n_base", self.n if self.n_base is None else as_count(self.n_base, "n_base"))
        rule_named(self.rule)
        target_named(self.target)
        require_name(self.gate, "gate", GATES)
        if self.threshold is not None:
            cure = "give a number in reward units (±inf allowed), or None for no gate"
            object.__setattr__(self, "threshold", as_number(self.threshold, "threshold", cure) + 0.0)
            if np.isnan(self.threshold):
                raise InputError(f"threshold nan: {cure}")
        if self.gate == "score":
            score_gate_of(self.rule)

    @property
    def base_draws(self) -> int:
        """Draws of the fallback (n_base, or n)."""
        return self.n if self.n_base is None else self.n_base


def as_beta(value: object) -> float:
    """`value` as a finite number ≥ 0; InputError otherwise."""
    beta = as_number(value, "beta", "give a finite number ≥ 0")
    if not 0 <= beta < np.inf:
        raise InputError(f"beta = {quoted(value)}: give a finite number ≥ 0")
    return beta + 0.0


def beta_times(reward: Floats, beta: float) -> Floats:
    """β r (K,) in nats. InputError beyond ±LARGEST_NATS: float64 could not hold their sums and differences."""
    beta = as_beta(beta)
    worst = int(np.argmax(np.abs(reward)))
    if beta * abs(float(reward[worst])) > LARGEST_NATS:
        raise InputError(
            f"beta = {beta:g} times reward[{worst}] = {float(reward[worst]):g}: give a smaller beta, or rewards in "
            f"units that keep their product within ±{LARGEST_NATS:g}"
        )
    return beta * reward


def log_weight(candidates: Candidates, beta: float) -> Floats:
    """β r + ℓ (K,) in nats: the log-weight of draft candidates."""
    return beta_times(candidates.reward, beta) + candidates.log_ratio


def tilted_policy(instance: Instance, beta: float) -> Floats:
    """log π_{β,B} (K,): the base tilted by e^{βr} (M1). Raises InputError for what is no Instance."""
    if not isinstance(instance, Instance):
        raise InputError(f"{type(instance).__name__} as instance: give an Instance")
    return normalize(instance.log_base + beta_times(instance.reward, beta))


def tilted_reward(instance: Instance | Candidates, beta: float) -> Floats:
    """r̃ = r + ℓ/β (K,) in reward units (M1); at β = 0 its limit: r where ℓ = 0, ±inf by the sign of ℓ elsewhere."""
    if not isinstance(instance, Instance | Candidates):
        raise InputError(f"{type(instance).__name__} as instance: give an Instance or Candidates")
    return tilted_rewards(instance.reward, instance.log_ratio, as_beta(beta))


def tilted_rewards(reward: Floats, log_ratio: Floats, beta: float) -> Floats:
    """`tilted_reward` of arrays of one shape, at a checked β; where ℓ is NaN, so is r̃."""
    if beta > 0:
        with np.errstate(over="ignore"):
            return reward + log_ratio / beta
    limit = np.where(log_ratio == 0, reward, np.copysign(np.inf, log_ratio))
    return np.where(np.isnan(log_ratio), np.nan, limit)
