"""Rules as records: a rule defined here works everywhere; unknown names are refused everywhere; nothing else in the
code asks for a rule by comparing its name."""

from __future__ import annotations

import ast
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import sims.sampling.sampler as independent
from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law, selection_law
from gsi_theory.certified.ball_law import LogWeight, selection_balls
from gsi_theory.certified.rational import ball
from gsi_theory.claims.facts import Facts
from gsi_theory.estimate import subset_mean
from gsi_theory.laws.drafters import fixed_allocation_law
from gsi_theory.laws.selection_law import score_gated_law
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.laws.weights import form_weights
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import RULES, rule_named, rules_and_gates
from gsi_theory.samples.gated_estimate import gated_mean
from gsi_theory.types import Array, Flags, Floats, Ints
from llm_check.logs.mean_prediction import scheme_grid
from llm_check.logs.planner.distance import _bound
from llm_check.logs.prediction import predict_position
from llm_check.models.decoding.winners import log_noise, select
from sims.sampling.generators import NumpyStream
from sims.sampling.sampler import noise, sample_scheme
from tests.oracles import enumeration, random_draws

ROOT = Path(__file__).parents[3]
INSTANCE = Instance.from_probabilities([0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.9, 0.4])
CANDIDATES = INSTANCE.draft_candidates()
LOG_MASS, WEIGHT = CANDIDATES.log_mass, np.array([0.3, 0.0, -1.0])
FRACTIONS = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]


def _first_log_ratio(mass: Array, log_weight: Array, counts: Array, zero_mass: Array) -> Array:
    return np.zeros((*counts.fixed.shape, mass.shape[-1]))


