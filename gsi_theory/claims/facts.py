"""What claims and reports need of instances under schemes, in batches; each quantity computed once when asked for.

A `Facts` holds rows (...) of K outcomes each: policies and reward (..., K), beta, threshold, n and n_base (...), all in
one namespace (NumPy or torch, float64), and one rule and one gate for the whole batch. Derived quantities are cached
properties of shape (...) or (..., K); a 0-d batch, as from `Facts.of`, gives numbers and vectors. In torch gradients
flow through all of them except the error bounds, and are finite where the value is.

A quantity that a new claim needs becomes one more property here. Claims see only rows where their assumptions hold
(`Facts.rows`), but a property must not warn or give NaN on any row: π is zero somewhere, the draft may miss part of the
base (w = +inf there), short rows are padded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TypeVar

import array_api_compat
import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log_sum, normalize
from gsi_theory.arrays.namespace import detached, host, table
from gsi_theory.claims.facts_input import checked_rows
from gsi_theory.errors import require_name
from gsi_theory.instance import GATES, Instance, Scheme
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.gate import GsiLaw, gated_law
from gsi_theory.laws.selection_law import EPS, SMALLEST, Law, ScoredLaw, score_gated_law, selection_laws
from gsi_theory.laws.weights import Weights, form_weights, gate_doubt, rounded
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named, score_gate_of
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Array, Namespace

__all__ = ["Facts"]

T = TypeVar("T")
L = TypeVar("L", Law, GsiLaw, ScoredLaw)


@dataclass(frozen=True, eq=False)
class Facts:
    """Rows of (instance, scheme): log_draft, log_base, reward (..., K); beta, threshold, n, n_base (...).

    threshold is in reward units, NaN where there is no gate. An outcome of zero mass in both policies is padding.
    """

    log_draft: Array
    log_base: Array
    reward: Array
    beta: Array
    threshold: Array
    n: Array
    n_base: Array
    rule: str | Rule
    gate: str
    _source: tuple[Facts, Callable[[Array], Array]] | None = field(default=None, repr=False)
    _known: dict[Array, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, instance: Instance, scheme: Scheme) -> Facts:
        """One instance under one scheme, NumPy, no batch axes. InputError unless its target is the tilted policy."""
        require_plain(scheme.target, "facts of claims, which are on the tilted policy (see laws.target_law.as_tilt)")
        cut = np.nan if scheme.threshold is None else scheme.threshold
        beta, threshold, n, n_base = (np.asarray(float(v)) for v in (scheme.beta, cut, scheme.n, scheme.base_draws))
        policies = instance.log_draft, instance.log_base
        return cls(*policies, instance.reward, beta, threshold, n, n_base, scheme.rule, scheme.gate)

    @classmethod
    def batch(
        cls,
        log_draft: Array,
        log_base: Array,
        reward: Array,
        beta: Array,
        n: Array,
        threshold: Array = None,
        n_base: Array = None,
        rule: str | Rule = "softmax",
        gate: str = "tilted_reward",
        real_n: bool = False,
    ) -> Facts:
        """Rows from arrays: policies and reward (..., K), the others (...) or numbers; all broadcast together.

        Policies are log-probabilities; pad short rows with -inf in both (their reward is replaced by one of the row's).
        threshold None or NaN: no gate. n_base None: n. n and n_base are whole numbers from 1 to 2^53, or with `real_n`
        real numbers in that range, at which the laws continue analytically (and are differentiable). Raises InputError.
        """
        rule_named(rule)
        require_name(gate, "gate", GATES)
        if gate == "score":
            score_gate_of(rule)
        values = {"log_draft": log_draft, "log_base": log_base, "reward": reward, "beta": beta, "n": n}
        values["threshold"] = np.nan if threshold is None else threshold
        values["n_base"] = n if n_base is None else n_base
        return cls(**checked_rows(values, real_n), rule=rule, gate=gate)

    @property
    def xp(self) -> Namespace:
        """The arrays' namespace."""
        return array_api_compat.array_namespace(self.reward)

    @property
    def size(self) -> int:
        """K."""
        return int(self.reward.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch axes (...)."""
        return tuple(self.reward.shape[:-1])

    def rows(self, mask: Array) -> Facts:
        """The rows where `mask` (...) holds, at least one, as a flat batch that shares the laws of `self`."""
        chosen = host(mask)
        if chosen.all():
            return self
        index = table(np.flatnonzero(chosen), self.reward)
        depth = len(self.shape)

        def pick(values: Array) -> Array:
            return self.xp.reshape(values, (-1, *values.shape[depth:]))[index]

        names = ("log_draft", "log_base", "reward", "beta", "threshold", "n", "n_base")
        key = ("rows", chosen.tobytes())
        return self.once(
            key,
            lambda: Facts(
                **{k: pick(getattr(self, k)) for k in names}, rule=self.rule, gate=self.gate, _source=(self, pick)
            ),
        )

    def once(self, key: Array, make: Callable[[], T]) -> T:
        """make(), kept under `key`, so that claims share it."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def shared(self, key: Array, make: Callable[[Facts], L]) -> L:
        """The law make(facts) of these rows, computed once for all rows of the batch that they were taken from."""
        if self._source is None:
            return self.once(key, lambda: make(self))
        parent, pick = self._source

        def taken() -> L:
            law = parent.shared(key, make)
            return replace(law, **{f.name: pick(getattr(law, f.name)) for f in fields(law)})

        return self.once(key, taken)

    @cached_property
    def log_ratio(self) -> Array:
        """ℓ = log π_B - log π_S (..., K) nats; +inf where uncovered, 0 where both are zero."""
        base, draft = (self.xp.where(self.real, v, 0.0) for v in (self.log_base, self.log_draft))
        return base - draft

    @cached_property
    def tilted_reward(self) -> Array:
        """r̃ = r + ℓ/β (..., K) (M1), with its limits at β = 0, as instance.tilted_reward."""
        xp, ratio = self.xp, self.log_ratio
        divided = (self.beta > 0)[..., None] & xp.isfinite(ratio)
        with np.errstate(over="ignore"):
            tilted = self.reward + xp.where(divided, ratio, 0.0) / xp.where(divided, self.beta[..., None], 1.0)
        return xp.where(divided | (ratio == 0), tilted, xp.where(ratio > 0, np.inf, -np.inf))

    @cached_property
    def log_pi(self) -> Array:
        """log π_{β,B} (..., K) (M1)."""
        return normalize(self.log_base + self.beta[..., None] * self.reward)

    @cached_property
    def pi(self) -> Array:
        """π_{β,B} (..., K)."""
        return self.xp.exp(self.log_pi)

    @cached_property
    def held(self) -> Array:
        """Where π > 0 (..., K)."""
        return self.xp.isfinite(self.log_pi)

    @cached_property
    def real(self) -> Array:
        """Where some policy has mass (..., K): not padding."""
        return self.covered | self.xp.isfinite(self.log_base)

    @cached_property
    def covered(self) -> Array:
        """Where the draft has mass (..., K)."""
        return self.xp.isfinite(self.log_draft)

    @cached_property
    def uncovered(self) -> Array:
        """Whether base mass lies where the draft has none (...)."""
        return self.xp.any(self.xp.isfinite(self.log_base) & ~self.covered, axis=-1)

    @cached_property
    def has_threshold(self) -> Array:
        """Whether there is a threshold (...)."""
        return ~self.xp.isnan(self.threshold)

    @cached_property
    def log_w(self) -> Array:
        """log w = log π - log π_S (..., K) where π > 0, +inf where uncovered, -inf where π = 0."""
        xp = self.xp
        draft = xp.where(self.covered, self.log_draft, 0.0)
        inside = xp.where(self.held, self.log_pi, 0.0) - draft
        return xp.where(self.held, xp.where(self.covered, inside, np.inf), -np.inf)

    @cached_property
    def log_coverage(self) -> Array:
        """log C = log sup w (...)."""
        return self.xp.max(self.log_w, axis=-1)

    @cached_property
    def w(self) -> Array:
        """w (..., K); +inf where it exceeds float64."""
        with np.errstate(over="ignore"):
            return self.xp.exp(self.log_w)

    @cached_property
    def chi2(self) -> Array:
        """χ²(π‖π_S) (...)."""
        return divergence.chi2(self.log_pi, self.log_draft)

    @cached_property
    def chi2_pair(self) -> Array:
        """χ²(π_B‖π_S) (...)."""
        return divergence.chi2(self.log_base, self.log_draft)

    @cached_property
    def varies(self) -> Array:
        """Whether w is more than rounding away from constant on the draft (...)."""
        xp, log_w = self.xp, detached(self.log_w)
        top = xp.max(xp.where(self.covered, log_w, -np.inf), axis=-1)
        low = xp.min(xp.where(self.covered, log_w, np.inf), axis=-1)
        some = xp.isfinite(top) & xp.isfinite(low)
        spread = xp.where(some, top, 1.0) - xp.where(some, low, 0.0)
        return spread > 1e-9

    @cached_property
    def weight_error(self) -> Array:
        """Bound on the rounding of log π and of the log-weights (...), nats; no gradient."""
        xp = self.xp
        draft = xp.where(self.covered, xp.abs(detached(self.log_draft)), 0.0)
        base = xp.where(self.held, xp.abs(detached(self.log_base)), 0.0)
        size = xp.abs(detached(self.reward)) * detached(self.beta)[..., None] + base + draft
        return 8.0 * EPS * (1.0 + xp.max(xp.where(self.held, size, 0.0), axis=-1))

    @cached_property
    def accepted(self) -> Array:
        """A = {r̃ ≥ u} (..., K); everything where there is no threshold."""
        return (self.tilted_reward >= self.threshold[..., None]) | ~self.has_threshold[..., None]

    @cached_property
    def gate_doubt(self) -> Array:
        """Where rounding alone decides `accepted` (..., K)."""
        beta, threshold = self.beta[..., None], self.threshold[..., None]
        size = self._weights("softmax").size
        return gate_doubt(self.tilted_reward, self.reward, self.log_ratio, size, beta, threshold)

    @cached_property
    def centered(self) -> Array:
        """r - min r (..., K) over the outcomes that some policy has, 0 elsewhere: in [0, osc(r)]."""
        return self.xp.where(self.real, self.reward - self.lowest_reward[..., None], 0.0)

    @cached_property
    def lowest_reward(self) -> Array:
        """min r (...) over the outcomes that some policy has."""
        return self.xp.min(self.xp.where(self.real, self.reward, np.inf), axis=-1)

    @cached_property
    def outcomes(self) -> Array:
        """How many outcomes some policy has (...), padding left out: what sums of K terms round in proportion to."""
        return self.xp.sum(self.xp.astype(self.real, self.xp.float64), axis=-1)

    @property
    def rounding(self) -> Array:
        """What a sum of K terms of order one rounds (...), beyond what its weights do."""
        return (self.outcomes + 16.0) * EPS

    @cached_property
    def osc(self) -> Array:
        """osc(r) = max r - min r (...) over the outcomes that some policy has."""
        return self.xp.max(self.centered, axis=-1)

    @cached_property
    def log_z(self) -> Array:
        """log Z = log E_{π_B} e^{βr} (...) (M1): the log-weight βr + ℓ is log w + log Z."""
        return log_sum(self.log_base + self.beta[..., None] * self.reward)

    @cached_property
    def log_score(self) -> Array:
        """log M of the score gate (M9) (...), M = e^{βu}/Z in units of the normalized weight; 1/Z without finite u."""
        with np.errstate(over="ignore"):
            return self.beta * self.xp.where(self.xp.isfinite(self.threshold), self.threshold, 0.0) - self.log_z

    def draft_law(self, rule: str | Rule | None = None, n: Array = None) -> Law:
        """Ungated law Q of the draft winner (default: the batch's rule and n), weight rounding included.

        n: whole numbers (...) as floats, unchecked. Only the laws at the batch's own n are kept.
        """
        rule = rule or self.rule
        if n is None:
            return self.shared(("law", rule), lambda rows: rows.draft_law(rule, rows.n))
        made = self._weights(rule)
        law = selection_laws(self.log_draft, made.log_weight, n, rule)
        if made.doubt is not None:
            return rounded(law, made)
        return Law(law.log_prob, law.error + self.weight_error, law.log_error + 2.0 * self.weight_error)

    def _weights(self, rule: str | Rule) -> Weights:
        beta = self.beta[..., None]
        return self.once(
            ("weights", rule), lambda: form_weights(self.log_draft, self.reward, self.log_ratio, beta, rule)
        )

    def base_law(self, n: Array = None) -> Law:
        """Law B of the base winner among n_base, or n, draws (softmax: soft best-of-n on the base)."""
        if n is None:
            return self.shared("base law", lambda rows: rows.base_law(rows.n_base))
        made = form_weights(self.log_base, self.reward, None, self.beta[..., None], self.rule)
        return rounded(selection_laws(self.log_base, made.log_weight, n, self.rule), made)

    def gated_law(self, n: Array) -> GsiLaw:
        """Law G of the scheme with n = n_base = `n`, a number or (...), unchecked (M6; M9 with gate score)."""
        n = self.xp.zeros_like(self.n) + n
        made = self._weights(self.rule)
        weight = made.log_weight
        ungated = rounded(selection_laws(self.log_draft, weight, n, self.rule), made)
        if self.gate == "score":
            finite = self.xp.isfinite(self.threshold)
            cut = self.xp.where(self.has_threshold, self.threshold, -np.inf)
            with np.errstate(over="ignore"):
                cut = self.xp.where(finite, self.beta * self.xp.where(finite, self.threshold, 0.0), cut)
            scored = score_gated_law(self.log_draft, weight, Counts(n, self.xp.zeros_like(n)), cut, self.rule)
            return gated_law(ungated, self.base_law(n), scored=scored)
        return gated_law(ungated, self.base_law(n), kept=self.accepted, doubt=self.gate_doubt)

    def gated(self) -> GsiLaw:
        """Law G of (M6) at the batch's own n and n_base."""
        return self.shared(
            "gated law",
            lambda rows: gated_law(rows.draft_law(), rows.base_law(), kept=rows.accepted, doubt=rows.gate_doubt),
        )

    def kl_to(self, law: Law | GsiLaw) -> tuple[Array, Array]:
        """(KL(π‖law) (...), its error).

        First order in the log-probabilities' error, which enters as q - p and as log(q/p); +inf where `blind`.
        """
        value = divergence.kl(self.log_pi, law.log_prob)
        xp, log_pi, log_q = self.xp, detached(self.log_pi), detached(law.log_prob)
        both = self.held & xp.isfinite(log_q)
        apart = xp.where(both, log_q, 0.0) - xp.where(both, log_pi, 0.0)
        spread = xp.sum(detached(self.pi) * xp.abs(apart), axis=-1)
        moved = 2.0 * divergence.tv(log_pi, log_q) + spread
        error = law.log_error * (moved + law.log_error) + 16.0 * EPS * detached(value)
        return value, error + self.blind(law.log_prob)

    def blind(self, log_q: Array) -> Array:
        """+inf where a law has log-probabilities log_q (..., K), at outcomes of π, of which its log_error says nothing,
        0 elsewhere (...): below log(1e-300), or underflown to none where the draft has mass."""
        log_q = detached(log_q)
        lost = self.held & (log_q < SMALLEST) & ((log_q > -np.inf) | self.covered)
        return self.xp.where(self.xp.any(lost, axis=-1), np.inf, 0.0)

    def tv(self, rule: str | Rule | None = None) -> tuple[Array, Law]:
        """(TV(π, Q) (...), the law Q) of the draft winner under a rule (default: the batch's)."""
        rule = rule or self.rule
        law = self.draft_law(rule)
        return self.once(("tv", rule), lambda: divergence.tv(self.log_pi, law.log_prob)), law

    def kl(self, rule: str) -> tuple[Array, Array]:
        """`kl_to` the draft law of a rule at the batch's own n."""
        return self.once(("kl", rule), lambda: self.kl_to(self.draft_law(rule)))
