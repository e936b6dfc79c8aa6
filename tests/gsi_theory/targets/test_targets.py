"""Targets (M41): laws, weights and gates against λ solved in 60 digits or fractions, sampling, claims that carry over,
hard cases; what needs the whole base is refused where there are only candidates."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest

from gsi_theory import Candidates, InputError, Instance, Scheme, divergence, gsi_law, tilted_policy, tilted_reward
from gsi_theory.certified.rational import ExactScheme
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.laws.drafters import fixed_allocation_law
from gsi_theory.laws.gate import fallback_law, gsi_laws
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.target_law import as_tilt, target_aim, target_law
from gsi_theory.limits import best_tv, best_tv_adaptive
from gsi_theory.methods import METHODS
from gsi_theory.targets.target_table import TARGET_FAMILIES, TARGETS, target_named, target_names
from llm_check.logs.prediction import predict_position
from sims.sampling.method_sampler import sample_method
from sims.sampling.sampler import sample_scheme
from tests.oracles import enumeration, target_solution

NAMES = ("chi2", "order:3", "order:1.5", "order:0.5", "order:0", "order:12", "power:2", "power:1", "power:4.5", "kl")
BETAS = (0.0, 1e-310, 1e-9, 0.3, 2.0, 7.0, 100.0, 1e6)
RULES = ("softmax", "race", "max")
INSTANCE = Instance.from_probabilities([0.3, 0.2, 0.3, 0.2, 0.0], [0.3, 0.2, 0.1, 0.0, 0.4], [0.5, 0.5, 1.0, 0.9, 0.1])


def hostile(rng: np.random.Generator) -> Instance:
    """K from 1 to 5, masses to e^-600 and zero, rewards to ±1e4, tied, all equal, or apart by rounding alone."""
    size = int(rng.integers(1, 6))

    def policy() -> np.ndarray:
        mass = rng.uniform(-rng.choice([0.0, 1.0, 50.0, 600.0]), 0.0, size)
        mass[rng.random(size) < 0.15] = -np.inf
        mass[0] = 0.0 if not np.isfinite(mass).any() else mass[0]
        return mass - np.logaddexp.reduce(mass)

    draft, base = policy(), policy()
    reward = (
        rng.normal(size=size),
        rng.integers(0, 3, size) / 2.0,
        np.zeros(size),
        rng.uniform(-1e4, 1e4, size),
        1.0 + rng.integers(0, 3, size) * 1e-15,
    )[rng.integers(5)]
    return Instance(draft, base, reward)


def log_weights(instance: Instance, beta: float, target: str) -> list[mpmath.mpf]:
    """log g + ℓ of the draft candidates; for kl from βr itself."""
    g, _ = target_solution.tilt(instance.log_base.tolist(), instance.reward.tolist(), beta, target)
    logs = [mpmath.log(x) if x > 0 else -mpmath.inf for x in g]
    if target == "kl":
        logs = [mpmath.mpf(beta) * mpmath.mpf(r) for r in instance.reward.tolist()]
    pairs = zip(instance.log_base.tolist(), instance.log_draft.tolist(), strict=True)
    ratio = [mpmath.mpf(b) - mpmath.mpf(d) if min(b, d) > -math.inf else -mpmath.inf for b, d in pairs]
    return [a + b for a, b in zip(logs, ratio, strict=True)]


def tv_to(law: np.ndarray, truth: list[mpmath.mpf]) -> float:
    return float(sum(abs(mpmath.mpf(float(x)) - y) for x, y in zip(np.exp(law), truth, strict=True)) / 2)


@pytest.mark.parametrize("part", range(4))
def test_laws_and_selections_are_the_oracles(part: int) -> None:
    """4 x 110 hostile instances: π within its error and 1e-12 of 60 digits, every rule's law within its error, and so
    within 1e-12 unless its rounding may part a tie."""
    rng, compared = np.random.default_rng(41 + part), 0
    with mpmath.workdps(60):
        for trial in range(110):
            instance, beta = hostile(rng), float(rng.choice(BETAS))
            target, rule, n = NAMES[trial % len(NAMES)], RULES[int(rng.integers(3))], int(rng.integers(1, 4))
            law = target_law(instance, beta, target)
            truth = target_solution.law(instance.log_base.tolist(), instance.reward.tolist(), beta, target)
            assert tv_to(law.log_prob, truth) <= min(law.error, 1e-12 if target != "kl" else 1.0)
            assert law.error < 1e-11 or target == "kl"
            for x, y in zip(law.log_prob, truth, strict=True):
                assert y < 1e-25 or abs(mpmath.log(y) - mpmath.mpf(float(x))) <= law.log_error
            weight = log_weights(instance, beta, target)
            drawn = enumeration.selection_law_mp(instance.log_draft.tolist(), weight, n, rule)
            found = gsi_law(instance, Scheme(beta, n, None, rule, target=target))
            off = tv_to(found.log_prob, drawn)
            assert off <= found.error
            if found.error < 1e-9:
                assert off <= 1e-12
                compared += 1
    assert compared > 80


def test_chi2_in_fractions() -> None:
    """300 rational instances, among them weights that are exactly zero at the border."""
    rng, border = np.random.default_rng(5), 0
    for trial in range(300):
        size = int(rng.integers(1, 7))
        counts = [int(c) for c in rng.integers(0, 5, size)]
        counts[0] += 1
        base = [Fraction(c, sum(counts)) for c in counts]
        reward, beta = [Fraction(int(v), 4) for v in rng.integers(-4, 8, size)], Fraction(int(rng.integers(1, 40)), 4)
        levels = sorted({r for p, r in zip(base, reward, strict=True) if p}, reverse=True)
        if trial % 3 == 0 and len(levels) > 1:  # the second best weighs exactly nothing
            beta = 1 / (sum(p for p, r in zip(base, reward, strict=True) if r == levels[0]) * (levels[0] - levels[1]))
        truth, lam = target_solution.chi2_law(base, reward, beta)
        assert sum(truth) == 1
        border += any(1 + beta * (r - lam) == 0 for p, r in zip(base, reward, strict=True) if p)
        b = [float(p) for p in base]
        law = target_law(Instance.from_probabilities(b, b, [float(r) for r in reward]), float(beta), "chi2")
        assert max(abs(Fraction(float(x)) - t) for x, t in zip(np.exp(law.log_prob), truth, strict=True)) <= law.error
        assert law.error < 1e-12
    assert border > 5


def test_gates_are_the_oracles() -> None:
    """300 instances with a threshold: the oracle's r̃ = λ + (log g + ℓ)/β decides, and both selections are its own."""
    rng = np.random.default_rng(6)
    with mpmath.workdps(60):
        for trial in range(300):
            size = int(rng.integers(1, 5))
            draft, base = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
            instance = Instance.from_probabilities(draft, base, rng.integers(0, 5, size) / 4.0)
            beta, target = float(rng.choice([0.3, 2.0, 7.0])), NAMES[trial % len(NAMES)]
            rule, n, n_base = RULES[int(rng.integers(3))], int(rng.integers(1, 4)), int(rng.integers(1, 3))
            g, lam = target_solution.tilt(instance.log_base.tolist(), instance.reward.tolist(), beta, target)
            log_g = [mpmath.log(x) if x > 0 else -mpmath.inf for x in g]
            ratio = [mpmath.mpf(x) for x in (instance.log_base - instance.log_draft).tolist()]
            kind, _, alpha = target.partition(":")
            if kind == "power":  # r = log π_B, β = α - 1
                beta_own = mpmath.mpf(alpha) - 1
                own = [mpmath.mpf(x) for x in instance.log_base.tolist()]
                if beta_own == 0:
                    continue
                judged = [r + x / beta_own for r, x in zip(own, ratio, strict=True)]
            else:
                judged = [lam + (a + x) / beta for a, x in zip(log_g, ratio, strict=True)]
            finite = [float(x) for x in judged if x > -mpmath.inf]
            cut = float(rng.choice(finite)) + float(rng.choice([-0.01, 0.01]))
            if min(abs(x - cut) for x in finite) < 1e-6:
                continue
            weight = [a + x for a, x in zip(log_g, ratio, strict=True)]
            base_weight = (
                log_g
                if rule != "max" or kind == "power"
                else [
                    mpmath.mpf(r) if a > -mpmath.inf else -mpmath.inf
                    for r, a in zip(instance.reward.tolist(), log_g, strict=True)
                ]
            )
            q = enumeration.selection_law_mp(instance.log_draft.tolist(), weight, n, rule)
            b = enumeration.selection_law_mp(instance.log_base.tolist(), base_weight, n_base, rule)
            lost = sum(p for p, x in zip(q, judged, strict=True) if x < cut)
            truth = [(p if x >= cut else 0) + lost * f for p, x, f in zip(q, judged, b, strict=True)]
            found = gsi_law(instance, Scheme(beta, n, cut, rule, n_base, target=target))
            assert tv_to(found.log_prob, truth) <= found.error
            assert abs(found.p_accept - float(1 - lost)) <= found.error + 1e-15
            assert found.error < 1e-11 or rule == "max"


