"""One law, many ways: the three softmax methods, batches, torch and its gradients, random numbers of draws."""

from __future__ import annotations

from collections.abc import Iterator
from math import lgamma

import flint
import numpy as np
import pytest

from gsi_theory import InputError, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.softmax_bounds import asked_drafts
from gsi_theory.laws.draws import Draws
from gsi_theory.laws.gate import gated_law
from gsi_theory.laws.selection_law import RULES, score_gated_race
from gsi_theory.rules import softmax as softmax_rule
from tests.gsi_theory.hostile import hostile_candidates
from tests.gsi_theory.random_rules import RANDOM_RULES
from tests.oracles import balls

torch = pytest.importorskip("torch")


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of log-probabilities above log 1e-300."""
    one, other = np.asarray(one), np.asarray(other)
    assert not np.isnan(one).any() and not np.isnan(other).any()
    visible = np.maximum(one, other) > np.log(1e-300)
    return float(np.abs(one[visible] - other[visible]).max(initial=0.0))


@pytest.mark.parametrize("n", [2, 16, 10**4, 10**9])
@pytest.mark.parametrize("spread", [1e-9, 1.0, 6.0, 16.0])
def test_three_softmax_methods_agree(monkeypatch: pytest.MonkeyPatch, n: int, spread: float) -> None:
    """Cells, matrix and bands share only the trapezoid step: relative difference ≤ 1e-13 of every probability."""
    rng = np.random.default_rng([3, n % 1000])
    log_mass, weight = normalize(rng.normal(size=8000) * 3), rng.normal(size=8000) * spread
    cells = selection_law(log_mass, weight, n).log_prob
    monkeypatch.setattr(softmax_rule, "FEW", 10**9)
    matrix = selection_law(log_mass, weight, n).log_prob
    monkeypatch.setattr(softmax_rule, "LINEAR", -1.0)
    bands = selection_law(log_mass, weight, n).log_prob
    assert apart(cells, bands) <= 1e-13 and apart(matrix, bands) <= 1e-13
    assert not np.array_equal(cells, matrix) and not np.array_equal(matrix, bands)


@pytest.mark.parametrize("n", [3, 10**6])
def test_cells_against_ball_arithmetic(n: int) -> None:
    """300 distinct weights, so that the cells are used, against enclosures: relative error ≤ 1e-13 and ≤ log_error."""
    rng = np.random.default_rng(8)
    weight = rng.normal(size=300) * 1.5
    law = selection_law(np.full(300, -np.log(300.0)), weight, n)
    picked = [int(np.argmin(weight)), int(np.argmax(weight)), 17]
    levels = sorted(((balls.Fraction(float(w)), balls.Fraction(1, 300)) for w in weight), reverse=True)
    with flint.ctx.workprec(192):
        for i in picked:
            ratio = balls._softmax_ratio(levels, balls.Fraction(0), n, balls.Fraction(float(weight[i])))
            gap = abs(float((ratio.log() - flint.arb(float(law.log_prob[i])) - flint.arb(300).log()).mid()))
            assert gap <= min(1e-13, law.log_error)


@pytest.mark.parametrize("rule", RULES)
def test_batch_torch_and_padding_agree_with_single_laws(rule: str) -> None:
    """300 hostile rows padded to one length, each with its own n, in one call; NumPy and torch within 1e-12."""
    rng = np.random.default_rng(21)
    rows = [hostile_candidates(rng) for _ in range(300)]
    log_mass, weight = np.full((300, 9), -np.inf), np.full((300, 9), 7.0)
    for i, (mass, lw, _) in enumerate(rows):
        log_mass[i, : mass.size], weight[i, : mass.size] = mass, lw
    n = np.array([row[2] for row in rows])
    law = selection_law(log_mass, weight, n, rule)
    in_torch = selection_law(torch.tensor(log_mass), torch.tensor(weight), torch.tensor(n), rule)
    assert law.log_prob.shape == (300, 9) and law.error.shape == (300,)
    assert np.max(np.abs(np.exp(law.log_prob) - in_torch.log_prob.exp().numpy())) <= 1e-12
    for i, (mass, lw, count) in enumerate(rows):
        single = selection_law(mass, lw, count, rule)
        assert apart(law.log_prob[i, : mass.size], single.log_prob) <= 2 * single.log_error
        assert apart(in_torch.log_prob[i, : mass.size].numpy(), single.log_prob) <= 2 * single.log_error
        assert np.all(law.log_prob[i, mass.size :] == -np.inf)


@pytest.mark.parametrize("rule", RULES)
def test_axes_of_n_are_shared(rule: str) -> None:
    """Prompts × β × n over pools of 512: one call, any order of the axes, equal to single calls."""
    rng = np.random.default_rng(4)
    log_mass, weight = normalize(rng.normal(size=(2, 1, 1, 512))), rng.normal(size=(1, 3, 1, 512)) * 3
    n = np.array([1, 5, 300])
    law = selection_law(log_mass, weight, n, rule)
    first = selection_law(np.moveaxis(log_mass, 2, 0), np.moveaxis(weight, 2, 0), n[:, None, None], rule)
    assert law.log_prob.shape == (2, 3, 3, 512)
    assert np.array_equal(np.moveaxis(first.log_prob, 0, 2), law.log_prob)
    single = selection_law(log_mass[1, 0, 0], weight[0, 2, 0], 300, rule)
    assert apart(law.log_prob[1, 2, 2], single.log_prob) <= 2 * single.log_error


def test_score_gate_in_batches_and_torch() -> None:
    rng = np.random.default_rng(6)
    log_mass, weight = normalize(rng.normal(size=(5, 7))), rng.normal(size=(5, 7)) * 3
    accepted, reject = score_gated_race(log_mass, weight, 6, 0.7)
    assert np.max(np.abs(np.exp(accepted).sum(-1) + np.exp(reject) - 1.0)) <= 1e-14
    in_torch = score_gated_race(torch.tensor(log_mass), torch.tensor(weight), 6, 0.7)
    for i in range(5):
        single, missed = score_gated_race(log_mass[i], weight[i], 6, 0.7)
        assert apart(accepted[i], single) <= 1e-13 and abs(reject[i] - missed) <= 1e-13
    assert apart(in_torch[0].numpy(), accepted) <= 1e-12 and apart(in_torch[1].numpy(), reject) <= 1e-12


@pytest.mark.parametrize("size", [6, 700])
def test_gradients_of_the_softmax_law(size: int) -> None:
    """torch's gradient check at K = 6; central differences of a functional at K = 700, where cells are used."""
    rng = np.random.default_rng(2)
    mass = torch.tensor(rng.normal(size=size), requires_grad=True)
    weight = torch.tensor(rng.normal(size=size) * 2, requires_grad=True)

    def law(logits: torch.Tensor, lw: torch.Tensor) -> torch.Tensor:
        return selection_law(torch.log_softmax(logits, -1), lw, 7).log_prob

    if size == 6:
        assert torch.autograd.gradcheck(law, (mass, weight), eps=1e-6, atol=1e-7)
        return
    value = torch.tensor(rng.normal(size=size))
    gradient = torch.autograd.grad(law(mass, weight) @ value, (mass, weight))
    mass, weight = mass.detach(), weight.detach()
    step = 1e-4
    for which in (0, 1):
        for i in (0, 350):
            shift = torch.zeros(size, dtype=torch.float64)
            shift[i] = step
            ends = [
                law(mass + s * shift * (which == 0), weight + s * shift * (which == 1)) @ value for s in (1.0, -1.0)
            ]
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert abs(slope - float(gradient[which][i])) <= 1e-6 * max(1.0, abs(slope))


