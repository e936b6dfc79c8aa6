"""Facts, laws and judgments in batches: the same as one by one, as exact fractions, and in torch with gradients."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import InputError, Instance, Scheme, gsi_law, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.claims import CLAIMS, OUTCOMES, Outcome
from gsi_theory.claims import facts as facts_module
from gsi_theory.claims.assumptions import HIGH_SCORE
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import chi2_error
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, selection_laws
from gsi_theory.refutation.cases import batches, judgments
from sims.instance_families import random_case
from tests.gsi_theory.test_hostile import hostile

torch = pytest.importorskip("torch")

SMALL = Instance.from_probabilities([0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.1, 0.9, 0.4])


def padded(instance: Instance) -> bool:
    """Whether some outcome has no mass in either policy: in a batch it is padding."""
    return bool(np.any(np.isinf(instance.log_draft) & np.isinf(instance.log_base)))


def cases(kind: str) -> list[tuple[Instance, Scheme]]:
    draw = random_case if kind == "random" else hostile
    found = [draw(np.random.default_rng([83, i])) for i in range(40)]
    return [case for case in found if not padded(case[0])]


@pytest.mark.parametrize("kind", ["random", "hostile"])
def test_batch_judges_like_one_by_one(kind: str) -> None:
    """Padded rows of 1 to 8 outcomes, every rule and gate: numbers within the errors, outcomes but for ties."""
    rows = cases(kind)
    found = judgments(CLAIMS, rows)
    for key, claim in CLAIMS.items():
        got = found[key]
        assert not any(np.isnan(values).any() for values in got.values()), key
        for i, (instance, scheme) in enumerate(rows):
            verdict, outcome = claim.evaluate(instance, scheme), OUTCOMES[int(got["outcome"][i])]
            rhs, trivial = got["rhs"][i], got["trivial"][i]
            tie = rhs == trivial or abs(rhs - trivial) <= 1e-13 * abs(rhs)
            assert outcome is verdict.outcome or tie, (key, i)
            if verdict.lhs is None:
                assert got["lhs"][i] == got["rhs"][i] == got["slack"][i] == got["error"][i] == 0.0
            elif np.isfinite(verdict.error):
                for name, value in (("lhs", verdict.lhs), ("rhs", verdict.rhs)):
                    same = value == got[name][i] or abs(value - got[name][i]) <= verdict.error + 1e-13 * abs(value)
                    assert same, (key, i, name)
                assert got["error"][i] <= 1.3 * verdict.error + 1e-17, (key, i)


def test_derived_quantities_against_fractions() -> None:
    """At β = 1 with rational e^r: π, w, C, χ² of the tilt and of the pair, the accepted set; relative error ≤ 1e-12."""
    rng = np.random.default_rng(84)
    counts = rng.integers(1, 12, (3, 40, 4))
    policies = [[[Fraction(int(c), int(row.sum())) for c in row] for row in block] for block in counts[:2]]
    grown = [[Fraction(int(v), 4) for v in row] for row in counts[2]]
    logs = [np.log(np.array(p, dtype=float)) for p in policies]
    facts = Facts.batch(*map(normalize, logs), np.log(np.array(grown, dtype=float)), 1.0, 3, 0.3)
    for i, (draft, base, g) in enumerate(zip(*policies, grown, strict=True)):
        total = sum(b * x for b, x in zip(base, g, strict=True))
        pi = [b * x / total for b, x in zip(base, g, strict=True)]
        w = [p / s for p, s in zip(pi, draft, strict=True)]
        chi2 = sum(p * x for p, x in zip(pi, w, strict=True)) - 1
        pair = sum(b * b / s for b, s in zip(base, draft, strict=True)) - 1
        assert np.exp(facts.log_pi[i]) == pytest.approx([float(p) for p in pi], rel=1e-12)
        assert facts.w[i] == pytest.approx([float(x) for x in w], rel=1e-12)
        assert facts.chi2[i] == pytest.approx(float(chi2), rel=1e-12, abs=1e-15)
        assert facts.chi2_pair[i] == pytest.approx(float(pair), rel=1e-12, abs=1e-15)
        assert facts.log_coverage[i] == pytest.approx(np.log(float(max(w))), abs=1e-12)
        # r̃ = log(g b / s) ≥ 0.3; no fraction here is e^0.3.
        kept = [float(x * b / s) >= np.exp(0.3) for x, b, s in zip(g, base, draft, strict=True)]
        assert facts.accepted[i].tolist() == kept


def logits(rows: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(85)
    names = {"draft": (rows, 3), "base": (rows, 3), "reward": (rows, 3), "beta": (rows,), "n": (rows,)}
    values = {k: rng.normal(size=shape) for k, shape in names.items()}
    return values | {"n": rng.uniform(0.5, 3.0, rows)}


def from_logits(values: dict) -> Facts:
    """Facts of free parameters: logits of both policies, rewards, log β and log n."""
    lib = torch if torch.is_tensor(values["draft"]) else np
    draft, base = (normalize(values[k]) for k in ("draft", "base"))
    return Facts.batch(draft, base, values["reward"], lib.exp(values["beta"]), lib.exp(values["n"]), 0.2, real_n=True)


@pytest.mark.parametrize("key", [k for k, c in CLAIMS.items() if c.smooth])
def test_torch_agrees_and_gradients_are_those_of_differences(key: str) -> None:
    """The right side always, lhs and ratio where no limit is taken, along a random direction of all parameters."""
    claim, plain = CLAIMS[key], logits()
    direction = {k: np.random.default_rng(86).normal(size=v.shape) for k, v in plain.items()}
    if key.startswith("M7"):
        direction["n"][:] = 0.0
    tensors = {k: torch.tensor(v, requires_grad=True) for k, v in plain.items()}
    judged, expected = claim.judge(from_logits(tensors)), claim.judge(from_logits(plain))
    assert np.array_equal(judged.outcome.numpy(), expected.outcome)
    for name in ("lhs", "rhs", "error"):
        gap = getattr(judged, name).detach().numpy() - getattr(expected, name)
        assert np.all(np.abs(gap) <= expected.error), name

    def values(step: float) -> list[np.ndarray]:
        facts = from_logits({k: v + step * direction[k] for k, v in plain.items()})
        found = claim.judge(facts)
        return [found.rhs] + ([] if claim.relation == "=" else [found.lhs, claim.ratio(facts)])

    ours = [judged.rhs] + ([] if claim.relation == "=" else [judged.lhs, claim.ratio(from_logits(tensors))])
    for value, up, down in zip(ours, values(1e-6), values(-1e-6), strict=True):
        if not value.requires_grad:
            assert np.array_equal(up, down)
            continue
        used = [tensors[k] for k in tensors if np.any(direction[k])]
        grads = torch.autograd.grad(value.sum(), used, retain_graph=True, allow_unused=True)
        names = [k for k in tensors if np.any(direction[k])]
        slope = sum(
            np.sum(g.numpy().reshape(24, -1) * direction[k].reshape(24, -1), axis=-1)
            for k, g in zip(names, grads, strict=True)
            if g is not None
        )
        # Central differences: 1e-12 of curvature, 1e-16/1e-6 of rounding; a kink may fall into one row's step.
        close = np.abs(slope - (up - down) / 2e-6) <= 1e-5 * (1.0 + np.abs(slope))
        assert np.sum(~close) <= 1, (slope[~close], ((up - down) / 2e-6)[~close])


@pytest.mark.parametrize("key", [k for k, c in CLAIMS.items() if c.smooth])
def test_gradients_are_finite_on_degenerate_rows(key: str) -> None:
    """Padding, zero and uncovered mass, β = 0, n = 1, equal policies, infinite thresholds: no NaN anywhere."""
    rng = np.random.default_rng(87)
    draft, base, reward = rng.normal(size=(3, 60, 4))
    pad, zero, bare = rng.random((3, 60, 4)) < np.array([0.15, 0.15, 0.05])[:, None, None]
    for mask in (pad, zero, bare):
        mask[:, 0] = False
    draft[pad | bare], base[pad | zero] = -np.inf, -np.inf
    base[::9], reward[::6] = draft[::9], 0.0
    beta, n = np.exp(rng.uniform(-3, 3, 60)), rng.uniform(1, 400, 60)
    beta[::5], n[::4] = 0.0, 1.0
    threshold = np.resize([0.3, np.nan, -np.inf, np.inf, -0.2], 60)
    tensors = [torch.tensor(v, requires_grad=True) for v in (draft, base, reward, beta, n)]
    policies = [torch.log_softmax(v, -1) for v in tensors[:2]]
    ratio = CLAIMS[key].ratio(Facts.batch(*policies, *tensors[2:], threshold, real_n=True))
    assert not torch.isnan(ratio).any() and ratio.requires_grad
    torch.where(torch.isfinite(ratio), ratio, 0.0).sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in tensors if t.grad is not None)


def test_ratio_is_one_when_tight_and_defined_at_zero() -> None:
    tight = Facts.of(Instance.from_probabilities([0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.0] * 4), Scheme(1.0, 1))
    assert CLAIMS["M11-mean"].ratio(tight) == pytest.approx(1.0, abs=1e-12)
    assert CLAIMS["M10"].ratio(tight) == pytest.approx(1.0, abs=1e-12)
    assert CLAIMS["M12a"].judge(tight).rhs == 0.0 and CLAIMS["M12a"].ratio(tight) > 1e6
    assert CLAIMS["M7-tv"].ratio(tight) == 0.0 and not CLAIMS["M7-tv"].judge(tight).applies
    loose = Facts.of(SMALL, Scheme(1.0, 3))
    sides = CLAIMS["M11-chi2"].judge(loose)
    assert CLAIMS["M11-chi2"].ratio(loose) == sides.lhs / sides.rhs < 1.0


def test_claims_share_laws_across_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims with different assumptions, hence on different rows, need one law of each rule and two of the base."""
    calls = []

    def counted(*args):
        calls.append(args[-1])
        return selection_laws(*args)

    monkeypatch.setattr(facts_module, "selection_laws", counted)
    policies = np.log([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    base = np.log([0.2, 0.3, 0.5])
    policies[1:3, 0] = -np.inf
    facts = Facts.batch(normalize(policies), base, [[0.1, -0.5, 0.3], [0.2, 0.0, 1.0]] * 2, 1.0, 5)
    for claim in CLAIMS.values():
        if claim.relation == "<=":
            claim.judge(facts)
    # The draft's laws by every rule, the race and regularized best-of-n at n + 1, and the base's law.
    regularized = ["regularized:2"] * 2
    assert sorted(str(rule) for rule in calls) == ["max", "race", "race", *regularized, "softmax", "softmax"]


def test_gated_law_in_batches_is_gsi_law() -> None:
    """(M6) and (M9): rows with thresholds, without, and infinite, against the law of each instance."""
    rng = np.random.default_rng(88)
    gates = [None, -0.4, 0.3, np.inf, -np.inf]
    for rule, gate in (("softmax", "tilted_reward"), ("race", "score"), ("max", "tilted_reward")):
        rows = [
            (
                Instance(*(normalize(rng.normal(size=(2, size)))), rng.normal(size=size)),
                Scheme(1.7, 5, u, rule, 5, gate),
            )
            for size in (2, 4)
            for u in gates
        ]
        ((members, facts),) = batches(rows)
        batch = facts.gated_law(5)
        mean = batch.expectation(facts.reward)
        for row, i in enumerate(members):
            instance, scheme = rows[i]
            one, size = gsi_law(instance, scheme), instance.size
            assert np.exp(batch.log_prob[row, :size]) == pytest.approx(np.exp(one.log_prob), abs=1e-13)
            assert batch.p_accept[row] == pytest.approx(one.p_accept, abs=1e-13)
            assert mean[row] == pytest.approx(one.expectation(instance.reward), abs=1e-13)
            assert batch.error[row] <= 1.5 * one.error


def test_blocks_of_rows_give_the_law_itself() -> None:
    rng = np.random.default_rng(89)
    log_mass, weight = normalize(rng.normal(size=(3, 700, 3))), rng.normal(size=(3, 700, 3)) * 20
    weight[0, ::3, 1], n = -np.inf, np.floor(np.exp(rng.uniform(0, 15, (3, 700))))
    for rule in ("softmax", "race"):
        whole, parts = selection_law(log_mass, weight, n, rule), selection_laws(log_mass, weight, n, rule)
        seen = whole.log_prob > -600
        assert np.abs(whole.log_prob[seen] - parts.log_prob[seen]).max() <= 1e-12
        assert np.array_equal(np.isinf(whole.log_prob), np.isinf(parts.log_prob))


def test_real_numbers_of_draws_interpolate() -> None:
    """At a real n the law is a law, between those at the whole numbers beside it; a whole n gives the law itself."""
    base = Facts.of(SMALL, Scheme(2.0, 3))
    given = SMALL.log_draft, SMALL.log_base, SMALL.reward, 2.0
    rows = [Facts.batch(*given, n, real_n=True) for n in (3.0, 3.5, 4.0)]
    for rule in ("softmax", "race", "max"):
        low, middle, high = (np.exp(at.draft_law(rule).log_prob) for at in rows)
        assert middle.sum() == pytest.approx(1.0, abs=1e-14)
        assert np.all((middle - low) * (high - middle) > 0)
        assert low == pytest.approx(np.exp(base.draft_law(rule).log_prob), abs=1e-15)
    law = selection_law(SMALL.log_draft, SMALL.reward, Counts(np.array(3.0), np.array(0.0)))
    assert np.array_equal(law.log_prob, selection_law(SMALL.log_draft, SMALL.reward, 3).log_prob)


HALF = np.log([0.5, 0.5])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 2.5}, r"n\[\] = .*2\.5.*whole"),
        ({"n": [1, 0]}, r"n\[1\] = .*0\.0.*from 1"),
        ({"n_base": 0}, "n_base"),
        ({"beta": [1.0, -1.0]}, r"beta\[1\] = .*-1"),
        ({"beta": np.nan}, "beta.*nan"),
        ({"reward": [0.0, np.inf]}, r"reward\[.*1\] = .*inf"),
        ({"log_draft": np.log([0.5, 0.4])}, "log_draft.*summing to 1"),
        ({"log_base": [0.1, -1.0]}, r"log_base\[0\]"),
        ({"log_base": [np.nan, 0.0]}, r"log_base\[0\] = .*nan"),
        ({"reward": [0.0, 1.0, 2.0]}, "reward \\(3,\\)"),
        ({"reward": 1.0}, "reward \\(\\)"),
        ({"n": np.ones(0)}, "rows ≥ 1"),
        ({"beta": "two"}, "beta is not a list of numbers"),
        ({"rule": "argmax"}, "argmax"),
        ({"gate": "score"}, "rule 'softmax'"),
        ({"n": 2.0**54, "real_n": True}, "2\\^53"),
    ],
)
def test_bad_rows_name_the_array_and_the_place(change, words) -> None:
    given = {"log_draft": HALF, "log_base": HALF, "reward": [0.0, 1.0], "beta": 1.0, "n": 2} | change
    with pytest.raises(InputError, match=words):
        Facts.batch(**given)