def test_score_gate_of_another_target() -> None:
    """M = e^{β'u} in units of e^{β'r' + ℓ}: the oracle's law on the rational weights of χ²."""
    draft, base, reward = (
        [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
        [Fraction(1, 4)] * 2 + [Fraction(1, 2)],
        (0, 1, 2),
    )
    pi, lam = target_solution.chi2_law(base, [Fraction(r) for r in reward], Fraction(1))
    weight = [p / d for p, d in zip(pi, draft, strict=True)]
    instance = Instance.from_probabilities([float(d) for d in draft], [float(b) for b in base], reward)
    for u in (0.5, 1.3, 2.0):
        m = Fraction(math.exp(u - float(lam)))
        accepted, chance = enumeration.score_gate_law(draft, weight, m, 3)
        found = gsi_law(instance, Scheme(1.0, 3, u, "race", gate="score", target="chi2"))
        assert np.allclose(np.exp(found.accepted_log_mass), [float(a) for a in accepted], atol=1e-13)
        assert abs(found.p_accept - float(chance)) < 1e-13


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize(("rule", "gate"), [("softmax", "tilted_reward"), ("race", "score"), ("max", "tilted_reward")])
def test_sampler_agrees(target: str, rule: str, gate: str) -> None:
    """30 cases of 5 outcomes and an acceptance: Bonferroni at 1e-3 in all."""
    rounds, z = 20_000, 4.9
    cut = -2.0 if target.startswith("power") else 0.6
    scheme = Scheme(2.0, 3, cut, rule, 2, gate, target)
    law = gsi_law(INSTANCE, scheme)
    outcomes, accepted = sample_scheme(INSTANCE, scheme, rounds, np.random.default_rng([len(target), len(rule)]))
    p = np.exp(law.log_prob)
    assert np.all(np.abs(np.bincount(outcomes, minlength=5) / rounds - p) <= z * np.sqrt(p * (1 - p) / rounds) + 1e-12)
    assert abs(accepted.mean() - law.p_accept) <= z * math.sqrt(law.p_accept * (1 - law.p_accept) / rounds) + 1e-12


@pytest.mark.parametrize("target", ["chi2", "order:0.5", "power:2"])
def test_methods_are_played_towards_the_target(target: str) -> None:
    """Every method of the table that one step and a pair can play: its law, and the sampler, 5 standard errors."""
    rounds, played = 8_000, 0
    cut = -2.0 if target.startswith("power") else 0.45
    for name, method in METHODS.items():
        if not method.pair_alone:
            continue
        scheme = Scheme(2.0, 3, cut, n_base=2, target=target)
        law = method.law(INSTANCE, scheme)
        p = np.exp(law.log_prob)
        assert abs(p.sum() - 1.0) < 1e-12, name
        seen = sample_method(name, INSTANCE, scheme, rounds, np.random.default_rng(played))
        share = np.bincount(seen.outcome, minlength=5) / rounds
        assert np.all(np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / rounds) + 1e-12), name
        if method.weight in ("ratio", "reward"):
            plain = method.law(INSTANCE, Scheme(2.0, 3, cut, n_base=2))
            assert divergence.tv(law.log_prob, plain.log_prob) > 1e-6, name
        played += 1
    assert played > 20


