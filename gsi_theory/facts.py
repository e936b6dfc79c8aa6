"""What claims and reports need of one instance under one scheme, each computed once when first asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gsi_theory import divergence
from gsi_theory.gate import fallback_law, gsi_law
from gsi_theory.instance import Instance, Scheme, log_weight, tilted_policy, tilted_reward
from gsi_theory.law import EPS, Law, selection_law
from gsi_theory.logscale import Array

__all__ = ["Facts"]


@dataclass(frozen=True)
class Facts:
    """Derived quantities of (instance, scheme): the tilt π, weights w = π/π_S, χ², laws, the accepted set."""

    instance: Instance
    scheme: Scheme
    _laws: dict[tuple[str, int], Law] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def log_pi(self) -> Array:
        """log π_{β,B} (K,) (M1)."""
        return tilted_policy(self.instance, self.scheme.beta)

    @cached_property
    def pi(self) -> Array:
        """π_{β,B} (K,)."""
        return np.exp(self.log_pi)

    @cached_property
    def held(self) -> np.ndarray:
        """Where π > 0."""
        return np.isfinite(self.log_pi)

    @cached_property
    def log_w(self) -> Array:
        """log w = log π - log π_S where π > 0, +inf where uncovered, -inf where π = 0."""
        covered = np.isfinite(self.instance.log_draft)
        draft = np.where(covered, self.instance.log_draft, 0.0)
        return np.where(self.held, np.where(covered, self.log_pi - draft, np.inf), -np.inf)

    @cached_property
    def log_coverage(self) -> float:
        """log C = log sup w."""
        return float(np.max(self.log_w))

    @cached_property
    def w(self) -> Array:
        """w (K,); +inf where it exceeds float64."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_w)

    @cached_property
    def chi2(self) -> float:
        """χ²(π‖π_S)."""
        return divergence.chi2(self.log_pi, self.instance.log_draft)

    @cached_property
    def chi2_pair(self) -> float:
        """χ²(π_B‖π_S)."""
        return divergence.chi2(self.instance.log_base, self.instance.log_draft)

    @cached_property
    def varies(self) -> bool:
        """Whether w is more than rounding away from constant."""
        inside = self.log_w[np.isfinite(self.instance.log_draft)]
        return bool(np.max(inside) - np.min(inside) > 1e-9)

    @cached_property
    def weight_error(self) -> float:
        """Bound on the rounding of log π and of the log-weights, nats."""
        inst = self.instance
        draft = np.where(np.isfinite(inst.log_draft), np.abs(inst.log_draft), 0.0)
        size = np.abs(inst.reward) * self.scheme.beta + np.where(self.held, np.abs(inst.log_base), 0.0) + draft
        return 8.0 * EPS * (1.0 + float(np.max(size[self.held])))

    @cached_property
    def accepted(self) -> np.ndarray:
        """A = {r̃ ≥ u}; everything when there is no threshold."""
        if self.scheme.threshold is None:
            return np.ones(self.instance.size, dtype=bool)
        return tilted_reward(self.instance, self.scheme.beta) >= self.scheme.threshold

    def draft_law(self, rule: str | None = None, n: int | None = None) -> Law:
        """Ungated law Q of the draft winner (default: the scheme's rule and n), weight rounding included."""
        key = (rule or self.scheme.rule, n or self.scheme.n)
        if key not in self._laws:
            draft = self.instance.draft_candidates()
            law = selection_law(draft.log_mass, log_weight(draft, self.scheme.beta), key[1], key[0])
            error, log_error = law.error + self.weight_error, law.log_error + 2.0 * self.weight_error
            self._laws[key] = Law(law.log_prob, error, log_error)
        return self._laws[key]

    def base_law(self) -> Law:
        """Law B of the base winner (softmax: soft best-of-n on the base)."""
        return fallback_law(self.instance.base_candidates(), self.scheme)

    def gated(self, n: int) -> Law:
        """Law G of the scheme with n = n_base = `n`."""
        key = ("gated", n)
        if key not in self._laws:
            s = self.scheme
            law = gsi_law(self.instance, Scheme(s.beta, n, s.threshold, s.rule, n, s.gate))
            self._laws[key] = Law(law.log_prob, law.error, law.log_error)
        return self._laws[key]

    def kl_error(self, law: Law, value: float) -> float:
        """Error of kl(π, law): first order in the log-probabilities' error, which enters as q - p and as log(q/p)."""
        both = self.held & np.isfinite(law.log_prob)
        spread = float(np.sum(self.pi[both] * np.abs(law.log_prob[both] - self.log_pi[both])))
        moved = 2.0 * divergence.tv(self.log_pi, law.log_prob) + spread
        return law.log_error * (moved + law.log_error) + 16.0 * EPS * abs(value)
