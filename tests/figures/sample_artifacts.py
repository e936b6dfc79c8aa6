"""Small plausible artifacts for the tests of figures and report; only those of REAL are results.

Every artifact that the page reads is written through `gsi_theory.runs.artifact`; one counterexample and one solution
carry the cases that the tests look for (a surprise, and text that would be markup if it were not escaped).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gsi_theory.runs.artifact import write_artifact
from gsi_theory.runs.workers import local_pool
from sims.experiments import run_experiment

__all__ = ["HOSTILE", "STATEMENTS", "write_samples"]

CONTESTED = "48-5-7+4"
HOSTILE = "<script>alert('x')</script> & \\boxed{4}"
STATEMENTS = {
    "M7-vanishes": r"\lim_n TV(G_n,\pi) = 0",
    "M11-chi2": r"KL(\pi\|P_n) \le \log(1+\chi^2(\pi\|\mu)/n)",
    "M12b": r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}, r\ge 0"
    r"\Rightarrow KL(\pi\|Q)\le\varepsilon",
    "M18-kl": r"\lim_n n^2 KL(\pi\|P_n) = \tfrac12 Var_\pi(w)",
    "M19": r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(P_n,\pi)\ \text{for every rule}",
}
ORIGINS = {"M7-vanishes": "reading", "M11-chi2": "published", "M12b": "published"}
RECORD = {"command": "gsi sample", "seed": 0, "versions": {"python": "3.11", "numpy": "2"}, "commit": "abc+changes"}
# Experiments quick enough to be run for real.
REAL = {
    "methods": {"draws": 2000, "families": "two_point"},
    "steps": {"trees": 2, "depth": 2, "branching": 2},
}
METHODS = ("draft", "base", "soft_bon_draft", "soft_bon_base", "best_of_n_draft", "gsi", "gsi_race", "gsi_ungated",
           "gsi_score_gate", "tilted")  # fmt: skip


def _table(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [r[name] for r in records] for name in records[0]} if records else {}


def _bounds() -> dict[str, Any]:
    curves, gate, reward = [], [], []
    for i, family in enumerate(("two_point", "heavy_tail")):
        for beta in (1.0, 20.0):
            chi2 = (2.0 + 3.0 * i) * beta
            for n in 2 ** np.arange(0, 17, 2):
                kl, tv = 0.5 * chi2**2 / (n * n + 0.5 * chi2**2), 0.4 * chi2 / (n + chi2)
                curves.append(
                    {"family": family, "beta": beta, "n": int(n), "kl_softmax": kl, "tv_softmax": tv,
                     "kl_race": kl * math.exp(-n / (2 * chi2)), "tv_race": tv * math.exp(-n / (2 * chi2)),
                     "tv_limit": 0.6 * tv * math.exp(-n / chi2) if n < 1000 else 0.0,
                     "bound_kl_mean": 0.9 * math.log1p(chi2 / n), "bound_kl_chi2": math.log1p(chi2 / n),
                     "bound_theorem_b": math.log1p(chi2 * math.exp(2 * beta) / n),
                     "bound_tv_race": min(1.0, chi2 / n), "bound_tv_tail": min(1.0, 0.7 * chi2 / n)}
                )  # fmt: skip
            for a in (0.3, 0.5, 0.8):
                limits = {
                    "limit_tv": a * (1 - a),
                    "limit_kl_forward": -a * math.log(2 - a) - (1 - a) * math.log(1 - a),
                    "limit_kl_reverse": a * (2 - a) * math.log(2 - a) + (1 - a) ** 2 * math.log(1 - a),
                    "limit_reward_gap": 0.2 * a * (1 - a) * (1 - 2 * i),
                }
                for rule in ("softmax", "race"):
                    for n in (4, 16, 64, 1_000_000):
                        found = {k.removeprefix("limit_"): v + 0.3 / n for k, v in limits.items()}
                        gate.append({"family": family, "beta": beta, "threshold": 0.5, "rule": rule, "n": n, "a": a}
                                    | found | limits)  # fmt: skip
            for k, method in enumerate(METHODS):
                for n in (4, 16):
                    value = 0.5 + 0.4 * (1 - math.exp(-beta / 5)) * (0.2 + 0.07 * k)
                    reward.append({"family": family, "method": method, "n": n, "beta": beta, "expected_reward": value,
                                   "p_accept": 0.7 if "gsi" in method else None})  # fmt: skip
    return {"curves": _table(curves), "gate": _table(gate), "reward": _table(reward)}


def _sampler(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    cells = []
    for family in ("two_point", "heavy_tail", "zipf"):
        for rule, gate in (("softmax", "none"), ("race", "score"), ("race", "tilted_reward"), ("max", "none")):
            for n in (1, 4, 16, 64):
                cells.append(
                    {"family": family, "rule": rule, "gate": gate, "n": n, "beta": 20.0, "draws": 100_000,
                     "outcomes": 50, "max_abs_z": float(np.max(np.abs(rng.normal(size=50)))),
                     "tv_empirical": 0.004, "p_accept": 0.6, "acceptance_rate": 0.601,
                     "acceptance_z": None if gate == "none" else float(rng.normal())}
                )  # fmt: skip
    worst = max(c["max_abs_z"] for c in cells)
    summary = {"worst_abs_z": worst, "bonferroni_bound": 4.9, "comparisons": 2400, "level": 0.01,
               "draws_per_cell": 100_000, "passed": worst <= 4.9}  # fmt: skip
    return summary, {"cells": _table(cells)}


def _audit(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    claims, regimes = [], []
    for name, statement in STATEMENTS.items():
        limit = "lim" in statement
        refuted = {"M7-vanishes": 812, "M11-chi2": 1}.get(name, 0)
        expected = "REFUTED" if name == "M7-vanishes" else "HOLDS"
        speaks = {f"{kind}_n_beta_{beta}": None if limit else 4.0 ** (1 + beta // 5) for beta in (1, 5, 20)
                  for kind in ("first", "half")}  # fmt: skip
        if name == "M12b":
            speaks["half_n_beta_20"] = math.inf
        claims.append(
            {"id": name, "formula": name.split("-")[0], "statement": statement, "source": "sample <source> & more",
             "origin": ORIGINS.get(name, "ours"),
             "expected": expected, "evaluations": 1000, "holds": 700 - refuted if refuted < 700 else 0,
             "refuted": refuted, "undecided": 12, "vacuous": 176, "not_applicable": 0, "rejudged": 5, "settled": 3,
             "vacuous_share": 0.176, "outcome": "REFUTED" if refuted else "HOLDS",
             "surprise": bool(refuted) and expected == "HOLDS", "tightness": None if limit else 0.97,
             "tight_family": None if limit else "two_outcomes", "tight_beta": None if limit else 5.0,
             "tight_n": None if limit else 2**20} | speaks
        )  # fmt: skip
        for beta in (1.0, 5.0, 20.0):
            for n in (1, 4, 64, 2**20):
                vacuous = 40 if name == "M12b" and n < 64 else 0
                regimes.append(
                    {"id": name, "beta": beta, "n": n, "evaluations": 40, "holds": 40 - vacuous, "undecided": 0,
                     "refuted": int(name == "M11-chi2" and n == 4), "vacuous": vacuous,
                     "tightness": None if limit or vacuous else float(rng.random())}
                )  # fmt: skip
    nothing = dict.fromkeys(("certified", "lhs_lower", "lhs_upper", "rhs_lower", "rhs_upper", "relative_gap"))
    proof = {"certified": "REFUTED", "lhs_lower": "0.1599999", "lhs_upper": "0.1600001", "rhs_lower": "0",
             "rhs_upper": "0", "relative_gap": 1.0}  # fmt: skip
    examples = [
        {"id": "M7-vanishes", "draft": [0.5, 0.5], "base": [0.4, 0.6], "reward": [0.0, 1.0], "beta": 1.0, "n": 2,
         "rule": "race", "threshold": 0.1, "lhs": 0.16, "rhs": 0.0, "error": 1e-12} | proof,
        {"id": "M11-chi2", "draft": [0.2, 0.3, 0.5], "base": [0.4, 0.2, 0.4], "reward": [0.0, -1.0, 1.0], "beta": 2.5,
         "n": 3, "rule": "softmax", "threshold": None, "lhs": 0.2, "rhs": 0.1, "error": 1e-13} | nothing,
    ]  # fmt: skip
    asked = [
        {"id": name, "distance": distance, "epsilon": 0.1, "family": family, "beta": beta,
         "log10_asked": 2.0 + beta * (name == "M12b"), "log10_needed": 1.0 + 0.01 * beta,
         "log10_best": 0.9 if distance == "tv" else None}
        for name, distance in (("M11-chi2", "kl"), ("M12b", "kl"), ("M17-tv", "tv"))
        for family in ("two_point", "heavy_tail") for beta in (1.0, 5.0, 20.0)
    ]  # fmt: skip
    rates = [
        {"size": 4, "beta": 1.0, "coverage": float(c), "chi2": 0.3 * float(c), "constant": 1.0,
         "quotient": 1 + c * 1e-7, "n_ten_percent": float(round(8 * c))} for c in (2, 5, 20, 100)
    ]  # fmt: skip
    summary = {"evaluations": 5000, "surprises": 1, "seed": 0, "rejudged": 25, "settled": 15, "largest_n": 2**20,
               "rate_instances": 4, "rate_worst": 1e-5, "rate_within_one_percent": 4, "rate_fit_factor": 8.0,
               "rate_fit_coverage": 1.0, "rate_fit_chi2": 0.1, "rate_fit_spread": 1.2}  # fmt: skip
    tables = {"claims": claims, "regimes": regimes, "counterexamples": examples, "asked": asked, "kl_rate": rates}
    return summary, {name: _table(records) for name, records in tables.items()}


def _headline(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    positions = [
        {"problem_id": f"48-5-7+{i}", "step": i % 4, "log10_n_theorem_b": 17.3 + float(rng.exponential()),
         "n_instance": int(50 * 4 ** rng.random() * 3), "n_exact_softmax": int(4 + 30 * rng.random()),
         "n_exact_race": int(3 + 12 * rng.random()), "chi2_pair": 2.0, "chi2_tilt": 30.0}
        for i in range(24)
    ]  # fmt: skip
    summary = {"beta": 20.0, "epsilon": 0.1, "problem": "48-5-7+4", "step": 1, "prefix_text": "48-5-7+4\n\n43\n\n",
               "outcomes": 1110, "chi2_pair": 2.6, "chi2_tilt": 31.4, "coverage": 40.2, "kl_pair": 0.4,
               "log10_n_theorem_b": 18.91, "n_instance": 299, "n_exact_softmax": 21, "n_exact_race": 9}  # fmt: skip
    return summary, {"positions": _table(positions)}


def _law(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    prompts = [
        {"problem_id": f"48-5-7+{i}", "step": i % 3, "prefix_text": f"48-5-7+{i}\n\n", "outcomes": 1110,
         "missing_mass": 3e-9, "draws": 20_000, "cells": 12 + i, "chi2_stat": 12.0 + i, "dof": 11 + i,
         "p_value": float(rng.random()), "max_abs_z": 1.5 + float(rng.random()), "sampler": sampler,
         "n": 1 if sampler == "draft" else 8, "beta": 20.0}
        for sampler in ("draft", "gsi", "gsi_race") for i in range(8)
    ]  # fmt: skip
    summary = {"worst_p": min(p["p_value"] for p in prompts), "comparisons": len(prompts),
               "level": 0.001, "passed": True, "max_logp_difference": 2.4e-6, "ratio_mean": 0.9999997}  # fmt: skip
    return summary, {"prompts": _table(prompts)}


def _prediction(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    cells = []
    for quantity in ("reward", "p_accept"):
        for rule in ("softmax", "race"):
            for gate in ("none", "tilted_reward"):
                if quantity == "p_accept" and gate == "none":
                    continue
                for i in range(8):
                    exact, z = 0.3 + 0.08 * i, float(rng.normal())
                    cells.append(
                        {"problems": 24, "rule": rule, "gate": gate, "beta": 20.0, "n": 2**i,
                         "quantity": quantity, "predicted": exact, "predicted_se": 0.01, "measured": exact + 0.022 * z,
                         "measured_se": 0.02, "exact": exact, "z": z}
                    )  # fmt: skip
    summary = {"worst_abs_z": max(abs(c["z"]) for c in cells), "bonferroni_bound": 3.8, "comparisons": len(cells),
               "passed": True, "calibration": {"variance": 0.93, "variance_se": 0.12}}  # fmt: skip
    return summary, {"cells": _table(cells)}


def _accuracy() -> dict[str, Any]:
    methods, solutions = [], []
    for k, method in enumerate(("draft", "base", "soft_bon_base", "best_of_n_draft", "gsi", "gsi_race")):
        gated = method.startswith("gsi")
        for n in (1,) if method in ("draft", "base") else (1, 2, 4, 8, 16):
            share = min(0.97, 0.55 + 0.05 * k + 0.06 * math.log2(n))
            methods.append(
                {"method": method, "n": n, "beta": None if method in ("draft", "base") else 20.0,
                 "threshold": 0.5 if gated else None, "problems": 500, "accuracy": share,
                 "accuracy_low": share - 0.03, "accuracy_high": min(1.0, share + 0.03),
                 "acceptance_rate": min(0.95, 0.6 + 0.08 * math.log2(n)) if gated else None,
                 "acceptance_low": min(0.95, 0.6 + 0.08 * math.log2(n)) - 0.02 if gated else None,
                 "acceptance_high": min(0.95, 0.6 + 0.08 * math.log2(n)) + 0.02 if gated else None,
                 "mean_reward": 0.8}
            )  # fmt: skip
    right = "43\n\n36\n\n40\n\n\\boxed{40}"
    for method, text, problem in (("draft", HOSTILE, CONTESTED), ("gsi", right, CONTESTED), ("gsi", "9", "7+4")):
        solutions.append({"method": method, "n": 4, "problem": problem, "text": text, "correct": text == right})
    growth = [
        {"method": method, "n": n, "pairs": 500, "difference": 0.06 * math.log2(n / 16) * (method != "gsi"),
         "low": -0.2, "high": -0.01} for method in ("gsi", "gsi_race", "soft_bon_base") for n in (1, 2, 4, 8)
    ]  # fmt: skip
    return {"methods": _table(methods), "solutions": _table(solutions), "growth": _table(growth)}


def write_samples(folder: Path, real: Mapping[str, dict[str, Any]] = REAL) -> Path:
    """Write what the page reads into `folder`, the experiments of `real` by running them; always the same bytes."""
    rng = np.random.default_rng(0)
    made: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "bounds_vs_n": ({"families": ["two_point", "heavy_tail"]}, _bounds()),
        "exact_vs_mc": _sampler(rng),
        "audit": _audit(rng),
        "lm_headline": _headline(rng),
        "lm_law": _law(rng),
        "lm_prediction": _prediction(rng),
        "lm_accuracy": ({"contested": CONTESTED}, _accuracy()),
        "lm_speed": ({"seconds_per_step": 0.012, "naive_seconds_per_step": 0.05, "ratio_median": 4.2, "ratio_low": 3.9,
                      "ratio_high": 4.4, "n": 16, "batch": 16, "batch_seconds_per_step": 0.005,
                      "batch_ratio_median": 10.0, "batch_ratio_low": 9.0, "batch_ratio_high": 11.0}, {}),
    }  # fmt: skip
    for name, (summary, tables) in made.items():
        write_artifact(folder / f"{name}.json", name, RECORD, summary, tables)
    for name, settings in real.items():
        run_experiment(name, 0, folder / f"{name}.json", settings, local_pool(1), None, "gsi sample")
    return folder