def test_pooled_selection_aims_at_it() -> None:
    law = METHODS["pooled"].law(INSTANCE, Scheme(2.0, 2, target="chi2", n_base=3))
    pi, mix = (
        target_law(INSTANCE, 2.0, "chi2").log_prob,
        np.log(0.4 * np.exp(INSTANCE.log_draft) + 0.6 * np.exp(INSTANCE.log_base)),
    )
    rows = np.stack([INSTANCE.log_draft, INSTANCE.log_base])
    assert np.allclose(np.exp(law.log_prob), np.exp(fixed_allocation_law(rows, pi - mix, (2, 3), "softmax").log_prob))


@pytest.mark.parametrize("target", NAMES)
def test_what_depends_on_mu_and_pi_alone_carries_over(target: str) -> None:
    """M10, M11, M17 and M19 of every target on 12 instances, through the instance of which it is the tilted policy; the
    selection from the draft is the same law there."""
    rng = np.random.default_rng(9)
    names = [name for name in CLAIMS if name.partition("-")[0] in ("M10", "M11", "M17", "M19")]
    names = [name for name in names if CLAIMS[name].expected is Outcome.HOLDS]
    assert len(names) > 8
    for _ in range(12):
        size, n, beta = int(rng.integers(2, 6)), int(rng.integers(1, 30)), float(rng.choice([0.5, 3.0, 20.0]))
        draft, base = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
        instance = Instance.from_probabilities(draft, base, rng.random(size))
        tilt, own = as_tilt(instance, beta, target)
        pi = target_law(instance, beta, target)
        assert divergence.tv(tilted_policy(tilt, own), pi.log_prob) < 1e-12
        for rule in RULES:
            law = gsi_law(instance, Scheme(beta, n, None, rule, target=target))
            same = gsi_law(tilt, Scheme(own, n, None, rule))
            assert divergence.tv(law.log_prob, same.log_prob) <= law.error + same.error
            assert divergence.tv(law.log_prob, pi.log_prob) >= best_tv(pi.log_prob, instance.log_draft, n) - 1e-12
            for name in names:
                assert CLAIMS[name].evaluate(tilt, Scheme(own, n, None, rule)).outcome is not Outcome.REFUTED, name


