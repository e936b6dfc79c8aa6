"""The catalogue of mistakes: what samplers do instead of what they say, each with its exact law on a toy problem.

A record holds a name, what it is in words, and `law`: (method, instance, scheme) -> probabilities (K,), None where the
method has nothing for it to go wrong with. Of one kind of change each; a sampler with two of them is named after the
nearest. Formula: P = S a + (1 − Σ S a) B (`round_parts`), with one of its parts changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gsi_theory.conformance.round_parts import RoundParts, lists, parts_of, scaled, softmax
from gsi_theory.errors import Named
from gsi_theory.instance import Instance, Scheme, tilted_reward
from gsi_theory.laws.speculative import speculative_law
from gsi_theory.methods import Method
from gsi_theory.rules.max import MAX
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax import SOFTMAX
from gsi_theory.types import Floats

__all__ = ["MISTAKES", "Mistake", "ToyCase"]

COLD = 0.7  # the sampling temperature of a mistake
NUDGE = 1e-9  # of a reward: orders ties, moves nothing else


@dataclass(frozen=True)
class ToyCase:
    """A method on a toy problem."""

    method: Method
    instance: Instance
    scheme: Scheme

    @property
    def parts(self) -> RoundParts | None:
        """The parts of its round, None where it has others."""
        return parts_of(self.method, self.instance, self.scheme)

    @property
    def gated(self) -> bool:
        """Whether its winner's tilted reward is compared with u."""
        return self.method.gate == "tilted_reward" and self.scheme.threshold is not None

    @property
    def drafts(self) -> bool:
        """Whether the draft alone proposes."""
        return self.method.proposal == "draft"

    def law(self, instance: Instance | None = None, scheme: Scheme | None = None) -> Floats:
        """The method's own law, of another instance or under another scheme."""
        return np.exp(self.method.law(instance or self.instance, scheme or self.scheme).log_prob)


@dataclass(frozen=True)
class Mistake:
    """id; words: what it does; law: as in the module's text."""

    id: str
    words: str
    law: Callable[[ToyCase], Floats | None]


def _changed(change: Callable[[ToyCase, RoundParts], Floats | RoundParts | None]) -> Callable[[ToyCase], Floats | None]:
    """A mistake in the parts of a round."""

    def law(case: ToyCase) -> Floats | None:
        parts = case.parts
        if parts is None:
            return None
        changed = change(case, parts)
        return changed.law() if isinstance(changed, RoundParts) else changed

    return law


def _fewer(by: int) -> Callable[[ToyCase], Floats | None]:
    def law(case: ToyCase) -> Floats | None:
        n = case.scheme.n + by
        if case.method.n is not None or n < 1:
            return None
        return case.law(scheme=replace(case.scheme, n=n, n_base=case.scheme.base_draws))

    return law


def _fewer_base(by: int) -> Callable[[ToyCase], Floats | None]:
    def law(case: ToyCase) -> Floats | None:
        selects = case.method.rejects(case.scheme) and case.method.fallback == "select"
        n_base = case.scheme.base_draws + by
        if not (selects or case.method.mixed) or case.method.n_base is not None or n_base < 1:
            return None
        return case.law(scheme=replace(case.scheme, n_base=n_base))

    return law


def _reads_ratio(case: ToyCase) -> bool:
    return case.method.reads(case.scheme).ratio and case.method.gate != "ratio"


def _weighed(values: Callable[[ToyCase], Floats], gate: bool) -> Callable[[ToyCase], Floats | None]:
    """Other log-weights in the selection; `gate`: their β-th part is compared with u too."""

    def change(case: ToyCase, parts: RoundParts) -> RoundParts | None:
        if not _reads_ratio(case) or case.method.weight == "none":
            return None
        weight = values(case)
        passes = parts.passes
        if gate and case.gated:
            passes = np.where(weight / case.scheme.beta >= float(case.scheme.threshold or 0.0), 1.0, 0.0)
        return replace(parts, weight=weight, passes=passes)

    return _changed(change)


def _raised(case: ToyCase) -> Floats:
    return case.scheme.beta * case.instance.reward


