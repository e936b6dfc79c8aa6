"""Methods played on candidates that were drawn already, and predicted from them: both against the exact law."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Candidates, Instance
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from llm_check.logs.prediction import predict_methods
from llm_check.models.checks.study_cells import STUDIED, studied_schemes
from llm_check.models.decoding.played_candidates import play

INSTANCE = Instance.from_probabilities([0.5, 0.3, 0.15, 0.05], [0.2, 0.3, 0.1, 0.4], [0.1, 0.4, 0.9, 0.6])
PLAYED = studied_schemes((1, 3), (2.0,), 0.45)


def _drawn(size: int, rng: np.random.Generator) -> tuple[Candidates, Candidates, tuple[np.ndarray, np.ndarray]]:
    """`size` draws of either policy as candidates, and which outcome each is, (1, size) times two."""
    sides, which = [], []
    for log_prob in (INSTANCE.log_draft, INSTANCE.log_base):
        at = rng.choice(4, size, p=np.exp(log_prob))
        ratio = (INSTANCE.log_base - INSTANCE.log_draft)[at]
        sides.append(Candidates(np.full(size, -np.log(size)), INSTANCE.reward[at], ratio))
        which.append(at)
    return sides[0], sides[1], (which[0], which[1])


@pytest.mark.parametrize("pair", PLAYED, ids=lambda pair: f"{pair[0].id}-{pair[1].n}")
def test_played_outcomes_follow_the_exact_law(pair):
    method, scheme = pair
    runs = 20_000
    draft, base, (mine, others) = _drawn(runs * 3, np.random.default_rng(1))
    taken = play(method, scheme, draft, base, runs, np.random.default_rng(2))
    outcome = taken.taken(mine.astype(float), others.astype(float)).astype(int)
    law = np.exp(method.law(INSTANCE, scheme).log_prob)
    error = np.sqrt(law * (1 - law) / runs)
    np.testing.assert_array_less(np.abs(np.bincount(outcome, minlength=4) / runs - law), 4.5 * error + 1e-12)
    p_accept = method.law(INSTANCE, scheme).p_accept
    if p_accept is not None:
        assert abs(taken.accepted.mean() - p_accept) < 4.5 * np.sqrt(p_accept * (1 - p_accept) / runs) + 1e-12


def test_predictions_of_every_method_are_unbiased():
    pools, rng = 800, np.random.default_rng(3)
    values = np.zeros((pools, len(PLAYED)))
    accepted = np.zeros((pools, len(PLAYED)))
    for k in range(pools):
        draft, base, _ = _drawn(4, rng)
        found = predict_methods(draft, base, PLAYED)
        values[k], accepted[k] = found.value[:, 0], found.p_accept
    for c, (method, scheme) in enumerate(PLAYED):
        law = method.law(INSTANCE, scheme)
        gap = values[:, c].mean() - np.exp(law.log_prob) @ INSTANCE.reward
        assert abs(gap) < 4.5 * values[:, c].std() / np.sqrt(pools), method.id
        if law.p_accept is not None:
            gap = accepted[:, c].mean() - law.p_accept
            assert abs(gap) < 4.5 * accepted[:, c].std() / np.sqrt(pools) + 1e-12, method.id


def test_no_candidate_is_used_twice():
    draft, base, _ = _drawn(12, np.random.default_rng(0))
    method = METHODS["soft_bon_draft"]
    with pytest.raises(InputError, match="5 runs of n = 3 need 15 candidates of 12: draw more"):
        play(method, method.scheme(1.0, 3, None), draft, base, 5, np.random.default_rng(0))
    best = METHODS["best_of_n_draft"]
    every = play(best, best.scheme(1.0, 3, None), draft, base, 4, np.random.default_rng(0)).winner
    assert len(set(every.tolist())) == 4
    groups = [draft.reward[k::4] for k in range(4)]
    np.testing.assert_array_equal(draft.reward[every], [group.max() for group in groups])


@pytest.mark.parametrize("key", ["pooled", "speculative", "gsi_poisson", "first_passage", "specs"])
def test_what_neither_can_do_is_refused_by_name(key):
    draft, base, _ = _drawn(8, np.random.default_rng(0))
    method = METHODS[key]
    scheme = method.scheme(1.0, 2, 0.5)
    with pytest.raises(InputError, match=f"method '{key}' cannot be played on candidates drawn already"):
        play(method, scheme, draft, base, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match=f"method '{key}': no pool predicts it"):
        predict_methods(draft, base, [(method, scheme)])


def test_every_studied_method_is_tried_here():
    assert {method.id for method, _ in PLAYED} == set(STUDIED)
