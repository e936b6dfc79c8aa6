"""Hypothesis strategies for instances, candidates and schemes, for property tests here and elsewhere.

    from hypothesis import given
    from gsi_theory.testing import instances, schemes

    @given(instances(max_size=6), schemes())
    def test_my_bound(instance, scheme): ...

    @given(instances(zeros=True), schemes())
    def test_published_bound(instance, scheme):
        check_claim("M11-chi2", instance, scheme)

Needs the `testing` extra (hypothesis). The strategies shrink toward few candidates, equal policies, reward 0.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from gsi_theory.arrays.logscale import normalize
from gsi_theory.claims import CLAIMS, Claim, Outcome, Verdict
from gsi_theory.instance import Candidates, Instance, Scheme
from gsi_theory.rules.table import RULES, rule_named

__all__ = ["candidates", "check_claim", "instances", "log_policies", "schemes"]


def log_policies(size: int, *, smallest_log: float = -20.0, zeros: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Normalized log-probabilities (size,); with `zeros` some (never all) are -inf."""
    entry = st.floats(smallest_log, 0.0, allow_nan=False)
    entries = st.lists(st.one_of(entry, st.just(-np.inf)) if zeros else entry, min_size=size, max_size=size)
    return entries.map(lambda v: np.array(v)).filter(lambda v: bool(np.isfinite(v).any())).map(normalize)


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 6,
    low: float = -1.0,
    high: float = 1.0,
    smallest_log: float = -20.0,
    zeros: bool = False,
    covered: bool = True,
) -> Instance:
    """An `Instance` of min_size..max_size completions, rewards in [low, high].

    zeros: policies may have zero mass. covered: wherever the base has mass the draft has too.
    """
    size = draw(st.integers(min_size, max_size))
    log_draft = draw(log_policies(size, smallest_log=smallest_log, zeros=zeros))
    log_base = draw(log_policies(size, smallest_log=smallest_log, zeros=zeros))
    if covered and zeros:
        inside = np.where(np.isfinite(log_draft), log_base, -np.inf)
        log_base = normalize(inside) if np.isfinite(inside).any() else log_draft
    reward = draw(st.lists(st.floats(low, high, allow_nan=False), min_size=size, max_size=size))
    return Instance(log_draft, log_base, np.array(reward))


@st.composite
def candidates(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 8, largest_ratio: float = 20.0) -> Candidates:
    """`Candidates` of equal mass with raw log-ratios in ±largest_ratio, as from a pool."""
    size = draw(st.integers(min_size, max_size))
    reward = draw(st.lists(st.floats(0.0, 1.0, allow_nan=False), min_size=size, max_size=size))
    ratio = draw(st.lists(st.floats(-largest_ratio, largest_ratio, allow_nan=False), min_size=size, max_size=size))
    return Candidates(np.full(size, -np.log(size)), np.array(reward), np.array(ratio))


@st.composite
def schemes(
    draw: st.DrawFn,
    *,
    largest_beta: float = 30.0,
    largest_n: int = 10_000,
    rules: tuple[str, ...] = tuple(RULES),
    gated: bool | None = None,
) -> Scheme:
    """A `Scheme`; `gated` True or False forces or forbids a threshold. The score gate only comes with rules that
    have one."""
    rule = draw(st.sampled_from(rules))
    with_gate = draw(st.booleans()) if gated is None else gated
    threshold = draw(st.floats(-3.0, 3.0, allow_nan=False)) if with_gate else None
    gate = draw(st.sampled_from(("tilted_reward", "score"))) if rule_named(rule).score_gate else "tilted_reward"
    return Scheme(
        beta=draw(st.floats(0.0, largest_beta, allow_nan=False)),
        n=draw(st.integers(1, largest_n)),
        threshold=threshold,
        rule=rule,
        n_base=draw(st.one_of(st.none(), st.integers(1, largest_n))),
        gate=gate,
    )


def check_claim(claim: str | Claim, instance: Instance, scheme: Scheme) -> Verdict:
    """The claim's verdict; AssertionError, with both sides, when it is REFUTED. `claim`: an id, or a Claim."""
    judged = CLAIMS[claim] if isinstance(claim, str) else claim
    verdict = judged.evaluate(instance, scheme)
    sign = ">" if judged.relation == "<=" else "≠"
    told = f"{judged.id} is refuted: {verdict.lhs} {sign} {verdict.rhs} beyond {verdict.error} at {instance}, {scheme}"
    assert verdict.outcome is not Outcome.REFUTED, told
    return verdict