def _beta_missing(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    if case.method.weight in ("none", "best"):
        return None
    return replace(parts, weight=parts.weight - _raised(case) + case.instance.reward)


def _gate(values: Callable[[ToyCase, RoundParts], Floats]) -> Callable[[ToyCase], Floats | None]:
    """Something else compared with u."""

    def change(case: ToyCase, parts: RoundParts) -> RoundParts | None:
        if not case.gated:
            return None
        return replace(parts, passes=np.where(values(case, parts) >= float(case.scheme.threshold or 0.0), 1.0, 0.0))

    return _changed(change)


def _strict(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    u = case.scheme.threshold
    if u is None or case.method.gate not in ("tilted_reward", "reward"):
        return None
    values = tilted_reward(case.instance, case.scheme.beta) if case.gated else case.instance.reward
    return replace(parts, passes=np.where(values > u, 1.0, 0.0))


def _gate_first(case: ToyCase, parts: RoundParts) -> Floats | None:
    """The drafts that pass are selected among, the fallback comes where none passes."""
    if not case.gated or parts.n < 2:
        return None
    mass = np.exp(parts.proposal) * parts.passes
    total = float(mass.sum())
    if not 0.0 < total < 1.0:
        return None
    with np.errstate(divide="ignore"):
        passing = np.log(mass / total)
    counts = np.arange(parts.n + 1)
    chance = np.array([float(np.prod([(parts.n - i) / (i + 1.0) for i in range(k)])) for k in counts])
    chance *= total**counts * (1.0 - total) ** (parts.n - counts)
    law = chance[0] * parts.fallback()
    for k in counts[1:]:
        law = law + chance[k] * parts.selected(int(k), passing)
    return law


def _no_fallback(case: ToyCase, parts: RoundParts) -> Floats | None:
    return parts.selected() if case.method.rejects(case.scheme) else None


def _again(case: ToyCase, parts: RoundParts) -> Floats | None:
    """Drafts are drawn again until one passes."""
    taken = parts.selected() * parts.passes
    return taken / taken.sum() if case.method.rejects(case.scheme) and taken.sum() > 0.0 else None


def _reused(case: ToyCase, parts: RoundParts) -> Floats | None:
    """The rejected winner stands among the fallback's candidates."""
    if not case.gated or not parts.listed:
        return None
    winner = parts.selected()
    law = winner * parts.passes
    drawn = lists(parts.base, parts.n_base)
    for y in np.flatnonzero(winner * (1.0 - parts.passes)):
        for chance, outcomes in drawn:
            among = (int(y), *outcomes)
            lost = winner[y] * (1.0 - parts.passes[y]) * chance
            np.add.at(law, list(among), lost * parts.chances(among, parts.base_weight))
    return law


def _from_draft(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    """The fallback draws from the draft."""
    if not case.method.rejects(case.scheme) or parts.residual is not None:
        return None
    return replace(parts, base=case.instance.log_draft)


def _plain_fallback(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    return replace(parts, n_base=1) if case.gated and parts.n_base > 1 else None


def _ratio_in_fallback(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    if not case.gated or parts.n_base < 2:
        return None
    return replace(parts, base_weight=parts.base_weight + case.instance.log_ratio)


def _rule(rule: Rule) -> Callable[[ToyCase], Floats | None]:
    """Another rule in every selection: the reward's best where the rule reads nothing else."""

    def change(case: ToyCase, parts: RoundParts) -> RoundParts | None:
        wrong = parts.rule is MAX if rule is SOFTMAX else parts.rule is not rule
        if not wrong or parts.n < 2:
            return None
        weight = _raised(case) if case.method.weight == "best" else parts.weight
        return replace(parts, rule=rule, weight=weight)

    return _changed(change)


def _first(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    """The first candidate is taken, whatever its weight."""
    return replace(parts, n=1) if parts.n > 1 else None


def _z_scores(case: ToyCase, parts: RoundParts) -> Floats | None:
    """Rewards standardized within each list before β multiplies them."""
    if not parts.listed or parts.n < 2 or case.method.weight in ("none", "best"):
        return None
    rest = parts.weight - _raised(case)

    def choose(outcomes: tuple[int, ...]) -> Floats:
        reward = case.instance.reward[list(outcomes)]
        spread = float(reward.std())
        z = (reward - reward.mean()) / spread if spread > 0.0 else np.zeros(reward.size)
        return softmax(case.scheme.beta * z + rest[list(outcomes)])

    return parts.law(parts.enumerated(choose)) if parts.rule is SOFTMAX else None


def _distinct(case: ToyCase, parts: RoundParts) -> Floats | None:
    """Equal candidates are counted once."""
    if parts.rule is not SOFTMAX or parts.n < 2:
        return None

    def choose(outcomes: tuple[int, ...]) -> Floats:
        first = np.array([y not in outcomes[:k] for k, y in enumerate(outcomes)])
        return softmax(np.where(first, parts.weight[list(outcomes)], -np.inf))

    return parts.law(parts.enumerated(choose))


def _ordered(sign: float) -> Callable[[ToyCase], Floats | None]:
    """Equal rewards: the outcome of the smallest number wins, or of the largest."""

    def change(case: ToyCase, parts: RoundParts) -> RoundParts | None:
        if parts.rule is not MAX:
            return None
        return replace(parts, weight=parts.weight - sign * NUDGE * np.arange(case.instance.size))

    return _changed(change)


def _upside(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    if case.method.weight in ("none",):
        return None
    return replace(parts, weight=parts.weight - 2.0 * _raised(case) if case.method.weight != "best" else -parts.weight)


def _cold_draws(case: ToyCase, parts: RoundParts) -> RoundParts | None:
    """All candidates come at temperature COLD, their log-probabilities are of temperature 1."""
    residual = parts.residual
    return replace(parts, proposal=scaled(parts.proposal, COLD), base=scaled(parts.base, COLD), residual=residual)


def _cold_side(side: str) -> Callable[[ToyCase], Floats | None]:
    """One model's log-probabilities are of temperature COLD, all draws of temperature 1."""

    def law(case: ToyCase) -> Floats | None:
        parts = case.parts
        if parts is None or not case.method.reads(case.scheme).ratio:
            return None
        logs = {"draft": case.instance.log_draft, "base": case.instance.log_base}
        draft, base = (scaled(v, COLD) if k == side else v for k, v in logs.items())
        wrong = Instance(draft, base, case.instance.reward)
        other = parts_of(case.method, wrong, case.scheme)
        assert other is not None, "parts are a matter of the method"
        return replace(other, proposal=parts.proposal, base=parts.base).law()

    return law


def _exchanged(case: ToyCase) -> Floats | None:
    """Draft and base exchanged where the candidates are drawn."""
    if not case.drafts or case.parts is None:
        return None
    return replace(case.parts, proposal=case.instance.log_base, base=case.instance.log_draft).law()


def _speculative(change: Callable[[ToyCase], tuple[Floats, Floats]]) -> Callable[[ToyCase], Floats | None]:
    """Speculative sampling with another (acceptance, residual)."""

    def law(case: ToyCase) -> Floats | None:
        if case.method.gate != "ratio" or case.parts is None:
            return None
        passes, residual = change(case)
        return replace(case.parts, passes=passes, residual=residual).law()

    return law


def _inverted(case: ToyCase) -> tuple[Floats, Floats]:
    return np.exp(np.minimum(-case.instance.log_ratio, 0.0)), speculative_law(case.instance).residual_log_prob


def _no_residual(case: ToyCase) -> tuple[Floats, Floats]:
    return np.exp(np.minimum(case.instance.log_ratio, 0.0)), case.instance.log_base


def _both_sides(case: ToyCase) -> tuple[Floats, Floats]:
    apart = np.abs(np.exp(case.instance.log_base) - np.exp(case.instance.log_draft))
    return _no_residual(case)[0], _log_law(apart, case)


def _log_law(mass: Floats, case: ToyCase) -> Floats:
    """log of a normalized mass (K,); of none, where draft and base are equal and nothing is rejected, the base's."""
    total = float(mass.sum())
    with np.errstate(divide="ignore"):
        return np.log(mass / total) if total > 0.0 else case.instance.log_base


def _same_number(case: ToyCase) -> tuple[Floats, Floats]:
    """The number that rejected a draft is used again to draw the residual."""
    passes, residual = (
        np.exp(np.minimum(case.instance.log_ratio, 0.0)),
        np.exp(speculative_law(case.instance).residual_log_prob),
    )
    p = np.exp(case.instance.log_draft)
    ends = np.concatenate([[0.0], np.cumsum(residual)])
    # given a draft that passes with chance a, the number is uniform on [a, 1)
    joint = sum(
        p[y] * np.maximum(np.minimum(ends[1:], 1.0) - np.maximum(ends[:-1], passes[y]), 0.0) for y in range(p.size)
    )
    return passes, _log_law(np.asarray(joint), case)


MISTAKES: dict[str, Mistake] = Named(
    "mistake",
    {
        each.id: each
        for each in (
            Mistake("one_fewer", "n − 1 candidates instead of n", _fewer(-1)),
            Mistake("one_more", "n + 1 candidates instead of n", _fewer(1)),
            Mistake("one_base_fewer", "n_base − 1 base draws instead of n_base", _fewer_base(-1)),
            Mistake("one_base_more", "n_base + 1 base draws instead of n_base", _fewer_base(1)),
            Mistake("beta_missing", "the reward enters the weights without β", _changed(_beta_missing)),
            Mistake("reward_negated", "the lowest reward is preferred", _changed(_upside)),
            Mistake("rewards_standardized", "z-scores of each list's rewards for the rewards", _changed(_z_scores)),
            Mistake(
                "ratio_inverted",
                "π_S/π_B for π_B/π_S, in weights and gate",
                _weighed(lambda c: _raised(c) - c.instance.log_ratio, True),
            ),
            Mistake("ratio_missing", "no ratio, in weights and gate", _weighed(_raised, True)),
            Mistake("ratio_missing_in_weights", "no ratio in the weights", _weighed(_raised, False)),
            Mistake(
                "ratio_clipped",
                "the ratio clipped at 1, in weights and gate",
                _weighed(lambda c: _raised(c) + np.minimum(c.instance.log_ratio, 0.0), True),
            ),
            Mistake(
                "ratio_times_beta",
                "β multiplies the log-ratio too",
                _weighed(lambda c: c.scheme.beta * (c.instance.reward + c.instance.log_ratio), True),
            ),
            Mistake("threshold_on_reward", "the winner's reward, without its ratio, is compared with u",
                    _gate(lambda c, p: c.instance.reward)),
            Mistake("threshold_on_weight", "the winner's log-weight, β times its tilted reward, is compared with u",
                    _gate(lambda c, p: p.weight)),
            Mistake("threshold_strict", "a draft that meets u exactly is rejected", _changed(_strict)),
            Mistake("gate_before_selection", "drafts below u are left out before the selection", _changed(_gate_first)),
            Mistake("no_fallback", "what is rejected is returned", _changed(_no_fallback)),
            Mistake("drafts_again", "drafts are drawn again until one passes", _changed(_again)),
            Mistake("winner_reused", "the rejected draft stands among the fallback's candidates", _changed(_reused)),
            Mistake("fallback_from_draft", "the fallback draws from the draft", _changed(_from_draft)),
            Mistake("fallback_of_one", "one base draw replaces what is rejected, no selection",
                    _changed(_plain_fallback)),
            Mistake("fallback_with_ratio", "the fallback's weights hold the ratio too", _changed(_ratio_in_fallback)),
            Mistake("greedy", "the largest weight wins, for a draw by weights", _rule(MAX)),
            Mistake("softmax_for_best", "a draw by weights, for the largest", _rule(SOFTMAX)),
            Mistake("first_candidate", "the first candidate is taken, whatever its weight", _changed(_first)),
            Mistake("duplicates_dropped", "equal candidates are counted once", _changed(_distinct)),
            Mistake("ties_to_smallest", "of equal weights the outcome of the smallest number wins", _ordered(1.0)),
            Mistake("ties_to_largest", "of equal weights the outcome of the largest number wins", _ordered(-1.0)),
            Mistake("cold_draws", f"drawn at temperature {COLD}, scored at 1", _changed(_cold_draws)),
            Mistake("cold_draft_scores", f"draft log-probabilities of temperature {COLD}", _cold_side("draft")),
            Mistake("cold_base_scores", f"base log-probabilities of temperature {COLD}", _cold_side("base")),
            Mistake("models_exchanged", "candidates come from the base, fallbacks from the draft", _exchanged),
            Mistake("acceptance_inverted", "accepted by min(1, π_S/π_B)", _speculative(_inverted)),
            Mistake("residual_missing", "a rejected draft is replaced from π_B, not from (π_B − π_S)₊",
                    _speculative(_no_residual)),
            Mistake("residual_of_both_signs", "|π_B − π_S| for its positive part", _speculative(_both_sides)),
            Mistake("number_used_twice", "the number that rejected draws the residual", _speculative(_same_number)),
        )
    },
)  # fmt: skip
