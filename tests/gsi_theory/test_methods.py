"""Every method of the table against enumeration; what no rule can beat; early exit, first passage, Poisson."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import InputError, Instance, Scheme, divergence, tilted_policy
from gsi_theory.laws.clipping import clip_log_ratio, early_exit_calls, expected_calls, first_passage
from gsi_theory.laws.efficiency import best_n, efficiency, needed_n
from gsi_theory.laws.gate import fallback_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.speculative import speculative_law
from gsi_theory.limits import best_tv
from gsi_theory.methods import (
    ALIASES,
    METHODS,
    Method,
    best_of_poisson,
    default_clip,
    expgsi,
    named_method,
    poisson_gsi,
    score_gate,
    several_drafters,
)
from sims.instance_families import FAMILIES, random_case
from tests.oracles import methods_enumeration as oracle

COSTS = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")


def rational(rng: np.random.Generator, size: int, zeros: bool) -> list[Fraction]:
    counts = rng.integers(0 if zeros else 1, 30, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def random_setting(rng: np.random.Generator, zeros: bool) -> tuple[oracle.Setting, Instance, float, float | None]:
    """(exact setting, the same instance in floats, beta, threshold); rewards in sixteenths, some of them equal."""
    size = int(rng.integers(1, 5))
    draft, base = rational(rng, size, zeros), rational(rng, size, zeros)
    reward = [Fraction(int(v), 16) for v in rng.integers(-8, 17, size)]
    beta, n, n_base = float(rng.choice([0.5, 2.0, 6.0])), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    # an irrational threshold, so that rounding decides no comparison
    threshold = None if rng.random() < 0.3 else float(np.round(rng.uniform(-1.0, 1.5), 3)) + 1e-4 * math.pi
    tilt = [Fraction(math.exp(beta * float(r))) for r in reward]
    cut = None if threshold is None else Fraction(math.exp(beta * threshold))
    reward_cut = None if threshold is None else Fraction(threshold)
    setting = oracle.Setting(draft, base, tilt, reward, n, n_base, cut, reward_cut, Fraction(beta))
    instance = Instance.from_probabilities(*([float(v) for v in values] for values in (draft, base, reward)))
    return setting, instance, beta, threshold


ALONE = [key for key, method in METHODS.items() if method.pair_alone]
FIELDS = ("proposal", "weight", "rule", "search", "gate", "fallback", "n", "n_base", "numbers")
# Records of one's own: what no entry of the table is, and each is played all the same.
MINE = (
    Method("mine_tilted", "mine", "M6", "–", "draft", "clipped", "race", gate="tilted_reward", n_base=1),
    Method("mine_random", "mine", "M6", "–", "draft", numbers="poisson", gate="tilted_reward"),
    Method("mine_reward", "mine", "M6", "–", "draft", "reward", gate="tilted_reward", n=2),
    Method("mine_best", "mine", "M6", "–", "draft", "none", gate="reward", n=1),
    Method("mine_accept", "mine", "M22", "–", "draft", "none", gate="ratio", fallback="one", n=1, n_base=1),
    Method("mine_uniform", "mine", "M2", "–", "base", "none"),
)


def require_truth(method: Method, trial: int, rng: np.random.Generator, drafters: bool = False) -> None:
    setting, instance, beta, threshold = random_setting(rng, zeros=trial % 2 == 0)
    others = [rational(rng, len(setting.reward), False) for _ in range(2)] if drafters else None
    counts = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    fields = {name: getattr(method, name) for name in FIELDS}
    truth = oracle.truth(setting, **fields, further=(others, counts) if others else None)
    further = None if others is None else (np.log(np.array(others, dtype=np.float64)), counts)
    law = method.law(instance, Scheme(beta, setting.n, threshold, n_base=setting.n_base), further)
    wrong = np.abs(np.exp(law.log_prob) - np.array([float(p) for p in truth.law]))
    assert wrong.max() <= 1e-12, (setting, law)
    # The oracle's own weights are rounded to float64, which moves a law by a few units.
    assert 0.5 * wrong.sum() <= law.error + 1e-14
    assert (law.p_accept is None) == (truth.p_accept is None)
    if truth.p_accept is not None:
        assert abs(law.p_accept - float(truth.p_accept)) <= 1e-12
    for cost in COSTS:
        assert getattr(law, cost) == pytest.approx(float(getattr(truth, cost)), rel=1e-12, abs=1e-12), cost


@pytest.mark.parametrize("method", [METHODS[key] for key in ALONE] + list(MINE), ids=lambda method: method.id)
def test_law_and_costs_equal_enumeration(method: Method) -> None:
    """60 random instances a method (12 for Poisson numbers), with zero masses (also uncovered) and without: ≤ 1e-12."""
    rng = np.random.default_rng([31, (ALONE.index(method.id) if method.id in ALONE else 1000)])
    for trial in range(60 if method.numbers == "fixed" else 12):
        require_truth(method, trial, rng)


@pytest.mark.parametrize("method", [key for key in METHODS if METHODS[key].proposal.startswith("drafters")])
def test_several_drafters_equal_enumeration(method: str) -> None:
    """The draft and two further ones, with numbers of their own; without them the law says what is missing."""
    rng = np.random.default_rng([38, list(METHODS).index(method)])
    for trial in range(15):
        require_truth(METHODS[method], trial, rng, drafters=True)
    instance = FAMILIES["dirichlet"].build(0)
    with pytest.raises(InputError, match=f"'{method}' needs further drafters"):
        METHODS[method].law(instance, Scheme(1.0, 2))


@pytest.mark.parametrize("method", [key for key in METHODS if METHODS[key].switch])
def test_a_step_of_a_switch_is_one_of_its_parts(method: str) -> None:
    """The base's step on n_base draws until a step passed, then the draft's on n; nobody falls back."""
    instance, scheme = FAMILIES["dirichlet"].build(1), Scheme(2.0, 5, 0.3, n_base=3)
    first, then = METHODS[method].switch
    for passed, part, n in ((False, first, 3), (True, then, 5)):
        law, expected = (
            METHODS[method].law(instance, scheme, passed=passed),
            METHODS[part].law(instance, Scheme(2.0, n)),
        )
        assert np.array_equal(law.log_prob, expected.log_prob) and law.base_samples == expected.base_samples


def test_entries_are_consistent() -> None:
    for key, method in METHODS.items():
        assert method.id == key == method.name and method.label and method.formula.startswith("M") and method.source
        assert method.threshold in (None, "tilted_reward", "reward", "score")
        assert method.limited_by in (None, "draft", "base")
        assert method.threshold is None or method.limited_by is None
        assert set(method.switch or ()) <= set(METHODS)
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    assert set(ALIASES.values()) <= set(METHODS) and not set(ALIASES) & set(METHODS)


def test_names_are_looked_up_with_old_keys_and_near_ones() -> None:
    assert named_method("gsi_race_score") is METHODS["gsi_score_gate"] and named_method("gsi") is METHODS["gsi"]
    with pytest.raises(InputError, match=r"no method 'gis' \(did you mean 'gsi'"):
        named_method("gis")


def test_schemes_of_decoding_hold_the_numbers_that_a_method_fixes() -> None:
    assert METHODS["draft"].scheme(2.0, 4, 0.5) == Scheme(2.0, 1)
    assert METHODS["gsi_one_base"].scheme(2.0, 4, 0.5, 3) == Scheme(2.0, 4, 0.5, n_base=1)
    assert METHODS["gsi_score_gate"].scheme(2.0, 4, 0.5) == Scheme(2.0, 4, 0.5, "race", gate="score")
    with pytest.raises(InputError, match="n_base = 0"):
        METHODS["gsi"].scheme(2.0, 4, 0.5, 0)
    with pytest.raises(InputError, match="method 'rsd' needs a threshold: it compares the draft's reward with it"):
        METHODS["rsd"].scheme(2.0, 4, None)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"proposal": "drafts"}, r"proposal 'drafts' \(did you mean 'draft'"),
        ({"weight": "ratios"}, "weight 'ratios'"),
        ({"rule": "softmx"}, "rule 'softmx'"),
        ({"search": "none"}, "search 'none'"),
        ({"gate": "scores"}, "gate 'scores'"),
        ({"fallback": "two"}, "fallback 'two'"),
        ({"numbers": "random"}, "numbers 'random'"),
        ({"n": 0}, "n = 0"),
        ({"proposal": "pooled", "gate": "tilted_reward"}, "method 'x': proposal 'pooled' needs"),
        ({"proposal": "base", "gate": "tilted_reward"}, "gates and ratios are for drafts"),
        ({"gate": "reward"}, "gate 'reward' judges one draft"),
        ({"gate": "tilted_reward", "fallback": "one"}, "gate 'tilted_reward' judges the winner"),
        ({"fallback": "residual"}, "fallback 'residual' completes"),
        ({"gate": "score"}, "need rule 'race'"),
        ({"weight": "clipped", "rule": "race", "search": "early_exit", "gate": "tilted_reward"}, "with gate"),
        ({"rule": "race", "search": "first_passage"}, "ends at a gate"),
        ({"rule": "race", "search": "early_exit"}, "needs weights with a bound"),
    ],
)
def test_records_that_nothing_can_play_are_refused(parts: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Method(**{"id": "x", "label": "x", "formula": "M1", "source": "–", "proposal": "draft"} | parts)  # type: ignore


@pytest.mark.parametrize("method", ALONE)
def test_hostile_settings_give_laws(method: str) -> None:
    """Wide log-weights, zero masses, uncovered outcomes, a million draws, beta 0: sums to one within its own error."""
    logs = np.array([-690.0, -0.5, -1.2, -np.inf, -40.0, -np.inf])
    other = np.array([-1.0, -300.0, -np.inf, -2.0, -0.9, -np.inf])
    normal = [v - np.logaddexp.reduce(v) for v in (logs, other)]
    for draft, base in (normal, normal[::-1]):
        instance = Instance(draft, base, np.array([0.0, 1.0, -1.0, 0.5, 0.25, 3.0]))
        for beta in (0.0, 1.0, 200.0):
            for n in (1, 7, 10**6):
                law = METHODS[method].law(instance, Scheme(beta, n, n_base=3))
                assert not np.any(np.isnan(law.log_prob)) and np.all(law.log_prob <= 0)
                assert abs(np.exp(law.log_prob).sum() - 1.0) <= 2.0 * law.error + 1e-15
                assert law.error < 1e-9
                assert all(0.0 <= getattr(law, cost) <= 4 * n + 8 for cost in COSTS)


def test_no_rule_on_n_draws_beats_the_limit() -> None:
    """(M19) on 300 random instances: TV to π of a method that returns one of n draws is never below best_tv."""
    limited = [method for method in METHODS.values() if method.limited_by]
    assert len(limited) >= 8
    for index in range(300):
        instance, scheme = random_case(np.random.default_rng([32, index]))
        log_pi = tilted_policy(instance, scheme.beta)
        floor = {source: best_tv(log_pi, getattr(instance, f"log_{source}"), scheme.n) for source in ("draft", "base")}
        for method in limited:
            law = method.law(instance, Scheme(scheme.beta, scheme.n))
            found = divergence.tv(law.log_prob, log_pi)
            assert found >= floor[method.limited_by] - law.error - 1e-14, (method.id, index)


def test_speculative_sampling_returns_the_base() -> None:
    for index in range(200):
        instance, _ = random_case(np.random.default_rng([33, index]))
        law = speculative_law(instance)
        distance = divergence.tv(instance.log_base, instance.log_draft)
        assert np.max(np.abs(np.exp(law.log_prob) - np.exp(instance.log_base))) <= 1e-15
        assert law.p_accept == pytest.approx(1.0 - distance, abs=1e-14)
        assert math.exp(law.log_p_reject) == pytest.approx(distance, rel=1e-12)


def test_speculative_sampling_of_nearly_equal_policies() -> None:
    """TV of 1e-13 to a relative 1e-3 (the policies' own rounding), and none at all."""
    base = np.array([0.5, 0.5])
    near = Instance.from_probabilities(base + np.array([1e-13, -1e-13]), base, [0.0, 1.0])
    assert math.exp(speculative_law(near).log_p_reject) == pytest.approx(1e-13, rel=1e-2)
    same = speculative_law(Instance.from_probabilities(base, base, [0.0, 1.0]))
    assert same.log_p_reject == -np.inf and same.p_accept == 1.0
    assert np.array_equal(same.residual_log_prob, np.log(base))


@pytest.mark.parametrize("mean", [0.01, 1.0, 7.5, 1000.0])
def test_poisson_number_of_drafts_keeps_its_bound(mean: float) -> None:
    """(M24), with the factor P(N ≥ 1) that the proof gives on top."""
    for index in range(60):
        instance, scheme = random_case(np.random.default_rng([34, index]))
        log_pi = tilted_policy(instance, scheme.beta)
        chi2 = divergence.chi2(log_pi, instance.log_draft)
        law = poisson_gsi(instance, scheme, mean)
        if np.isfinite(chi2):
            bound = math.log1p((1.0 + chi2) / mean) + math.log(-math.expm1(-mean))
            assert divergence.kl(log_pi, law.log_prob) <= bound + 1e-10 * (1.0 + abs(bound))


@pytest.mark.parametrize("mean", [0.0, 0.5, 4.0, 30.0])
def test_best_of_poisson_has_its_cdf(mean: float) -> None:
    """(M23): F ↦ F e^{m(F - 1)} at every level of the reward."""
    instance = FAMILIES["dirichlet"].build(1)
    order = np.argsort(instance.reward)
    law = np.cumsum(np.exp(best_of_poisson(instance, Scheme(1.0, 3), mean).log_prob)[order])
    below = np.cumsum(np.exp(instance.log_base)[order])
    assert np.max(np.abs(law - below * np.exp(mean * (below - 1.0)))) <= 1e-13


def test_best_of_poisson_is_close_to_the_tilt_of_equal_mean() -> None:
    """(M23): on U[0, 1] the KL gap to the tilt of equal mean stays below 8e-4 (here 2000 equal cells)."""
    size = 2000
    flat = np.full(size, -math.log(size))
    instance = Instance(flat, flat, (np.arange(size) + 0.5) / size)
    worst = 0.0
    for mean in (0.3, 1.0, 2.0, 4.0, 8.0, 20.0):
        law = best_of_poisson(instance, Scheme(1.0, 1), mean).log_prob
        low, high = 0.0, 200.0
        reached = float(np.exp(law) @ instance.reward)
        for _ in range(60):
            beta = 0.5 * (low + high)
            above = float(np.exp(tilted_policy(instance, beta)) @ instance.reward) > reached
            low, high = (low, beta) if above else (beta, high)
        tilt = tilted_policy(instance, low)
        worst = max(worst, divergence.kl(law, flat) - divergence.kl(tilt, flat))
    assert 5e-4 < worst < 8e-4


def test_early_exit_scores_as_claimed() -> None:
    """P(candidate k is scored) = (1 - q)^{k-1}, simulated as played, and the winner stays the race's winner."""
    rng, rounds, n = np.random.default_rng(35), 40_000, 6
    mass, weight, bound = np.array([0.6, 0.3, 0.1]), np.array([0.2, 1.0, 2.5]), 3.0
    drawn = rng.choice(3, (rounds, n), p=mass)
    noise = np.sort(rng.random((rounds, n)), axis=1)
    score = weight[drawn] / noise
    best = np.maximum.accumulate(score, axis=1)
    going = np.c_[np.ones(rounds, bool), np.logical_and.accumulate(best[:, :-1] < bound / noise[:, 1:], axis=1)]
    q = float(mass @ weight) / bound
    expected = (1.0 - q) ** np.arange(n)
    z = (going.mean(axis=0) - expected)[1:] / np.sqrt(expected * (1 - expected) / rounds)[1:]
    assert np.max(np.abs(z)) <= 4.0
    last = going.sum(axis=1) - 1
    assert np.array_equal(best[np.arange(rounds), last], score.max(axis=1))
    calls = early_exit_calls(np.log(mass), np.log(weight), n, math.log(bound))
    assert calls == pytest.approx(expected.sum(), rel=1e-14)
    assert abs(going.sum(axis=1).mean() - calls) <= 4.0 * going.sum(axis=1).std() / math.sqrt(rounds)


def test_expected_calls_at_both_ends() -> None:
    assert expected_calls(-1000.0, 50) == 50.0
    assert expected_calls(-np.inf, 50, -1.0) == pytest.approx(50.0 * math.exp(-1.0))
    assert expected_calls(0.0, 10**9) == 1.0
    assert expected_calls(math.log(1e-12), 10**6) == pytest.approx(10**6 * (1.0 - 0.5e-6), rel=1e-12)
    assert expected_calls(-280.0, 3, -600.0) == pytest.approx(3.0 * math.exp(-600.0), rel=1e-12)
    with pytest.raises(InputError, match=r"log_bound = 0\.0 is below"):
        early_exit_calls([0.0], [1.0], 3, 0.0)


def test_first_passage_is_rejection_sampling_from_the_coverage_on() -> None:
    """M ≥ C: the accepted law is π; M9's gate has the same acceptance and, for M ≥ C, the same accepted law."""
    for index in range(50):
        instance, scheme = random_case(np.random.default_rng([36, index]))
        log_pi = tilted_policy(instance, scheme.beta)
        weight = np.where(np.isfinite(instance.log_draft), instance.log_ratio + scheme.beta * instance.reward, -np.inf)
        if instance.uncovered:
            continue
        found = first_passage(instance.log_draft, weight, scheme.n, float(weight.max()) + 0.5)
        total = float(np.logaddexp.reduce(found.accepted_log_mass))
        assert divergence.tv(found.accepted_log_mass - total, log_pi) <= 1e-13
        assert total == pytest.approx(math.log(-math.expm1(found.log_p_reject)), abs=1e-12)
    law = first_passage(np.log([0.5, 0.5]), [0.0, 1.0], 5, np.inf)
    assert np.all(law.accepted_log_mass == -np.inf) and law.log_p_reject == 0.0 and law.calls == 5.0
    law = first_passage(np.log([0.5, 0.5]), [0.0, -np.inf], 5, -np.inf)
    assert law.log_p_reject == -np.inf and law.calls == 1.0


def test_clipping() -> None:
    ratio = np.array([-np.inf, -3.0, 0.5, 9.0, np.inf])
    assert np.array_equal(clip_log_ratio(ratio, 2.0), [-np.inf, -3.0, 0.5, 2.0, 2.0])
    assert np.array_equal(clip_log_ratio(ratio, 2.0, "two"), [-2.0, -2.0, 0.5, 2.0, 2.0])
    assert np.array_equal(clip_log_ratio(ratio, np.inf), ratio)
    for clip, sides, words in ((-1.0, "one", "clip = -1.0"), (np.nan, "one", "clip = nan"), (1.0, "three", "'three'")):
        with pytest.raises(InputError, match=words):
            clip_log_ratio(ratio, clip, sides)


def test_clip_default_and_absence() -> None:
    """clip = inf is GSI by the race rule; a two-sided clip of 0 ignores the ratio."""
    instance, scheme = FAMILIES["dirichlet"].build(2), Scheme(3.0, 5)
    assert default_clip(scheme) == math.log(5)
    race = METHODS["gsi_ungated_race"].law(instance, scheme).log_prob
    assert np.max(np.abs(expgsi(instance, scheme, np.inf).log_prob - race)) <= 1e-13
    plain = selection_law(instance.log_draft, 3.0 * instance.reward, 5, "race").log_prob
    assert np.max(np.abs(expgsi(instance, scheme, 0.0, "two").log_prob - plain)) <= 1e-13
    assert np.array_equal(expgsi(instance, scheme).log_prob, expgsi(instance, scheme, early_exit=True).log_prob)


def test_score_gate_default_rejects_near_one_in_e() -> None:
    """M = n normalized weights: P(reject) = (1 - A_M/n)^n, at most e^{-1 + E_M}, at least (1 - 1/n)^n."""
    instance, scheme = FAMILIES["zipf"].build(0), Scheme(2.0, 64)
    reject = 1.0 - score_gate(instance, scheme).p_accept
    assert (1.0 - 1.0 / 64) ** 64 <= reject <= math.exp(-0.5)
    assert fallback_law(instance.base_candidates(), Scheme(2.0, 64, rule="race")).error < 1e-12


def test_several_drafters_takes_any_drafters() -> None:
    """Three drafters, one silent; identical drafters are one; both allocations agree there."""
    instance, scheme = FAMILIES["dirichlet"].build(3), Scheme(2.0, 4)
    rows = np.stack([instance.log_draft, instance.log_draft, instance.log_base])
    one = METHODS["gsi_ungated"].law(instance, Scheme(2.0, 7)).log_prob
    for allocation in ("fixed", "random"):
        law = several_drafters(instance, scheme, rows, (3, 4, 0), allocation=allocation)
        assert np.max(np.abs(law.log_prob - one)) <= 1e-12 and law.draft_samples == 7
    with pytest.raises(InputError, match="allocation 'both'"):
        several_drafters(instance, scheme, rows, (3, 4, 0), allocation="both")


def test_needed_n_and_best_n_equal_a_scan() -> None:
    for index in range(25):
        instance, scheme = random_case(np.random.default_rng([37, index]))
        if instance.uncovered:
            continue
        log_pi = tilted_policy(instance, scheme.beta)

        def race(n: int, instance: Instance = instance, beta: float = scheme.beta) -> np.ndarray:
            return METHODS["gsi_ungated_race"].law(instance, Scheme(beta, n)).log_prob

        distances = [divergence.tv(race(n), log_pi) for n in range(1, 65)]
        floors = [best_tv(log_pi, instance.log_draft, n) for n in range(1, 65)]
        for epsilon in (0.3, 0.05):
            for values, found in (
                (distances, needed_n(race, log_pi, epsilon, 64)),
                (floors, best_n(log_pi, instance.log_draft, epsilon, 64)),
            ):
                scan = next((n for n, v in enumerate(values, 1) if v <= epsilon), float("inf"))
                assert found == scan
    assert efficiency(3.0, 6.0) == 0.5 and efficiency(3.0, float("inf")) == 0.0
    assert efficiency(float("inf"), float("inf")) is None


def test_needed_n_of_what_is_never_reached() -> None:
    instance = Instance.from_probabilities([1.0, 0.0], [0.5, 0.5], [0.0, 1.0])
    log_pi = tilted_policy(instance, 1.0)
    assert best_n(log_pi, instance.log_draft, 0.1, 1000) == float("inf")
    assert needed_n(lambda n: instance.log_draft, log_pi, 0.1, 1000) == float("inf")
    assert needed_n(lambda n: instance.log_draft, log_pi, 1.0) == 1.0
    with pytest.raises(InputError, match=r"epsilon = -0\.1"):
        best_n(log_pi, instance.log_draft, -0.1)
    with pytest.raises(InputError, match="n_max = 0"):
        best_n(log_pi, instance.log_draft, 0.1, 0)
