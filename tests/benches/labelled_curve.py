"""Is best-of-n's gold value told from few labels? `python -m tests.benches.labelled_curve`.

A proxy that hacked draws fool; gold in [0, 1], a share of draws labelled by chance. Counted over logs: whether the band
over n holds the truth at all n, the standard error against that of weighting alone, and harm of the chosen n.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from scipy.special import expit

from gsi_theory.samples.labelled_draws import harmless_n, labelled_best_of_n
from gsi_theory.types import Floats, Ints

__all__ = ["NS", "judged", "truth"]

NS = np.array([1, 2, 4, 8, 16, 32])


def _drawn(rng: np.random.Generator, prompts: int, draws: int, hacked: float) -> tuple[Floats, Floats]:
    """(proxy reward, gold), each (prompts, draws)."""
    hack = rng.random((prompts, draws)) < hacked
    quality = rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, draws))
    return quality + 0.7 * rng.normal(size=quality.shape) + 4.0 * hack, np.where(hack, 0.0, expit(2.0 * quality))


def truth(hacked: float, ns: Ints = NS, seed: int = 1) -> Floats:
    """True values (M,) by 40,000 fresh prompts, played."""
    reward, gold = _drawn(np.random.default_rng([seed, 99]), 40_000, int(ns.max()), hacked)
    return np.array([gold[np.arange(len(gold)), reward[:, :n].argmax(axis=1)].mean() for n in ns.tolist()])


def judged(seed: int, hacked: float, share: float, exact: Floats, prompts: int = 150) -> dict[str, Any]:
    """One log."""
    rng = np.random.default_rng([seed, 7])
    reward, gold = _drawn(rng, prompts, int(NS.max()), hacked)
    # labels where best-of-n looks: more of the better half, each with its own chance
    chance = np.where(reward > np.median(reward, axis=1, keepdims=True), 1.5 * share, 0.5 * share)
    seen = np.where(rng.random(gold.shape) < chance, gold, np.nan)
    parts = list(reward), list(seen), list(chance)
    choice = harmless_n(labelled_best_of_n(*parts, NS), NS, seed)
    plain = harmless_n(labelled_best_of_n(*parts, NS, modelled=False), NS, seed)
    at = int(np.searchsorted(NS, choice.n))
    return {
        "covered": bool(((choice.curve.low <= exact) & (exact <= choice.curve.high)).all()),
        "harm": bool(exact[at] < exact[0]),
        "gain": float(exact[at] - exact[0]),
        "error_ratio": float(np.mean(choice.curve.se_prompts[:3] / plain.curve.se_prompts[:3])),
    }


def main(
    logs: Annotated[int, typer.Option(min=1, help="Logs of each world.")] = 200,
    share: Annotated[float, typer.Option(min=0.01, max=0.6, help="Share of labelled draws.")] = 0.1,
) -> None:
    """Coverage, error and harm by the share of hacked draws."""
    for hacked in (0.0, 0.02, 0.1):
        exact = truth(hacked)
        rows = [judged(seed, hacked, share, exact) for seed in range(logs)]
        harm, gain, ratio = (np.mean([r[key] for r in rows]) for key in ("harm", "gain", "error_ratio"))
        print(
            f"hacked {hacked:g}: band holds in {sum(r['covered'] for r in rows)} of {logs}, harm in {harm:.1%}, "
            f"mean gain {gain:+.3f} of {exact.max() - exact[0]:+.3f}, standard error at n ≤ 4 {ratio:.2f} of that of "
            "weighting alone"
        )


if __name__ == "__main__":
    typer.run(main)