def test_planted_claims_are_refuted_in_a_batch() -> None:
    """1e4 rows of two outcomes: (M11) with 2n for n, and with n + 1, each refuted; (M11) itself never."""
    rng = np.random.default_rng(90)
    draft, base = rng.dirichlet(np.ones(2), (2, 10_000))
    facts = Facts.batch(np.log(draft), np.log(base), rng.uniform(0, 1, (10_000, 2)), 1.0, rng.integers(1, 4, 10_000))
    found = CLAIMS["M11-chi2"].judge(facts)
    assert not np.any(found.outcome == OUTCOMES.index(Outcome.REFUTED))
    for n in (2 * facts.n, facts.n + 1):
        assert np.any(found.lhs > np.log1p(facts.chi2 / n) + found.error)


def test_what_float64_cannot_hold_is_undecided_not_refuted() -> None:
    """Draft masses of 1e-300 to e^-10⁴, and rewards around the gate's limit: no proved claim is refuted, no NaN.

    Here π has mass 1/2 where w is beyond e^690 or the law below 1e-300, of which float64 numbers say nothing.
    """
    half = np.log([0.5, 0.5])
    cases = [
        (Instance.from_probabilities([1.0, mass], [0.5, 0.5], [0, 0]), Scheme(1.0, 10))
        for mass in (1e-300, 1e-305, 1e-320)
    ]
    cases += [(Instance(np.array([0.0, low]), half, np.zeros(2)), Scheme(1.0, 10)) for low in (-1400.0, -1e4)]
    cases += [(Instance(np.array([0.0, -1400.0, -700.0]), np.log([0.3, 0.3, 0.4]), np.zeros(3)), Scheme(1.0, 10))]
    for rule in ("softmax", "race", "max"):
        gate = Instance.from_probabilities([0.5, 0.5], [0.25, 0.75], [1000.2, 1000.7])
        cases.append((gate, Scheme(1.0, 4, 2000.0, rule)))
        far = Instance.from_probabilities([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.9, 0.9, 0.5])
        cases.append((far, Scheme(1e6, 4, 2.0, rule)))
    cases += [hostile(np.random.default_rng([9, k])) for k in range(30)]
    for instance, scheme in cases:
        for claim in CLAIMS.values():
            found = claim.evaluate(instance, scheme)
            sides = [v for v in (found.lhs, found.rhs, found.slack, found.error) if v is not None]
            assert not np.isnan(sides).any(), (claim.id, instance, scheme)
            assert claim.expected is not Outcome.HOLDS or found.outcome is not Outcome.REFUTED, (
                claim.id,
                instance,
                scheme,
                found,
            )
    # (M12a) with a factor of zero asks nothing of n and is false, however far the draft
    assert CLAIMS["M12a"].evaluate(*cases[2]).rhs == 0.0
    assert CLAIMS["M10"].evaluate(*cases[3]).outcome is Outcome.UNDECIDED
    assert CLAIMS["M17-tail"].evaluate(*cases[1]).outcome is Outcome.UNDECIDED