def _mean(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    return np.repeat(values.mean(axis=1, keepdims=True), ns.size, axis=1)


def _parts(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    others = (values.sum(axis=1, keepdims=True) - values) / (values.shape[1] - 1)
    n = ns[:, None]
    return values[:, None] / n + (n - 1) / n * others[:, None]


def _nothing(log_weight: Floats, drawn: Flags) -> Floats:
    return np.zeros_like(log_weight)


# Whatever the weights, one of the drawn at random.
TOY = Rule(
    "toy",
    _first_log_ratio,
    lambda size: 1e-14,
    _mean,
    _parts,
    lambda uniforms: np.log1p(-uniforms),
    lambda levels, n, goal: ([ball(m / m) for m in levels.mass], ball(levels.zero) * 0 + 1),
    standing=_nothing,
)


def test_a_rule_of_ones_own_gives_laws() -> None:
    law = selection_law(LOG_MASS, WEIGHT, 7, TOY)
    assert np.allclose(law.log_prob, LOG_MASS, atol=1e-14)
    assert law.error < 1e-12
    scheme = Scheme(2.0, 5, 0.5, TOY)
    gated = gsi_law(INSTANCE, scheme)
    kept = CANDIDATES.reward + CANDIDATES.log_ratio / 2.0 >= 0.5
    expected = np.where(kept, np.exp(LOG_MASS), 0.0) + np.exp(LOG_MASS)[~kept].sum() * np.exp(INSTANCE.log_base)
    assert np.allclose(np.exp(gated.log_prob), expected, atol=1e-14)
    facts = Facts.of(INSTANCE, scheme)
    assert np.allclose(facts.gated().log_prob, gated.log_prob)
    balls = selection_balls(FRACTIONS, [LogWeight(w, w / w) for w in FRACTIONS], 4, TOY)
    assert np.allclose([float(x) for x in balls], [float(m) for m in FRACTIONS])


def test_a_rule_of_ones_own_is_estimated_and_decoded() -> None:
    values, ns = np.array([1.0, 2.0, 6.0]), [1, 2, 3]
    found = subset_mean(values, WEIGHT, ns, TOY)
    assert np.allclose(found.value, 3.0)
    assert np.allclose(found.stderr[0], np.std(values, ddof=1) / np.sqrt(3))
    base = Candidates(np.full(3, -np.log(3.0)), values / 6.0, np.zeros(3))
    prediction = predict_position(base, base, [Scheme(1.0, 2, None, TOY)])
    assert prediction.value[0, 0] == pytest.approx(0.5)
    uniforms = np.random.default_rng(0).random((30_000, 3))
    winner, _ = select(np.tile(WEIGHT, (30_000, 1)), uniforms, TOY)
    assert np.allclose(np.bincount(winner) / 30_000, 1 / 3, atol=5 * np.sqrt(2 / 9 / 30_000))


def test_a_rule_of_ones_own_is_sampled_with_its_scores() -> None:
    scheme, rng = Scheme(2.0, 3, 0.5, TOY), np.random.default_rng(1)
    with pytest.raises(InputError, match="rule 'toy'"):
        sample_scheme(INSTANCE, scheme, 10, rng)
    outcomes, accepted = sample_scheme(
        INSTANCE, scheme, 30_000, rng, scores=lambda log_weight, stream: stream.uniform(log_weight.shape)
    )
    law = gsi_law(INSTANCE, scheme)
    p = np.exp(law.log_prob)
    assert np.all(np.abs(np.bincount(outcomes, minlength=3) / 30_000 - p) <= 5 * np.sqrt(p * (1 - p) / 30_000))
    assert abs(accepted.mean() - law.p_accept) <= 5 * np.sqrt(0.25 / 30_000)


def test_what_a_rule_lacks_is_refused_by_name() -> None:
    for refused in (
        lambda: Scheme(1.0, 2, 0.5, TOY, gate="score"),
        lambda: score_gated_law(LOG_MASS, WEIGHT, 2, 0.0, "max"),
        lambda: tv_curve(LOG_MASS, WEIGHT, [1, 2], TOY),
        lambda: _bound(WEIGHT, 2, TOY),
        lambda: fixed_allocation_law(LOG_MASS[None], WEIGHT, [2], "max"),
    ):
        with pytest.raises(InputError, match=r"toy|max"):
            refused()


UNKNOWN: dict[str, Callable[[str], object]] = {
    "law": lambda rule: selection_law(LOG_MASS, WEIGHT, 2, rule),
    "scheme": lambda rule: Scheme(1.0, 2, None, rule),
    "score gate": lambda rule: score_gated_law(LOG_MASS, WEIGHT, 2, 0.0, rule),
    "estimate": lambda rule: subset_mean(WEIGHT, WEIGHT, [1], rule),
    "gated estimate": lambda rule: gated_mean(WEIGHT, WEIGHT, WEIGHT > 0, WEIGHT, WEIGHT, [1], rule=rule),
    "curve": lambda rule: tv_curve(LOG_MASS, WEIGHT, [1], rule),
    "weights": lambda rule: form_weights(LOG_MASS, WEIGHT, None, 1.0, rule),
    "drafters": lambda rule: fixed_allocation_law(LOG_MASS[None], WEIGHT, [2], rule),
    "balls": lambda rule: selection_balls(FRACTIONS, [LogWeight(w, w) for w in FRACTIONS], 2, rule),
    "claims": lambda rule: Facts.batch(LOG_MASS, LOG_MASS, WEIGHT, 1.0, 2, rule=rule),
    "prediction": lambda rule: scheme_grid([1.0], [2], [rule], None),
    "plan": lambda rule: _bound(WEIGHT, 2, rule),
    "decoder": lambda rule: log_noise(np.full((1, 2), 0.5), rule),
    "winners": lambda rule: select(WEIGHT[None], np.full((1, 3), 0.5), rule),
    "sampler": lambda rule: noise(rule, (2,), NumpyStream(np.random.default_rng(0))),
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_an_unknown_rule_is_refused(place: str) -> None:
    with pytest.raises(InputError, match="'softmx'"):
        UNKNOWN[place]("softmx")


def test_oracles_refuse_unknown_rules() -> None:
    with pytest.raises(ValueError, match="softmx"):
        enumeration.selection_law([1], [1], 1, "softmx")
    with pytest.raises(ValueError, match="softmx"):
        random_draws.selection_law([1.0], [0.0], 1, 0.0, "softmx")


def test_strangers_are_no_rules_and_near_names_are_told() -> None:
    with pytest.raises(InputError, match="did you mean 'softmax'"):
        rule_named("softmx")
    for stranger in (None, 3, ["race"], np.array(["race"])):
        with pytest.raises(InputError, match="rule"):
            rule_named(stranger)  # type: ignore[arg-type]
    assert all(rule_named(name) is rule and str(rule) == name for name, rule in RULES.items())
    assert {*independent.NOISES, *independent.FAMILIES} >= set(RULES)


def _compared(source: str) -> list[str]:
    """Comparisons of something called a rule with the name of one, `match` included."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            literals = {c.value for s in sides for c in ast.walk(s) if isinstance(c, ast.Constant)}
            if literals & set(RULES) and "rule" in ast.unparse(node):
                found.append(ast.unparse(node))
        if isinstance(node, ast.Match) and "rule" in ast.unparse(node.subject):
            found.append(f"match {ast.unparse(node.subject)}")
    return found


# Independent of the library on purpose, or rows of an artifact that are read, not a rule that is played.
ELSEWHERE = ("sims/sampling", "sims/experiments", "sims/command_audit.py", "figures", "gsi_theory/rules")


def test_no_code_outside_rules_compares_a_rules_name() -> None:
    files = [
        path
        for package in ("gsi_theory", "llm_check", "sims")
        for path in (ROOT / package).rglob("*.py")
        if not str(path.relative_to(ROOT)).startswith(ELSEWHERE)
    ]
    assert len(files) > 100
    assert [(str(path), line) for path in files for line in _compared(path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    ['x = 1 if rule == "race" else 2', 'y = scheme.rule in ("max", "race")', "match rule:\n    case _:\n        pass"],
)
def test_the_search_for_comparisons_finds_them(source: str) -> None:
    assert len(_compared(source)) == 1


def test_the_gates_of_a_rule_are_those_that_a_scheme_takes() -> None:
    """What searches and audits try is all that can be played, and nothing else."""

    def plays(rule: str, gate: str) -> bool:
        try:
            Scheme(1.0, 4, None if gate == "none" else 0.5, rule, gate="tilted_reward" if gate == "none" else gate)
        except InputError:
            return False
        return True

    tried = set(rules_and_gates())
    assert tried == {(r, g) for r in RULES for g in ("none", "tilted_reward", "score") if plays(r, g)}
    assert ("race", "score") in tried and ("max", "score") not in tried