@pytest.mark.parametrize("target", NAMES)
def test_race_and_softmax_tend_to_the_target_and_the_limit_bounds_them(target: str) -> None:
    pi = target_law(INSTANCE, 2.0, target).log_prob
    reachable = INSTANCE.log_draft > -np.inf
    missed = float(np.exp(pi[~reachable]).sum())
    near = [gsi_law(INSTANCE, Scheme(2.0, n, None, "race", target=target)).log_prob for n in (1, 4, 64, 1024)]
    tvs = [divergence.tv(law, pi) for law in near]
    assert all(a >= b - 1e-12 for a, b in pairwise(tvs))
    assert abs(tvs[-1] - missed) < 1e-9
    for n, tv in zip((1, 4, 64, 1024), tvs, strict=True):
        assert tv >= best_tv(pi, INSTANCE.log_draft, n) - 1e-12 >= best_tv_adaptive(pi, INSTANCE.log_draft, n) - 1e-11
    base = [gsi_law(INSTANCE, Scheme(2.0, n, math.inf, "softmax", target=target)).log_prob for n in (4, 4000)]
    assert divergence.tv(base[1], pi) < 2e-3 < 2e-3 + divergence.tv(base[0], pi) + (target == "power:1")


@pytest.mark.parametrize("target", NAMES)
def test_one_outcome_one_reward_and_no_beta(target: str) -> None:
    one = Instance.from_probabilities([1.0], [1.0], [3.0])
    tied = Instance.from_probabilities([0.5, 0.5], [0.25, 0.75], [2.0, 2.0])
    for beta in BETAS:
        assert target_law(one, beta, target).log_prob[0] == pytest.approx(0.0, abs=1e-15)
        if not target.startswith("power"):
            assert np.allclose(np.exp(target_law(tied, beta, target).log_prob), [0.25, 0.75], atol=1e-15)
            assert np.allclose(target_aim(tied, beta, target).reward, 2.0, atol=1e-9)