@pytest.fixture
def every_warning() -> Iterator[None]:
    """torch gives some warnings once a process: here every time, and pytest makes them errors."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.usefixtures("every_warning")
@pytest.mark.parametrize("gate", ["number", "tensor", "tilted"])
@pytest.mark.parametrize("axes", [0, 1, 2])
def test_gradients_of_the_gated_law(axes: int, gate: str) -> None:
    """(M6), (M9): law, acceptance, rejection and a mean against finite differences, with and without batch axes."""
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64, requires_grad=True)
    cut = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    base_weight, values = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), np.array([1.0, 2.0, 5.0])
    kept = torch.tensor([True, False, True])

    def gated(logit: torch.Tensor, lw: torch.Tensor, score: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shape = (1,) * axes
        log_mass, lw, other = (v.reshape((*shape, 3)) for v in (logit.log_softmax(-1), lw, base_weight))
        ungated, fallback = (selection_law(log_mass, w, n, "race") for w, n in ((lw, 3), (other, 2)))
        if gate == "tilted":
            law = gated_law(ungated, fallback, kept=kept.reshape((*shape, 3)))
        else:
            level = score.reshape(shape) if gate == "tensor" else 0.4
            law = gated_law(ungated, fallback, scored=score_gated_race(log_mass, lw, 3, level))
        assert law.p_accept.dtype == law.log_p_reject.dtype == torch.float64
        total = law.accepted_log_mass.exp().sum() + law.log_p_reject.exp()
        assert abs(float(total.detach()) - 1.0) <= 1e-14
        return law.log_prob.exp(), law.p_accept, law.log_p_reject, law.expectation(values)

    used = {"number": 2, "tensor": 3, "tilted": 2}[gate]
    inputs = (logits, weight, cut)[:used]
    assert torch.autograd.gradcheck(lambda *parts: gated(*parts, *(cut,)[: 3 - used]), inputs, eps=1e-6, atol=1e-8)
    plain = gated_law(*(selection_law(np.log([0.2, 0.8]), [0.0, 1.0], 2, "race"),) * 2, kept=np.array([True, False]))
    mean = plain.expectation(torch.tensor(values[:2]))
    assert float(mean) == pytest.approx(plain.expectation(values[:2]), abs=1e-15)  # no part of it in float32


@pytest.mark.parametrize("axes", [0, 1])
def test_a_score_has_no_gradient_where_every_weight_is_zero(axes: int) -> None:
    """(M9) nothing passes at any score: the gradient is 0, beside that of a row where something may."""
    rows = [[-np.inf, -1.0]] if axes == 0 else [[-np.inf, -1.0], [0.0, -1.0]]
    weight = torch.tensor(rows, dtype=torch.float64)
    log_mass = torch.tensor([0.0, -np.inf], dtype=torch.float64).expand(weight.shape)
    if axes == 0:
        log_mass, weight = log_mass[0], weight[0]
    cut = torch.full((len(rows),) * axes, 0.15, dtype=torch.float64, requires_grad=True)
    accepted, log_reject = score_gated_race(log_mass, weight, 2, cut)
    (slope,) = torch.autograd.grad(accepted.exp().sum() - log_reject.exp().sum(), cut)
    # one candidate of weight 1: rejected with chance (1 - e^-cut)^2
    expected = [0.0, -4.0 * (1.0 - np.exp(-0.15)) * np.exp(-0.15)][: len(rows)]
    np.testing.assert_allclose(slope.reshape(-1), expected, rtol=1e-12)


@pytest.mark.usefixtures("every_warning")
def test_drafts_asked_keep_their_gradient() -> None:
    """(M12) the n that the sharp bound asks for, of tensors."""
    n, reward = torch.tensor([4.0], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    logits = torch.tensor([[0.1, 0.7]], dtype=torch.float64, requires_grad=True)
    rows = Facts.batch(logits.log_softmax(-1), reward.log_softmax(-1), reward, 0.5 * n, n)
    assert asked_drafts(rows, "instance", 0.1).requires_grad


def test_gradients_stay_finite_with_padding_and_zero_weight() -> None:
    log_mass = torch.tensor([-1.0, -2.0, -3.0, -torch.inf], dtype=torch.float64).log_softmax(-1).requires_grad_()
    weight = torch.tensor([0.0, -torch.inf, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    selection_law(log_mass, weight, 5).log_prob[:3].exp().square().sum().backward()
    assert torch.isfinite(log_mass.grad).all() and torch.isfinite(weight.grad).all()


@pytest.mark.parametrize("rule", RANDOM_RULES)
@pytest.mark.parametrize("fixed", [0, 1, 3])
def test_random_number_of_draws_is_the_mixture(rule: str, fixed: int) -> None:
    """fixed + Poisson(m), given one draw at least, is the mixture of the laws of each number (M23, M24)."""
    rng = np.random.default_rng(9)
    log_mass, weight, mean = normalize(rng.normal(size=5)), rng.normal(size=5) * 2, 3.7
    weight[1], weight[3] = -np.inf, weight[2]
    mixture, total = np.zeros(5), 0.0
    for k in range(max(0, 1 - fixed), 90):
        probability = np.exp(-mean + k * np.log(mean) - lgamma(k + 1))
        mixture += probability * np.exp(selection_law(log_mass, weight, fixed + k, rule).log_prob)
        total += probability
    law = selection_law(log_mass, weight, Draws(fixed, mean), rule)
    assert np.max(np.abs(np.exp(law.log_prob) - mixture / total)) <= 1e-14


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[0.0]], [[0.0]], [1, 2.5]), r"n\[1\] = 2.5"),
        (([[0.0], [-1.0]], [0.0], 2), r"in row \(1,\)"),
        (([[0.0]] * 3, [[0.0]] * 2, 2), "batch axes that broadcast"),
        (([[0.0]] * 3, [[0.0]] * 3, [1, 2]), "shapes that broadcast"),
        (([[0.0]], [["a"]], 2), "log_weight is not a list of numbers"),
        (([[0.0, -np.inf]], [[np.nan, 0.0]], 2), r"log_weight\[0, 0\] = nan"),
    ],
)
def test_bad_batches_name_the_place(arguments: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        selection_law(*arguments)


@pytest.mark.parametrize(("fixed", "poisson"), [(0, 0.0), (-1, 1.0), (0, np.nan), (1.5, 0.0), (0, -2.0)])
def test_bad_draws(fixed: float, poisson: float) -> None:
    with pytest.raises(InputError, match=r"fixed|poisson"):
        Draws(fixed, poisson)