def test_a_score_at_the_largest_weight_is_high() -> None:
    """M = C exactly, where every weight is one: M ≥ C holds, and fails at the next smaller threshold."""
    even = Instance.from_probabilities([0.5, 0.5], [0.5, 0.5], [0.0, 0.0])
    for threshold, high in ((0.0, True), (-1e-9, False), (1e-9, True)):
        facts = Facts.of(even, Scheme(1.0, 2, threshold, "race", gate="score"))
        assert facts.log_coverage == 0.0 and bool(HIGH_SCORE.holds(facts)) is high


def test_error_of_chi2_is_relative_to_its_terms_at_any_ratio() -> None:
    """4 ε Σ |w - 1| π, and finite where w² q is, though w is not."""
    facts = Facts.of(SMALL, Scheme(0.0, 4))
    pi, q = np.array([0.3, 0.3, 0.4]), np.array([0.5, 0.3, 0.2])
    terms = float(np.sum(np.abs(pi / q - 1.0) * pi))
    own = float(chi2_error(facts, facts.log_draft)) - 16.0 * EPS
    assert own == pytest.approx(4.0 * float(facts.weight_error) * terms, rel=1e-9)
    far = Facts.of(Instance(np.array([-950.0, 0.0]), np.array([-200.0, 0.0]), np.zeros(2)), Scheme(0.0, 4))
    assert 0.0 < float(chi2_error(far, far.log_draft)) < 1e-8 * float(far.chi2) < np.inf