def test_small_beta_is_the_tilt_to_first_order_and_large_beta_the_best_outcome() -> None:
    for target in NAMES[:6]:
        small = target_law(INSTANCE, 1e-6, target).log_prob
        assert divergence.tv(small, tilted_policy(INSTANCE, 1e-6)) < 1e-11
    for target in ("chi2", "order:1.5", "order:0"):
        assert np.exp(target_law(INSTANCE, 1e9, target).log_prob)[2] > 1.0 - 1e-5
    near_one = target_law(INSTANCE, 2.0, "order:1.0001").log_prob
    assert divergence.tv(near_one, tilted_policy(INSTANCE, 2.0)) < 1e-3


def test_the_targets_optimum_is_no_worse_than_any_other_law() -> None:
    """E_P r - E_B f_q(P/π_B)/β at π against 2,000 other laws, by the definition of f_q."""
    rng = np.random.default_rng(1)
    base, reward = np.array([0.2, 0.5, 0.3]), np.array([1.0, 0.2, 0.0])
    instance = Instance.from_probabilities(base, base, reward)
    for q, target in ((2.0, "chi2"), (3.0, "order:3"), (0.5, "order:0.5")):
        for beta in (0.5, 4.0):

            def value(p: np.ndarray, q: float = q, beta: float = beta) -> np.ndarray:
                x = p / base
                f = (x**q - 1.0 - q * (x - 1.0)) / (q * (q - 1.0))
                return p @ reward - f @ base / beta

            best = value(np.exp(target_law(instance, beta, target).log_prob))
            assert np.all(value(rng.dirichlet(np.ones(3), 2000)) <= best + 1e-12)


def test_weights_at_the_border_are_vague_and_the_error_holds_them() -> None:
    """Base (1/3, 1/3, 1/3), r = (1, 0, -1), β = 3: the second weight is exactly zero, which floats cannot see. Of a
    draft that mostly draws the second and the third rounding may decide, and the error says so; π is certain."""
    instance = Instance.from_probabilities([0.01, 0.5, 0.49], [1 / 3] * 3, [1.0, 0.0, -1.0])
    truth, lam = target_solution.chi2_law([Fraction(1, 3)] * 3, [Fraction(v) for v in (1, 0, -1)], Fraction(3))
    assert (truth, lam) == ([1, 0, 0], Fraction(1, 3))
    for q in ("chi2", "order:1.5", "order:3"):
        beta = 3.0 ** (float(q[6:] or 2.0) - 1.0) / (float(q[6:] or 2.0) - 1.0) if q != "chi2" else 3.0
        law, aim = target_law(instance, beta, q), target_aim(instance, beta, q)
        assert aim.vague is not None
        assert aim.vague.tolist() == [False, True, True]
        assert np.allclose(np.exp(law.log_prob), [1, 0, 0], atol=law.error)
        assert law.error < 1e-13
        drawn = np.log([0.01, 0.5, 0.49])
        for rule in RULES:
            few = gsi_law(instance, Scheme(beta, 2, None, rule, target=q))
            zero = selection_law(drawn, np.array([0.0, -np.inf, -np.inf]), 2, rule)  # as if exact
            tiny = selection_law(drawn, np.array([0.0, -700.0, -np.inf]), 2, rule)  # as if just above zero
            assert few.error > 0.5
            for each in (zero, tiny):
                assert divergence.tv(few.log_prob, each.log_prob) <= few.error
            many = gsi_law(instance, Scheme(beta, 10_000, None, rule, target=q))
            assert many.error < (1e-2 if q == "order:3" else 1e-9)  # an outcome of weight is surely among them


