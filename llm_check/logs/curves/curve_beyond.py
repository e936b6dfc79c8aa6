"""What a log says of more draws than its prompts have (M49), for `gsi curve`: pass@k and best-of-n."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.samples.beyond_pool import beyond_best, beyond_pass
from gsi_theory.types import Record
from llm_check.logs.curves.draw_source import DrawSource
from llm_check.logs.curves.prompt_curves import CurveKey, CurvePlan
from llm_check.logs.curves.selectors import SELECTORS

__all__ = ["beyond_curves", "unasked_ns"]


def unasked_ns(largest: int) -> list[int]:
    """Twice and four times the draws: told where no n was asked for."""
    return [2 * largest, 4 * largest]


def beyond_curves(
    draws: DrawSource, ns: Sequence[int], select: Sequence[str] | None, seed: int, asked: bool
) -> tuple[tuple[Record, ...], list[str]]:
    """Records of `beyond_pass` and `beyond_best` at every n, and in words what is not told; seed: of the prompts that
    choose a bound; asked: whether these n were."""
    about, columns = draws.about, set(draws.about.columns)
    names = [s for s in ("pass_at_k", "best_of_n") if s in (select or SELECTORS) and set(SELECTORS[s].needs) <= columns]
    values = [v for v in SELECTORS["best_of_n"].values if v in columns]
    if not ns or not names or about.facts.get("iid") is False:
        return (), []
    if about.sizes.size < 2 or draws.prompts < about.sizes.size:
        why = "one prompt" if about.sizes.size < 2 else "a prompt of several steps"
        return (), [f"n of {', '.join(map(str, ns))}: nothing is told beyond the draws of {why}"] if asked else []
    found, notes = [], []
    if "pass_at_k" in names and "correct" in columns:
        key = CurveKey("pass_at_k", None, "correct")
        one = draws.mapped(CurvePlan((key,), (1,), seed), None)
        graded = np.isfinite(one.value[:, 0, 0])
        if int(graded.sum()) > 1:
            sizes = one.draws[graded]
            right = np.rint(one.value[graded, 0, 0] * sizes)
            found += beyond_pass(sizes, right, list(ns), np.random.default_rng([seed, 0]))
    if "best_of_n" in names:
        for k, value in enumerate(values):
            ranked = draws.ranked(value)
            if ranked is None:
                notes.append("best-of-n beyond the draws is told of logs that are read at once, not of long ones")
                break
            if len(ranked) > 1:
                rng = np.random.default_rng([seed, 1, k])
                found += beyond_best(ranked, list(ns), rng, value, about.bounds.get(value))
    return tuple(each.record() for each in found), notes
