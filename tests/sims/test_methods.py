"""Every method's sampler against its exact law and costs, and the experiment that compares all methods."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from gsi_theory import InputError, Instance, Scheme, tilted_policy
from gsi_theory.limits import best_tv
from gsi_theory.methods import METHODS, Method
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.workers import local_pool
from sims.agreement import compare, cost_z
from sims.experiments import method_comparison, run_experiment
from sims.instance_families import FAMILIES, method_scheme
from sims.sampling.method_sampler import sample_method

# One outcome only the draft has, one only the base has, two of equal reward.
EDGES = Instance.from_probabilities([0.4, 0.3, 0.2, 0.1, 0.0], [0.1, 0.2, 0.3, 0.0, 0.4], [0.2, 0.9, 0.5, 0.5, 0.7])
ROUNDS = 20_000
LEVEL = 1e-3
COSTS = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")


ALONE = [key for key, method in METHODS.items() if method.pair_alone]
# Records of one's own: soft best-of-Poisson drafts with GSI's gate on top; clipped ratios by softmax.
MINE = (
    Method("mine", "mine", "M24", "–", "draft", "reward", numbers="poisson", gate="tilted_reward", n_base=2),
    Method("mine_clipped", "mine", "M3", "–", "draft", "clipped_both", gate="tilted_reward"),
    Method("mine_accept", "mine", "M22", "–", "draft", "none", gate="ratio", fallback="one"),
)


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(InputError, match="no method 'nonesuch'"):
        sample_method("nonesuch", EDGES, Scheme(1.0, 2), 5, np.random.default_rng(0))
    with pytest.raises(InputError, match="rounds = 0"):
        sample_method("gsi", EDGES, Scheme(1.0, 2), 0, np.random.default_rng(0))


PLAYED = [(method, False) for method in (*METHODS.values(), *MINE)]
PLAYED += [(method, True) for method in METHODS.values() if method.switch]


@pytest.mark.parametrize(("method", "passed"), PLAYED, ids=lambda value: getattr(value, "id", str(value)))
def test_frequencies_and_costs_follow_the_law(method: Method, passed: bool) -> None:
    """Two instances, n of 1, 3 and 16, with and without a threshold: all |z| within the Bonferroni bound at 1e-3."""
    found, z = [], []
    for cell, instance in enumerate((EDGES, FAMILIES["dirichlet"].build(3))):
        for n in (1, 3, 16):
            for threshold in (None, 0.6):
                scheme = Scheme(2.0, n, threshold, n_base=3)
                further = None if method.pair_alone or method.switch else (further_of(instance), (2, n))
                law, rng = method.law(instance, scheme, further, passed), np.random.default_rng([61, cell, n])
                played = sample_method(method, instance, scheme, ROUNDS, rng, further, passed)
                found.append(compare(np.exp(law.log_prob), law.p_accept, played.outcome, played.accepted))
                z += [cost_z(getattr(played, cost), getattr(law, cost)) for cost in COSTS]
    costs = [abs(value) for value in z if value is not None]
    bound = stats.norm.isf(LEVEL / (2 * (sum(f.count for f in found) + len(costs))))
    assert max(f.worst for f in found) <= bound
    assert max(costs, default=0.0) <= bound


def further_of(instance: Instance) -> np.ndarray:
    """Two further drafters: uniform, and the base with the draft."""
    mixed = np.log(0.5 * np.exp(instance.log_base) + 0.5 * np.exp(instance.log_draft))
    return np.stack([np.full(instance.size, -np.log(instance.size)), mixed])


# Methods that do not look at n are not told apart from themselves at another n.
@pytest.mark.parametrize("method", [key for key in ALONE if METHODS[key].n is None])
def test_a_wrong_law_is_detected(method: str) -> None:
    """The law at n = 8 in place of 4 is far beyond any bound at 100 000 rounds."""
    instance = FAMILIES["dirichlet"].build(0)
    scheme = method_scheme(method, instance, method_comparison.BETA, 4)
    played = sample_method(method, instance, scheme, 100_000, np.random.default_rng(62))
    wrong = METHODS[method].law(instance, dataclasses.replace(scheme, n=8, n_base=8))
    assert compare(np.exp(wrong.log_prob), wrong.p_accept, played.outcome, played.accepted).worst > 7.0


def test_cost_z() -> None:
    assert cost_z(np.full(1000, 4), 4.0) is None
    assert abs(cost_z(np.full(1000, 4), 5.0)) > 1e4
    # one event in a thousand rounds decides nothing, a hundred do
    rare = np.zeros(1000)
    rare[0] = 1.0
    assert cost_z(rare, 0.0) is None
    counts = np.random.default_rng(63).poisson(2.0, 10_000)
    assert abs(cost_z(counts, 2.0)) < 4.0
    assert cost_z(counts, 2.2) < -10.0


def run(out, seed: int = 0, **settings):
    settings = {"draws": 2000, "families": "two_point"} | settings
    return run_experiment("methods", seed, out / "methods.json", settings, local_pool(1), None, "test")


def test_artifact_has_the_schema(tmp_path) -> None:
    artifact = read_artifact(run(tmp_path, families="two_point,dirichlet"), "methods")
    assert set(artifact.tables) == {"methods", "needed", "references"}
    for table, columns in artifact.tables.items():
        assert tuple(columns) == method_comparison.EXPERIMENT.rows[table]._fields
    table = artifact.tables["methods"]
    assert len(table["n"]) == 2 * len(ALONE) * len(method_comparison.NS)
    assert artifact.summary["passed"] is True
    assert artifact.summary["worst_abs_z"] <= artifact.summary["bonferroni_bound"]
    assert json.loads((tmp_path / "methods.json").read_text())["schema"] == 2


def test_same_seed_same_bytes_and_families_keep_their_streams(tmp_path) -> None:
    one, two = run(tmp_path / "a"), run(tmp_path / "b")
    assert one.read_bytes() == two.read_bytes()
    other = read_artifact(run(tmp_path / "c", seed=1))
    assert other.tables != read_artifact(one).tables
    both = read_artifact(run(tmp_path / "d", families="two_point,zipf")).tables["methods"]
    alone = read_artifact(one).tables["methods"]
    kept = [i for i, family in enumerate(both["family"]) if family == "two_point"]
    assert [both["max_abs_z"][i] for i in kept] == alone["max_abs_z"]


def test_rows_say_what_theory_says(tmp_path) -> None:
    tables = read_artifact(run(tmp_path, families="dirichlet")).tables
    instance = FAMILIES["dirichlet"].build(0)
    log_pi = tilted_policy(instance, method_comparison.BETA)
    rows = [
        dict(zip(tables["methods"], values, strict=True)) for values in zip(*tables["methods"].values(), strict=True)
    ]
    reward = {(row["method"], row["n"]): row["reward"] for row in rows}
    base = float(np.exp(instance.log_base) @ instance.reward)
    for row in rows:
        if METHODS[row["method"]].limited_by is None:
            assert row["best_n"] is None and row["efficiency"] is None and row["tv_limit"] is None
        else:
            assert row["tv_limit"] - 1e-12 <= row["tv"] and 1 <= row["best_n"] <= row["n"]
            policy = getattr(instance, f"log_{row['proposal']}")
            before = best_tv(log_pi, policy, int(row["best_n"]) - 1) if row["best_n"] > 1 else 1.0
            assert before > row["tv"] >= best_tv(log_pi, policy, int(row["best_n"])) - 1e-12
        if row["method"] == "speculative":
            assert row["reward"] == pytest.approx(base, abs=1e-14)
        if row["method"] in ("rsd", "rsd_budget", "rsd_sigmoid"):
            assert row["reward"] == reward[row["method"], 1] or row["method"] == "rsd_budget"
    for row in rows:
        if row["method"] == "expgsi_early_exit":
            assert row["base_scored"] <= row["n"] and row["tv"] == next(
                other["tv"] for other in rows if other["method"] == "expgsi" and other["n"] == row["n"]
            )
    needed = tables["needed"]
    for key, epsilon, n in zip(needed["method"], needed["epsilon"], needed["needed_n"], strict=True):
        if key == "gsi_ungated_race":
            tvs = [METHODS[key].law(instance, Scheme(method_comparison.BETA, int(m))).log_prob for m in (n - 1, n)]
            before, after = (0.5 * np.abs(np.exp(p) - np.exp(log_pi)).sum() for p in tvs)
            assert after <= epsilon < before