def test_a_vague_weight_is_the_largest_it_may_be() -> None:
    """β a few roundings around the one at which the second weight vanishes: never below the weight in 60 digits, π
    still certain."""
    seen, base = 0, [0.3, 0.3, 0.4]
    instance = Instance.from_probabilities(base, base, [1.0, 0.25, -1.0])
    for target, power in (("chi2", 1.0), ("order:3", 0.5), ("order:1.5", 2.0)):
        at = (1.0 / 0.3) ** (1.0 / power) * power / 0.75
        for k in range(-12, 13):
            beta = at * (1.0 + k * 2.0**-52)
            aim = target_aim(instance, beta, target)
            g, _ = target_solution.tilt(instance.log_base.tolist(), instance.reward.tolist(), beta, target)
            truth = [mpmath.mpf(x) * y for x, y in zip(base, g, strict=True)]
            assert tv_to(target_law(instance, beta, target).log_prob, truth) < 1e-13
            if aim.vague is not None and aim.vague[1]:
                seen += 1
                # the sum's own doubt, some 30 roundings, is on top of it where that is plain to see
                assert math.exp(aim.log_tilt[1]) > float(g[1]) + (5e-15 if target == "chi2" else 0.0)
                assert float(np.exp(aim.log_tilt[1])) < (1e-6 if target == "order:3" else 1e-12)
    assert seen > 40


def test_laws_of_many_schemes_keep_their_targets_apart() -> None:
    schemes = [Scheme(2.0, 4, 0.5, target=name) for name in NAMES if not name.startswith("power")]
    for scheme, law in zip(schemes, gsi_laws(INSTANCE, schemes), strict=True):
        assert np.array_equal(law.log_prob, gsi_law(INSTANCE, scheme).log_prob)


UNKNOWN: dict[str, Callable[[str], object]] = {
    "scheme": lambda target: Scheme(1.0, 2, target=target),
    "law": lambda target: target_law(INSTANCE, 1.0, target),
    "aim": lambda target: target_aim(INSTANCE, 1.0, target),
    "tilt": lambda target: as_tilt(INSTANCE, 1.0, target),
    "table": target_named,
}


@pytest.mark.parametrize("place", UNKNOWN)
@pytest.mark.parametrize(
    "name", ["chi", "order", "order:1", "order:x", "order:-1", "power:0.5", "power:nan", "order:inf"]
)
def test_an_unknown_target_is_refused(place: str, name: str) -> None:
    with pytest.raises(InputError, match=f"target '{name}'"):
        UNKNOWN[place](name)


def test_strangers_are_no_targets() -> None:
    for stranger in (None, 3, ["kl"], np.array(["kl"])):
        with pytest.raises(InputError, match="target"):
            Scheme(1.0, 2, target=stranger)  # type: ignore[arg-type]
    assert set(target_names()) == {*TARGETS, *TARGET_FAMILIES}
    assert all(target_named(name) is each and str(each) == name for name, each in TARGETS.items())
    with pytest.raises(InputError, match="Instance"):
        target_law(None, 1.0, "chi2")  # type: ignore[arg-type]


POOL = Candidates(np.full(4, -math.log(4)), [0.1, 0.5, 0.2, 0.9], [0.0, 0.3, -0.2, 0.1])
REFUSED: dict[str, Callable[[Scheme], object]] = {
    "pair": lambda scheme: gsi_law((POOL, POOL), scheme),
    "fallback": lambda scheme: fallback_law(POOL, scheme),
    "prediction": lambda scheme: predict_position(POOL, POOL, [Scheme(1.0, 2), scheme]),
    "claim": lambda scheme: CLAIMS["M11-pinsker"].evaluate(INSTANCE, scheme),
    "balls": ExactScheme.of,
}


@pytest.mark.parametrize("place", REFUSED)
@pytest.mark.parametrize("target", ["chi2", "order:0.5", "power:2"])
def test_no_silent_kl_where_there_are_only_candidates(place: str, target: str) -> None:
    with pytest.raises(InputError, match=f"target '{target}'"):
        REFUSED[place](Scheme(1.0, 2, target=target))
    REFUSED[place](Scheme(1.0, 2))


def test_kl_is_todays_law_bit_by_bit() -> None:
    for rule in RULES:
        for cut in (None, 0.6):
            one, two = (gsi_law(INSTANCE, Scheme(2.0, 4, cut, rule, **more)) for more in ({}, {"target": "kl"}))
            assert np.array_equal(one.log_prob, two.log_prob)
    weight = 2.0 * INSTANCE.reward + INSTANCE.log_ratio
    assert np.array_equal(
        gsi_law(INSTANCE, Scheme(2.0, 4)).log_prob, selection_law(INSTANCE.log_draft, weight, 4).log_prob
    )
    assert tilted_reward(INSTANCE, 2.0)[0] == pytest.approx(0.5)
